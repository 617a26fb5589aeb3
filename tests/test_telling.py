"""What the agent says of its losses, and that saying it does not become the loss."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from exporter import config, probes
from exporter.channel import Origin, open_channel
from exporter.enrich.own import Own
from exporter.keeping import InMemory
from exporter.model import Resource
from exporter.telemetry import Ledger
from exporter.telling import Telling
from tests.peers.collector import value
from tests.waiting import wait_for

SINKS = ("it", "other")


class Marking(InMemory):
    """Notes for which sinks losses were said to be told."""

    def __init__(self, ledger: Ledger, marked: list[set[str]]) -> None:
        super().__init__(ledger)
        self._marked = marked

    def tell(self, sinks: Collection[str]) -> None:
        self._marked.append(set(sinks))


class Case(Telling):
    """With a look at where the streams stand."""

    def next(self, sink: str) -> int:
        return self._channels[sink].next


def told(path: Path) -> list[dict[str, Any]]:
    """The records of a file, once all that is queued is written."""
    wait_for(lambda: path.exists() and path.read_bytes().count(b"\n") >= 3, "the records are there")
    groups = [group for line in path.read_text().splitlines() for group in json.loads(line)["resourceLogs"]]
    return [record for group in groups for scope in group["scopeLogs"] for record in scope["logRecords"]]


def attribute(record: dict[str, Any], leaf: str) -> Any:
    found = next(pair["value"] for pair in record["attributes"] if pair["key"] == f"podwitness.agent.lost.{leaf}")
    return value(found)


def telling(folder: Path, ledger: Ledger, marked: list[set[str]] | None = None) -> Case:
    keeping = Marking(ledger, [] if marked is None else marked)
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
    for channel in channels:
        channel.start()
    return Case(Own("b007", Resource({"host.name": "node-1"})), channels, ledger, keeping)


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


def test_what_told_of_a_loss_and_is_lost_itself_is_told_again(tmp_path: Path) -> None:
    ledger = Ledger()
    it = telling(tmp_path, ledger)
    ledger.drop("it", "sink", "refused", 3, sequences=((1, 3),))
    number = it.next("it")
    it.look(1000.0)
    ledger.drop("it", "sink", "too_old", 1, sequences=((number, number),))
    it.look(2000.0)
    records = [one for one in told(tmp_path / "it") if one["eventName"] == "podwitness.agent.events_lost"]
    said = [(attribute(one, "reason"), attribute(one, "sequences")) for one in records]
    assert said == [("refused", ["1-3"]), ("too_old", [str(number)]), ("refused", ["1-3"])]


def test_losses_that_are_put_off_stay_on_disk_until_they_are_told(tmp_path: Path) -> None:
    """Their rows leave with the record that tells of them, not before."""
    ledger, marked = Ledger(), list[set[str]]()
    it = telling(tmp_path, ledger, marked)
    for second in (0, 1, 2):
        ledger.drop("it", "sink", "refused", 1)
        it.look(1000.0 + second)
    assert [("it" in sinks, "other" in sinks, "*" in sinks) for sinks in marked] == [
        (True, True, True),
        (True, True, True),
        (False, True, True),
    ]
