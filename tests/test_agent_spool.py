"""The pipeline with a spool: what went in comes out, over an end and over a kill, and what is lost is told."""

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from exporter import config
from exporter.agent import Pipeline
from exporter.keeping import OnDisk
from exporter.model import RawSample
from exporter.telemetry import Ledger
from tests.peers.processes import free_port
from tests.sink.receivers import Answer, HttpReceiver
from tests.test_agent import OFFSET, life, pipeline
from tests.waiting import wait_for

BATCH = config.Batch(max_records=3, max_delay_seconds=0.001)
QUICK: dict[str, Any] = {"retry_initial_seconds": 0.001, "retry_max_seconds": 0.01}
LOST = "podwitness.agent.lost."
LIVES = 150  # before a kill test has nothing more to tell
RING = 1


def otlp(url: str, *, shutdown: float = 30.0, **queue: Any) -> config.OtlpHttp:
    settings = config.Queue(**QUICK, shutdown_seconds=shutdown, **queue)
    return config.OtlpHttp(endpoint=url, compression="none", spans=False, batch=BATCH, queue=settings)


@contextmanager
def run(folder: Path, ledger: Ledger, sink: config.Sink, **more: Any) -> Iterator[tuple[Pipeline, OnDisk]]:
    """One run of an agent with a spool in `folder`; it ends as the agent does, but for the last commit."""
    keeping = OnDisk(config.Spool(path=str(folder), commit_events=5), ledger)
    try:
        with pipeline({"it": sink}, ledger, keeping, **more) as opened:
            yield opened, keeping
    finally:
        keeping.close()


def ring(position: int) -> list[RawSample]:
    """What a ring holds from `position` on: fork, exec and exit of processes 0, 1, 2 and so on."""
    data = [sample for pid in range(LIVES) for sample in life(pid + 1, 1_000_000 * (pid + 1))]
    return [RawSample("lifecycle", RING, at, data[at]) for at in range(position, len(data))]


def feed(into: Pipeline, samples: list[RawSample]) -> int:
    """Read these, make them safe; the position after them."""
    into.process(samples, OFFSET, OFFSET)
    into.secure({RING: samples[-1].position + 1}, dict)
    return samples[-1].position + 1


class Arrived:
    """The records that a receiver has, in the order they came, with their attributes."""

    def __init__(self, receiver: HttpReceiver) -> None:
        self.records = list[dict[str, Any]]()
        self.streams = set[str]()
        for request in receiver.requests:
            for group in ExportLogsServiceRequest.FromString(request.body).resource_logs:
                for scope in group.scope_logs:
                    self.streams |= {
                        a.value.string_value for a in scope.scope.attributes if a.key.endswith("stream.id")
                    }
                    self.records += [{"name": r.event_name} | attributes(r.attributes) for r in scope.log_records]

    def sequence(self) -> dict[str, int]:
        """The number of each uid: one, however often it came."""
        found = dict[str, int]()
        for record in self.records:
            number = record["podwitness.event.sequence"]
            assert found.setdefault(record["log.record.uid"], number) == number
        return found

    def of(self, name: str) -> list[dict[str, Any]]:
        """Each record of this event type once."""
        once = {r["log.record.uid"]: r for r in self.records if r["name"] == f"podwitness.{name}"}
        return list(once.values())


def attributes(pairs: Any) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = [v.string_value for v in value.values] if kind == "array_value" else value
    return found


def numbers(texts: list[str]) -> set[int]:
    """`["3", "7-9"]` -> 3, 7, 8, 9."""
    pairs = [(*map(int, text.split("-")),) for text in texts]
    return {number for pair in pairs for number in range(pair[0], pair[-1] + 1)}


def balanced(ledger: Ledger) -> bool:
    dropped = sum(count for drop, count in ledger.dropped.items() if drop.sink == "it")
    return ledger.offered["it"] == ledger.sent["it"] + dropped + ledger.kept["it"]


def test_what_one_agent_could_not_send_the_next_one_sends_and_the_numbers_go_on(tmp_path: Path) -> None:
    samples, first, second = ring(0), Ledger(), Ledger()
    with run(tmp_path, first, otlp(f"http://127.0.0.1:{free_port()}", shutdown=0.05)) as (it, _):
        for at in range(0, 30, 6):
            feed(it, samples[at : at + 6])
        it.finish({RING: 30}, dict)
    assert (first.kept["it"], first.sent["it"]) == (30, 0)
    assert balanced(first)
    assert first.summary() == "seen 30; it: sent 0, dropped 0, kept 30 in the spool"
    with HttpReceiver() as receiver:
        with run(tmp_path, second, otlp(receiver.url)) as (it, keeping):
            assert keeping.positions == {RING: 30}
            it.process(samples[30:60], OFFSET, OFFSET)
            it.finish({RING: 60}, dict)
        arrived = Arrived(receiver)
    assert (second.offered["it"], second.sent["it"], second.kept["it"]) == (60, 60, 0)
    assert [record["podwitness.event.sequence"] for record in arrived.records] == list(range(1, 61))
    assert Counter(record["process.pid"] for record in arrived.records) == dict.fromkeys(range(1, 21), 3)
    assert len(arrived.streams) == 1


