"""The kernel's numbers of connections: whose they are, when they go, and that none is lost on the way."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.agent import Pipeline
from exporter.config import parse
from exporter.errors import ConfigError
from exporter.metrics import Series
from exporter.source.destinations import Destination
from exporter.source.programs import Kernel
from exporter.telemetry import Ledger
from exporter.traffic import Traffic
from tests.test_agent import OFFSET, file, life, pipeline, samples

PID, START, EXECED, POD = 4711, 1_000_000, 2, 10_000
FIRST = 2_000_000
LATENCIES = 25
INTERVAL = 30.0


def destination(number: int = 1, *, pid: int = PID, exec_id: int = EXECED, **counted: Any) -> Destination:
    """What a process counted with 10.0.0.`number`:443."""
    address = b"\0" * 10 + b"\xff\xff" + IPv4Address(f"10.0.0.{number}").packed
    key = b"".join(part.to_bytes(8, "little") for part in (pid, exec_id, number))
    none = dict.fromkeys(("established", "failed", "begun", "ended", "sent", "received", "latency"), 0)
    zero: dict[str, Any] = none | {"latencies": (0,) * LATENCIES}
    return Destination(key, START, exec_id, pid, 6, 443, address, FIRST, POD, **(zero | counted))


class Counted:
    """The map of the kernel."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Destination] = {}

    def put(self, *found: Destination) -> None:
        self.entries |= {one.key: one for one in found}

    def read(self) -> list[Destination]:
        return list(self.entries.values())

    def take(self, key: bytes) -> Destination | None:
        return self.entries.pop(key, None)


class Scripted:
    """A sender whose batches arrive when the test says so."""

    interval = INTERVAL

    def __init__(self) -> None:
        self.batches: list[list[Series]] = []
        self.delivered = 0

    def send(self, series: list[Series]) -> int:
        self.batches.append(series)
        return len(self.batches)

    def deliver(self) -> None:
        self.delivered = len(self.batches)


class Case:
    """Traffic over a pipeline's process table, with a clock of its own."""

    def __init__(self, it: Pipeline, sender: Any) -> None:
        self.it, self.kernel, self.ledger = it, Counted(), it.ledger
        self.now = time.monotonic()
        kernel = cast(Kernel, SimpleNamespace(destinations=self.kernel, offset=lambda: OFFSET))
        self.traffic = Traffic(kernel, it.table, it._resources, sender, it.ledger)

    def happen(self, *data: bytes) -> None:
        """Events are read."""
        self.it.process(samples(*data), OFFSET, OFFSET)
        self.it.process([], OFFSET, OFFSET)

    def look(self, seconds: float = 1.0, *, last: bool = False) -> None:
        self.now += seconds
        self.traffic.look(self.now, last=last)


@contextmanager
def case(folder: Path, sender: Any, ledger: Ledger | None = None) -> Iterator[Case]:
    with pipeline({"it": file(folder)}, ledger or Ledger()) as it:
        yield Case(it, sender)


def test_a_process_that_was_gone_before_anybody_looked_has_its_name(tmp_path: Path) -> None:
    sender = Scripted()
    with case(tmp_path, sender) as it:
        it.happen(*life(PID, START))
        assert (PID, START, EXECED) not in it.it.table.images
        it.kernel.put(destination(established=1))
        it.look()
        it.look(INTERVAL)
    ((series,),) = sender.batches
    assert series.attributes["process.executable.name"] == "curl"


def test_one_whose_exec_is_still_in_the_ring_waits_for_its_name(tmp_path: Path) -> None:
    sender = Scripted()
    with case(tmp_path, sender) as it:
        it.kernel.put(destination(established=1))
        it.look(INTERVAL + 1)
        assert sender.batches == [[]]
        it.happen(*life(PID, START)[:2])
        it.look(INTERVAL)
    assert [series.attributes["process.executable.name"] for series in sender.batches[-1]] == ["curl"]


def test_one_that_nobody_knows_is_told_as_far_as_the_kernel_knows_it_and_counted(tmp_path: Path) -> None:
    sender = Scripted()
    with case(tmp_path, sender) as it:
        it.kernel.put(destination(established=1))
        for _ in range(6):
            it.look()
        it.look(INTERVAL)
        assert it.ledger.noted["traffic.process_unknown"] == 1
        it.happen(*life(PID, START)[:2])
        it.look(INTERVAL)
    (first,), (second,) = sender.batches
    assert first.attributes["process.pid"] == PID
    assert first.attributes["podwitness.process.exec_id"] == EXECED
    assert "process.executable.name" not in first.attributes
    assert second.attributes == first.attributes, "a series does not change its name"


