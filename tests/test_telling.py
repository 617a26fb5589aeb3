"""What the agent says of its losses, and that saying it does not become the loss."""

from pathlib import Path

from exporter import config, probes
from exporter.channel import Origin, open_channel
from exporter.enrich.own import Own
from exporter.keeping import InMemory
from exporter.model import Resource
from exporter.telemetry import Ledger
from exporter.telling import Telling

SINKS = ("it", "other")


def telling(folder: Path, ledger: Ledger) -> Telling:
    keeping = InMemory(ledger)
    channels = [
        open_channel(
            name,
            config.File(path=str(folder / name), batch=config.Batch(max_records=1)),
            probes.TOLD,
            Origin("node-1"),
            ledger,
            where="c.yaml",
            place=keeping.place,
        )
        for name in SINKS
    ]
    return Telling(Own("b007", Resource({"host.name": "node-1"})), channels, ledger, keeping)


def offered(ledger: Ledger) -> dict[str, int]:
    return {sink: ledger.offered[sink] for sink in SINKS}


def test_a_loss_of_one_sink_is_told_in_its_stream_alone(tmp_path: Path) -> None:
    ledger = Ledger()
    it = telling(tmp_path, ledger)
    ledger.drop("it", "sink", "refused", 3, sequences=((1, 3),))
    it.look(1000.0)
    assert offered(ledger) == {"it": 1, "other": 0}


def test_losses_that_never_end_are_told_ever_less_often_and_none_is_forgotten(tmp_path: Path) -> None:
    """A receiver that refuses everything refuses what tells of it too."""
    ledger = Ledger()
    it = telling(tmp_path, ledger)
    told = []
    for second in range(3600):
        before = ledger.offered["it"]
        ledger.drop("it", "sink", "refused", 1)
        it.look(1000.0 + second)
        if ledger.offered["it"] > before:
            told.append(second)
    assert told[:4] == [0, 1, 3, 7]
    assert len(told) < 30
    (left,) = ledger.losses()
    assert left.count == 3600 - 1 - told[-1]


def test_once_it_is_well_again_the_next_loss_is_told_at_once(tmp_path: Path) -> None:
    ledger = Ledger()
    it = telling(tmp_path, ledger)
    for second in (0, 1, 2, 3, 4000, 4001):
        ledger.drop("it", "sink", "refused", 1)
        it.look(1000.0 + second)
    assert ledger.offered["it"] == 5  # at 0, 1, 3, 4000 and 4001
    it.losses(5001.5, last=True)
    assert not ledger.losses()