def test_nothing_is_sent_and_the_kernel_forgets_nothing_before_the_commit(tmp_path: Path) -> None:
    ledger, samples = Ledger(), ring(0)
    with HttpReceiver() as receiver, run(tmp_path, ledger, otlp(receiver.url)) as (it, keeping):
        keeping.due(0.0, {})
        it.process(samples[:3], OFFSET, OFFSET)
        assert it.pending
        assert not receiver.requests
        assert it.finish({RING: 3}, dict) == {RING: 3}
        wait_for(lambda: ledger.sent["it"] == 3, "it is sent now")
    assert balanced(ledger)


def story(folder: str, url: str) -> None:
    """An agent that reads what the ring still has, bit by bit, and then waits for its end. Runs in a child."""
    with run(Path(folder), Ledger(), otlp(url)) as (it, keeping):
        it.table.restore(keeping.journal)
        samples = ring(keeping.positions.get(RING, 0))
        for at in range(0, len(samples), 2):
            feed(it, samples[at : at + 2])
        while True:
            it.process([], OFFSET, OFFSET)
            it.secure({RING: 3 * LIVES}, dict)


def test_killed_again_and_again_it_tells_all_with_one_number_each_and_no_hole(tmp_path: Path) -> None:
    code = "import sys; from tests.test_agent_spool import story; story(*sys.argv[1:])"
    with HttpReceiver(*[Answer(503), Answer()] * 200) as receiver:
        for wanted in (20, 60, 61, 90, 3 * LIVES):
            child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), receiver.url])
            try:
                wait_for(lambda n=wanted: len(Arrived(receiver).sequence()) >= n, f"{wanted} have come")  # type: ignore[misc]
            finally:
                child.send_signal(signal.SIGKILL)
                child.wait()
        arrived = Arrived(receiver)
        with run(tmp_path, Ledger(), otlp(receiver.url)) as (_, keeping):
            assert keeping.positions == {RING: 3 * LIVES}
    assert sorted(arrived.sequence().values()) == list(range(1, 3 * LIVES + 1))
    assert len(arrived.streams) == 1
    for name in ("process.fork", "process.exec", "process.exit"):
        assert Counter(r["process.pid"] for r in arrived.of(name)) == dict.fromkeys(range(1, LIVES + 1), 1)
    assert {record["process.executable.name"] for record in arrived.of("process.exit")} == {"curl"}


def test_what_a_full_queue_drops_is_told_with_its_count_and_its_numbers(tmp_path: Path) -> None:
    """The records that are missing, and those only, are named by records that are there."""
    port, ledger, samples = free_port(), Ledger(), ring(0)
    sink = otlp(f"http://127.0.0.1:{port}", max_disk_bytes=12_000)
    with run(tmp_path, ledger, sink) as (it, _):
        for at in range(0, len(samples), 6):
            feed(it, samples[at : at + 6])
        wait_for(lambda: ledger.dropped, "some are dropped")
        with HttpReceiver(port=port) as receiver:
            it.finish({RING: len(samples)}, dict)
            it.finish({RING: len(samples)}, dict)
            wait_for(lambda: ledger.offered["it"] - sum(ledger.dropped.values()) == ledger.sent["it"], "the rest came")
            it.finish({RING: len(samples)}, dict)
            wait_for(lambda: ledger.offered["it"] - sum(ledger.dropped.values()) == ledger.sent["it"], "all came")
            arrived = Arrived(receiver)
    assert balanced(ledger)
    assert ledger.losses() == []
    told = arrived.of("agent.events_lost")
    assert {(record[LOST + "reason"], record[LOST + "stage"]) for record in told} == {("queue_full", "spool")}
    assert sum(record[LOST + "count"] for record in told) == sum(ledger.dropped.values()) > 0
    came = set(arrived.sequence().values())
    missing = {number for record in told for number in numbers(record[LOST + "sequences"])}
    assert missing == set(range(1, max(came) + 1)) - came


def test_without_a_disk_losses_are_told_the_same_way(tmp_path: Path) -> None:
    port, ledger, samples = free_port(), Ledger(), ring(0)
    batch = config.Batch(max_records=3, max_bytes=4000, max_delay_seconds=0.001)
    sink = config.OtlpHttp(
        endpoint=f"http://127.0.0.1:{port}",
        compression="none",
        spans=False,
        batch=batch,
        queue=config.Queue(**QUICK, max_bytes=8000, shutdown_seconds=30),
    )
    with pipeline({"it": sink}, ledger) as it:
        it.process(samples, OFFSET, OFFSET)
        with HttpReceiver(port=port) as receiver:
            it.finish({}, dict)
            wait_for(lambda: ledger.offered["it"] - sum(ledger.dropped.values()) == ledger.sent["it"], "all came")
            it.finish({}, dict)
            wait_for(lambda: ledger.offered["it"] - sum(ledger.dropped.values()) == ledger.sent["it"], "all came")
            arrived = Arrived(receiver)
    told = arrived.of("agent.events_lost")
    assert sum(record[LOST + "count"] for record in told) == sum(ledger.dropped.values()) > 0
    came = set(arrived.sequence().values())
    missing = {number for record in told for number in numbers(record[LOST + "sequences"])}
    assert missing == set(range(1, max(came) + 1)) - came


def test_a_reader_that_has_gone_is_told_of_nothing(tmp_path: Path) -> None:
    """A record of what it missed would be missed as well, and so on, for as long as the agent runs."""
    ledger = Ledger()
    with HttpReceiver() as receiver, run(tmp_path, ledger, otlp(receiver.url)) as (it, _):
        ledger.close("it")
        ledger.drop("it", "sink", "closed", 5)
        it.tell_losses()
        assert not it.pending
    assert ledger.offered["it"] == 0
