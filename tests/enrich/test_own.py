"""What the agent tells of itself, as events of the host."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from exporter import probes
from exporter.enrich.own import SHOWN, Own
from exporter.model import Attributes, Event, Loss, Ranges, Resource

HOST = Resource({"host.name": "node-1"})
LOST = "podwitness.agent.lost."


def said(event: Event) -> Attributes:
    return {name: value for name, value in zip(event.kind.own, event.values, strict=True) if value is not None}


def loss(count: int | None, sequences: Ranges = ()) -> Loss:
    return Loss("a", "spool", "queue_full", count, 1_795_000_000 * 10**9, 1_795_000_001 * 10**9, sequences)


def test_its_events_are_of_the_host_and_of_no_process() -> None:
    own = Own("b007", HOST)
    told = [own.started("0.1.0", resumed=True), own.degraded("caches", "begun", 7, 9), own.signed(), own.stopped()]
    assert [event.kind for event in told] == [
        probes.AGENT_STARTED,
        probes.DEGRADATION,
        probes.CHAIN_SIGNED,
        probes.AGENT_STOPPED,
    ]
    for event in told:
        assert (event.resource, event.process.attributes) == (HOST, {})
        assert (event.process.trace_id, event.process.span_id) == (b"", b"")
        assert event.time == event.observed > 0
        assert len(event.values) == len(event.kind.own)
    assert said(told[0]) == {"podwitness.agent.version": "0.1.0", "podwitness.agent.resumed": True}
    assert set(said(told[1]).values()) == {"caches", "begun", 7, 9}


def test_what_can_be_seen_here_and_what_cannot_is_told_for_each_event_type() -> None:
    own = Own("b007", HOST)
    seen, unseen = own.seen("file.open", "sys_exit: open openat"), own.unseen("namespace.setns", "no such hook")
    assert (seen.kind, unseen.kind) == (probes.PROBE_ATTACHED, probes.PROBE_FAILED)
    probe = "podwitness.agent.probe."
    assert said(seen) == {probe + "type": "file.open", probe + "hook": "sys_exit: open openat"}
    assert said(unseen) == {probe + "type": "namespace.setns", probe + "reason": "no such hook"}
    assert (seen.kind.severity, unseen.kind.severity) == (5, 13)


def test_no_two_have_the_same_uid_however_fast_they_come() -> None:
    own = Own("b007", HOST)
    uids = [own.stopped().uid for _ in range(10_000)]
    assert len(set(uids)) == 10_000
    assert all(uid.startswith("b007-agent-") for uid in uids)


def test_a_loss_is_told_with_its_count_its_times_and_its_numbers() -> None:
    (event,) = Own("b007", HOST).lost(loss(5, ((3, 3), (7, 10))))
    assert said(event) == {
        LOST + "stage": "spool",
        LOST + "reason": "queue_full",
        LOST + "count": 5,
        LOST + "from": "2026-11-18T11:06:40.000Z",
        LOST + "to": "2026-11-18T11:06:41.000Z",
        LOST + "sequences": ("3", "7-10"),
    }


def test_numbers_are_told_with_the_stream_they_are_of() -> None:
    own = Own("b007", HOST)
    gaps = tuple((at, at) for at in range(1, 4 * SHOWN, 2))
    events = own.lost(msgspec.structs.replace(loss(len(gaps), gaps), stream="0123"))
    assert len(events) == 4 // 2
    assert {said(event)[LOST + "stream"] for event in events} == {"0123"}
    (event,) = own.lost(msgspec.structs.replace(loss(5), stream="0123"))
    assert LOST + "stream" not in said(event)


def test_what_nobody_counted_has_no_count_and_what_has_no_numbers_none() -> None:
    (event,) = Own("b007", HOST).lost(loss(None))
    assert {LOST + "count", LOST + "sequences"}.isdisjoint(said(event))


gaps = st.lists(st.tuples(st.integers(1, 5), st.integers(2, 9)), max_size=3 * SHOWN)


@given(gaps, st.integers(0, 100))
def test_however_many_numbers_are_lost_each_is_told_once_and_the_counts_add_up(
    drawn: list[tuple[int, int]], unnumbered: int
) -> None:
    at, ranges = 1, list[tuple[int, int]]()
    for size, gap in drawn:
        ranges.append((at, at + size - 1))
        at += size + gap - 1
    total = sum(last - first + 1 for first, last in ranges) + unnumbered
    told = list(map(said, Own("b007", HOST).lost(loss(total, tuple(ranges)))))
    assert sum(int(str(one[LOST + "count"])) for one in told) == total
    texts = [text for one in told for text in one.get(LOST + "sequences", ())]  # type: ignore[union-attr]
    assert texts == [f"{a}-{b}" if b > a else str(a) for a, b in ranges]
    assert len(told) == max(1, -(-len(ranges) // SHOWN))