def test_what_found_no_room_is_told_as_overflow_of_the_host_and_stays(tmp_path: Path) -> None:
    sender = Scripted()
    rest = destination(pid=0, established=9)._replace(key=bytes(40))
    with case(tmp_path, sender) as it:
        it.kernel.put(rest)
        it.look(INTERVAL + 1)
        sender.deliver()
        it.look()
        assert it.kernel.read() == [rest]
    ((series,),) = sender.batches
    assert series.attributes == {"otel.metric.overflow": True}
    assert series.resource.attributes == {"host.name": "node-1"}


def test_what_is_over_leaves_the_kernel_once_its_last_numbers_have_arrived(tmp_path: Path) -> None:
    sender = Scripted()
    with case(tmp_path, sender) as it:
        it.happen(*life(PID, START)[:2])
        it.kernel.put(destination(established=1, begun=1))
        it.look(INTERVAL + 1)
        sender.deliver()
        it.happen(*life(PID, START)[2:])
        it.look()
        assert it.kernel.entries, "its connection is still open"
        it.kernel.put(destination(established=1, begun=1, ended=1, sent=5))
        it.look()
        assert it.kernel.entries, "the last numbers were not sent"
        it.look(INTERVAL)
        assert it.kernel.entries, "the last numbers have not arrived"
        sender.deliver()
        it.look()
        assert not it.kernel.entries
        it.look(INTERVAL)
    assert [[series.numbers.sent for series in batch] for batch in sender.batches] == [[0], [5], []]


def test_a_connection_whose_end_nobody_saw_does_not_hold_its_entry_for_ever(tmp_path: Path) -> None:
    sender = Scripted()
    with case(tmp_path, sender) as it:
        it.happen(*life(PID, START))
        it.kernel.put(destination(established=1, begun=1))
        it.look(INTERVAL + 1)
        sender.deliver()
        it.look(599)
        sender.deliver()
        assert it.kernel.entries
        it.look(2)
        assert not it.kernel.entries


def test_what_was_counted_while_it_was_taken_out_is_sent_once_more(tmp_path: Path) -> None:
    sender = Scripted()
    with case(tmp_path, sender) as it:
        it.happen(*life(PID, START))
        it.kernel.put(destination(established=1))
        it.look(INTERVAL + 1)
        sender.deliver()
        it.kernel.take = lambda key: it.kernel.entries.pop(key)._replace(failed=7)  # type: ignore[method-assign]
        it.look()
        for _ in range(2):
            it.look(INTERVAL)
        sender.deliver()
        it.look(INTERVAL)
    assert [[series.numbers.failed for series in batch] for batch in sender.batches] == [[0], [7], [7], []]


def test_numbers_that_would_go_nowhere_are_refused_with_the_setting_that_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"telemetry\.metrics_endpoint"):
        parse("{sinks: {}, observe: {network: {metrics: true}}}", where="c.yaml")


steps = st.one_of(
    st.tuples(st.just("count"), st.integers(1, 3), st.integers(1, 100)),
    st.tuples(st.just("late"), st.integers(1, 3), st.integers(1, 100)),
    st.tuples(st.sampled_from(["look", "send", "deliver", "end"]), st.just(0), st.just(0)),
)


@given(st.lists(steps, max_size=40))
def test_whatever_fails_and_whoever_is_late_sums_are_what_was_counted(
    tmp_path_factory: pytest.TempPathFactory, taken: list[tuple[str, int, int]]
) -> None:
    """`late`: counted in the very moment in which the entry is taken out."""
    sender, truth, made, late = Scripted(), Counter[int](), 0, Counter[int]()
    with case(tmp_path_factory.mktemp("it"), sender) as it:
        it.happen(*life(PID, START)[:2])

        def take(key: bytes) -> Destination | None:
            entry = it.kernel.entries.pop(key)
            number = entry.address[-1]
            more, late[number] = late[number], 0
            truth[number] += more
            return entry._replace(established=entry.established + more)

        it.kernel.take = take  # type: ignore[method-assign]
        for step, number, count in taken:
            if step == "count":
                entry = destination(number)
                if entry.key not in it.kernel.entries:
                    made += 1
                entry = it.kernel.entries.get(entry.key, entry._replace(first=FIRST + made))
                it.kernel.put(entry._replace(established=entry.established + count))
                truth[number] += count
            elif step == "late":
                late[number] += count
            elif step == "end":
                it.happen(*life(PID, START)[2:])
            elif step == "deliver":
                sender.deliver()
            else:
                it.look(INTERVAL + 1 if step == "send" else 1.0)
        it.look(last=True)
        sender.deliver()
    newest = {(one.start, one.attributes["server.address"]): one for batch in sender.batches for one in batch}
    sums = Counter[int]()
    for series in newest.values():
        sums[series.numbers.address[-1]] += series.numbers.established
    assert sums == +truth
