"""The queue in memory: order, bounds, ages; and that its head is not taken away from who sends it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import config
from exporter.model import Loss, Payload
from exporter.sink.queue import MemoryQueue, Queue
from exporter.telemetry import Ledger
from tests.sink.clock import Simulated


def payload(records: int = 1, size: int = 10, first: int = 0) -> Payload:
    return Payload("logs", bytes(size), records, sequences=((first, first + records - 1),) if first else ())


class Case:
    """A queue with its ledger and its clock."""

    def __init__(self, max_bytes: int = 30, max_age_seconds: float = 1000.0) -> None:
        self.ledger, self.clock = Ledger(), Simulated()
        settings = config.Queue(max_bytes=max_bytes, max_age_seconds=max_age_seconds)
        self.queue: Queue = MemoryQueue("loki", settings, self.ledger, now=self.clock.now)

    def put(self, *payloads: Payload) -> None:
        for one in payloads:
            assert self.queue.put(one)

    @property
    def drops(self) -> dict[str, int]:
        assert all(drop.sink == "loki" and drop.stage == "sink" for drop in self.ledger.dropped)
        return {drop.reason: count for drop, count in self.ledger.dropped.items()}

    def rest(self) -> list[Payload]:
        found = []
        while (head := self.queue.head()) is not None:
            found.append(head)
            self.queue.settle()
        return found

    def losses(self) -> dict[str, Loss]:
        return {loss.reason: loss for loss in self.ledger.losses()}


def test_what_is_put_comes_out_in_that_order() -> None:
    case = Case()
    payloads = [payload(n) for n in (3, 5, 7)]
    case.put(*payloads)
    assert case.queue.waiting == 15
    assert case.rest() == payloads
    assert (case.queue.waiting, case.queue.head(), case.drops) == (0, None, {})


def test_the_head_stays_the_same_until_it_is_settled() -> None:
    case = Case()
    case.put(first := payload(), second := payload())
    assert case.queue.head() is case.queue.head() is first
    case.queue.settle()
    assert case.queue.head() is second


def test_a_full_queue_loses_its_oldest_and_says_which_numbers_they_had() -> None:
    case = Case()
    case.put(*(payload(n, first=10 * n) for n in (1, 2, 4, 8)))
    assert case.drops == {"queue_full": 1}
    case.put(large := payload(16, size=25))
    assert case.drops == {"queue_full": 15}
    assert case.losses()["queue_full"].sequences == ((10, 10), (20, 21), (40, 43), (80, 87))
    assert case.rest() == [large]


def test_overflow_does_not_touch_the_head() -> None:
    case = Case(max_bytes=10)
    case.put(first := payload(1))
    assert case.queue.head() is first
    case.put(payload(2), newest := payload(4))
    assert case.drops == {"queue_full": 2}
    assert case.rest() == [first, newest]


def test_a_payload_that_can_never_fit_leaves_the_queue_alone() -> None:
    case = Case()
    case.put(fits := payload(1), payload(2, size=31))
    assert case.drops == {"too_large_for_queue": 2}
    assert case.rest() == [fits]


def test_what_was_dropped_is_logged_by_who_takes_the_head(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(max_bytes=10)
    case.put(payload(1), payload(2), payload(4))
    assert caplog.messages == [], "the reader's thread must not block on a log"
    case.queue.head()
    assert caplog.messages == ["sink loki: dropped 3 records: queue_full"]


def test_what_is_too_old_is_dropped_but_for_the_head() -> None:
    case = Case(max_age_seconds=60.0)
    case.put(head := payload(1))
    assert case.queue.head() is head
    case.put(payload(2, first=7))
    case.clock.pass_by(59)
    case.put(young := payload(4))
    case.clock.pass_by(2)
    assert case.rest() == [head, young]
    assert case.drops == {"too_old": 2}
    assert case.losses()["too_old"].sequences == ((7, 8),)


def test_a_lost_head_is_counted_with_its_numbers() -> None:
    case = Case()
    case.put(payload(3, first=4), after := payload())
    case.queue.head()
    case.queue.settle("refused")
    assert case.drops == {"refused": 3}
    assert case.losses()["refused"].sequences == ((4, 6),)
    assert case.rest() == [after]


def test_at_the_end_nothing_stays() -> None:
    case = Case()
    case.put(payload(1, first=1), payload(2, first=2))
    case.queue.head()
    assert case.queue.close() == 0
    assert not case.queue.put(payload(4))
    assert (case.queue.waiting, case.queue.head(), case.drops) == (0, None, {"shutdown": 7})
    assert case.losses()["shutdown"].sequences == ((1, 3),)


steps = st.one_of(
    st.builds(payload, st.integers(1, 4), st.integers(0, 35)),
    st.sampled_from(["head", "settle", "lose", "wait"]),
)


@given(st.lists(steps, max_size=40))
def test_all_that_is_put_is_settled_or_dropped(script: list[Payload | str]) -> None:
    case, put, delivered = Case(max_age_seconds=50.0), 0, 0
    for step in script:
        if isinstance(step, Payload):
            case.queue.put(step)
            put += step.records
        elif step == "wait":
            case.clock.pass_by(20.0)
        elif (head := case.queue.head()) is not None and step in ("settle", "lose"):
            case.queue.settle("refused" if step == "lose" else "")
            delivered += head.records if step == "settle" else 0
        assert case.queue.waiting + delivered + sum(case.drops.values()) == put
    case.queue.close()
    assert delivered + sum(case.drops.values()) == put
