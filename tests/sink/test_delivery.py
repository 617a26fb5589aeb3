"""The outbox: order, retries, overflow, the end; and that nothing is lost in silence."""

import logging
import threading
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter import config
from exporter.model import Delivery, Payload
from exporter.sink.delivery import Outbox
from exporter.telemetry import Ledger
from tests.waiting import wait_for

ACCEPTED = Delivery("accepted")
AGAIN = Delivery("retry", "come back later")
REFUSED = Delivery("refused", "no such tenant")
FAR_AWAY = Delivery("retry", "maintenance", delay=3000.0)

Outcome = Delivery | Exception | Callable[[], Delivery]


class Scripted:
    """A transport that answers from a list, then accepts; `attempts` are the payloads it was given."""

    endpoint = "scripted"

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        self._outcomes = iter(outcomes)
        self.attempts: list[Payload] = []
        self.accepted: list[Payload] = []
        self.closed = threading.Event()

    def send(self, payload: Payload) -> Delivery:
        self.attempts.append(payload)
        outcome = next(self._outcomes, ACCEPTED)
        if isinstance(outcome, Exception):
            raise outcome
        delivery = outcome() if callable(outcome) else outcome
        if delivery.outcome == "accepted":
            self.accepted.append(payload)
        return delivery

    def close(self) -> None:
        assert not self.closed.is_set(), "closed twice"
        self.closed.set()


class Hanging:
    """An attempt that lasts until it is let go."""

    def __init__(self, then: Delivery) -> None:
        self.begun, self.let_go, self._then = threading.Event(), threading.Event(), then

    def __call__(self) -> Delivery:
        self.begun.set()
        assert self.let_go.wait(30)
        return self._then


def payload(records: int = 1, size: int = 10) -> Payload:
    return Payload("logs", bytes(size), records)


def queue(**changes: float) -> config.Queue:
    """Settings with waits that a test does not feel."""
    quick: dict[str, float] = {"retry_initial_seconds": 0.0001, "retry_max_seconds": 0.001}
    return config.Queue(**(quick | {"shutdown_seconds": 30.0} | changes))  # type: ignore[arg-type]


class Case:
    """An outbox with its ledger."""

    def __init__(self, transport: Scripted, **changes: float) -> None:
        self.transport, self.ledger = transport, Ledger()
        self.outbox = Outbox("loki", transport, queue(**changes), self.ledger)

    def put(self, *payloads: Payload) -> None:
        for one in payloads:
            self.outbox.put(one)

    def run(self, *payloads: Payload) -> None:
        """The whole life with these."""
        self.outbox.start()
        self.put(*payloads)
        self.outbox.close()

    @property
    def sent(self) -> int:
        return self.ledger.sent["loki"]

    @property
    def drops(self) -> dict[str, int]:
        assert all(d.sink == "loki" and d.stage == "sink" and not d.intentional for d in self.ledger.dropped)
        return {drop.reason: count for drop, count in self.ledger.dropped.items()}


def test_what_the_receiver_takes_is_sent_oldest_first() -> None:
    case = Case(Scripted())
    payloads = [payload(n) for n in (3, 5, 7)]
    case.run(*payloads)
    assert case.transport.attempts == payloads
    assert (case.sent, case.drops) == (15, {})
    assert case.transport.closed.is_set()


def test_an_idle_outbox_sends_what_comes_later() -> None:
    case = Case(Scripted())
    case.outbox.start()
    for n in range(1, 4):
        case.put(payload())
        wait_for(lambda: case.sent == len(case.transport.attempts) == n, f"{n} payloads sent")  # noqa: B023
    case.outbox.close()


def test_a_failed_payload_is_sent_again_before_the_next(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(Scripted([AGAIN, AGAIN, AGAIN]))
    first, second = payload(), payload()
    case.run(first, second)
    assert case.transport.attempts == [first] * 4 + [second]
    assert (case.sent, case.drops) == (2, {})
    assert case.ledger.noted["retry.loki"] == 3


def test_failing_and_recovering_are_one_log_line_each(caplog: pytest.LogCaptureFixture) -> None:
    Case(Scripted([AGAIN] * 20)).run(payload(), payload())
    assert caplog.messages == [
        "sink loki (scripted) fails, will try again: come back later",
        "sink loki (scripted) answers again",
    ]


def test_waits_double_up_to_the_maximum_and_begin_anew_after_a_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ranges: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        ranges.append((low, high))
        return low

    monkeypatch.setattr("exporter.sink.delivery.random.uniform", uniform)
    case = Case(Scripted([*[AGAIN] * 5, ACCEPTED, AGAIN]), retry_initial_seconds=1.0, retry_max_seconds=5.0)
    case.outbox.start()
    case.put(payload(), payload())
    wait_for(lambda: case.sent == 2, "both sent")
    case.outbox.close()
    assert ranges == [(0, 1.0), (0, 2.0), (0, 4.0), (0, 5.0), (0, 5.0), (0, 1.0)]


def test_what_the_receiver_rejects_is_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(Scripted([Delivery("accepted", "too old", rejected=4)]))
    case.run(payload(10), payload(1))
    assert (case.sent, case.drops) == (7, {"rejected_by_receiver": 4})
    assert caplog.messages == ["sink loki (scripted): rejected 4 records: too old"]


@pytest.mark.parametrize(("claimed", "counted"), [(11, 10), (2**63, 10), (-5, 0)])
def test_a_receiver_cannot_reject_more_than_it_got(claimed: int, counted: int) -> None:
    case = Case(Scripted([Delivery("accepted", rejected=claimed)]))
    case.run(payload(10))
    assert (case.sent, case.drops.get("rejected_by_receiver", 0)) == (10 - counted, counted)


def test_a_refused_payload_does_not_hold_up_the_next() -> None:
    case = Case(Scripted([REFUSED]))
    case.run(payload(10), payload(1))
    assert (case.sent, case.drops) == (1, {"refused": 10})


def test_a_hundred_refusals_are_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(Scripted([REFUSED] * 100))
    case.run(*(payload() for _ in range(100)))
    assert case.drops == {"refused": 100}
    assert caplog.messages == ["sink loki (scripted): refused, dropped: no such tenant"]


def test_a_warning_of_a_receiver_that_takes_all_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(Scripted([Delivery("accepted", "attribute names are deprecated")]))
    case.run(payload())
    assert case.sent == 1
    assert caplog.messages == ["sink loki (scripted): accepted with a warning: attribute names are deprecated"]


def test_a_bug_in_a_transport_costs_its_payload_only(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(Scripted([ZeroDivisionError("a bug")]))
    case.run(payload(10), payload(1))
    assert (case.sent, case.drops) == (1, {"internal_error": 10})
    assert "ZeroDivisionError: a bug" in caplog.text


def test_a_full_queue_loses_its_oldest() -> None:
    case = Case(Scripted(), max_bytes=30)
    payloads = [payload(n, size=10) for n in (1, 2, 4, 8)]
    case.put(*payloads)
    assert case.drops == {"queue_full": 1}
    case.put(large := payload(16, size=25))
    assert case.drops == {"queue_full": 15}
    case.run()
    assert (case.transport.attempts, case.sent) == ([large], 16)


def test_a_payload_that_can_never_fit_leaves_the_queue_alone(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(Scripted(), max_bytes=30)
    case.put(payload(1), payload(2, size=31))
    case.run()
    assert (case.sent, case.drops) == (1, {"too_large_for_queue": 2})
    assert "dropped 2 records: too_large_for_queue" in caplog.text


def test_overflow_does_not_touch_the_payload_that_is_being_sent() -> None:
    hanging = Hanging(ACCEPTED)
    case = Case(Scripted([hanging]), max_bytes=10)
    case.outbox.start()
    case.put(payload(1))
    assert hanging.begun.wait(30)
    case.put(payload(2), payload(4))
    assert case.drops == {"queue_full": 2}
    hanging.let_go.set()
    case.outbox.close()
    assert (case.sent, case.drops) == (5, {"queue_full": 2})


def test_a_failed_payload_that_finds_the_queue_full_is_the_oldest() -> None:
    hanging = Hanging(AGAIN)
    case = Case(Scripted([hanging]), max_bytes=10)
    case.outbox.start()
    case.put(payload(1))
    assert hanging.begun.wait(30)
    case.put(newer := payload(2))
    hanging.let_go.set()
    case.outbox.close()
    assert case.transport.attempts[1:] == [newer]
    assert (case.sent, case.drops) == (2, {"queue_full": 1})


def test_a_receiver_that_is_down_for_good_costs_the_oldest_and_no_more_memory() -> None:
    case = Case(Scripted(AGAIN for _ in iter(int, 1)), max_bytes=30, shutdown_seconds=0.01)
    case.run(*(payload(1) for _ in range(100)))
    drops = case.drops
    assert drops["queue_full"] + drops["shutdown"] == 100
    assert 0 < drops["shutdown"] <= 4, "three that wait and one in flight"


def test_the_end_sends_what_is_queued() -> None:
    case = Case(Scripted([AGAIN] * 3))
    case.put(*(payload() for _ in range(50)))
    case.run()
    assert (case.sent, case.drops) == (50, {})


def test_the_end_does_not_wait_as_long_as_the_receiver_asked_for() -> None:
    case = Case(Scripted([FAR_AWAY]))
    case.outbox.start()
    case.put(first := payload())
    wait_for(lambda: case.ledger.noted["retry.loki"], "a first failed attempt")
    case.outbox.close()
    assert case.transport.attempts == [first, first]
    assert case.sent == 1


def test_no_attempt_is_made_before_the_time_the_receiver_asked_for() -> None:
    case = Case(Scripted([FAR_AWAY, FAR_AWAY, ACCEPTED, ACCEPTED]))
    case.outbox.start()
    case.put(first := payload(1), payload(2))
    wait_for(lambda: case.ledger.noted["retry.loki"], "a first failed attempt")
    case.put(payload(4))
    case.outbox.close()
    # One attempt on its own, one because of the end; then the deadline comes before the next may be made.
    assert case.transport.attempts == [first, first]
    assert (case.sent, case.drops) == (0, {"shutdown": 7})


@pytest.mark.parametrize("delay", [None, 0.0, -1.0, 0.001])
def test_a_receiver_that_asks_for_no_wait_gets_ours(delay: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.sink.delivery.random.uniform", lambda _low, _high: 3000.0)
    case = Case(Scripted([Delivery("retry", "at once", delay=delay)] * 1000))
    case.outbox.start()
    case.put(first := payload())
    wait_for(lambda: case.ledger.noted["retry.loki"], "a first failed attempt")
    case.put(payload())  # wakes the thread
    case.outbox.close()
    # One attempt on its own, one because of the end.
    assert case.transport.attempts == [first, first]


def test_nothing_more_is_tried_where_nobody_is_there_any_more(caplog: pytest.LogCaptureFixture) -> None:
    hanging = Hanging(Delivery("closed", "stdout is closed"))
    case = Case(Scripted([ACCEPTED, hanging]))
    case.ledger.offer("loki", 0)
    case.outbox.start()
    case.put(payload(1), last := payload(2), payload(4))
    assert hanging.begun.wait(30)
    assert not case.ledger.deserted
    hanging.let_go.set()
    wait_for(lambda: case.ledger.deserted, "the ledger knows")
    case.put(payload(8))
    case.outbox.close()
    assert case.transport.attempts[1:] == [last]
    assert (case.sent, case.drops) == (1, {"closed": 14})
    assert caplog.messages == ["sink loki: stdout is closed; nothing more goes there"]


@pytest.mark.parametrize("delay", [0.0, -1.0, 1e18, float("inf"), float("nan")])
def test_no_delay_is_too_odd_for_the_thread(delay: float) -> None:
    case = Case(Scripted([Delivery("retry", "odd", delay=delay)]))
    case.outbox.start()
    case.put(payload())
    wait_for(lambda: case.ledger.noted["retry.loki"], "a first failed attempt")
    case.outbox.close()
    assert case.sent == 1


def test_an_attempt_that_outlasts_the_end_is_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    hanging = Hanging(ACCEPTED)
    case = Case(Scripted([hanging]), shutdown_seconds=0.01)
    case.outbox.start()
    case.put(payload(1), payload(2))
    assert hanging.begun.wait(30)
    case.outbox.close()
    assert case.drops == {"shutdown": 3}
    assert caplog.messages == ["sink loki (scripted): gave up 3 records at shutdown"]
    assert not case.transport.closed.is_set(), "the attempt still uses it"
    hanging.let_go.set()
    assert case.transport.closed.wait(30)
    assert (case.sent, case.drops) == (0, {"shutdown": 3})


def test_an_outbox_that_never_started_still_counts() -> None:
    case = Case(Scripted())
    case.put(payload(3))
    case.outbox.close()
    assert (case.sent, case.drops) == (0, {"shutdown": 3})
    assert case.transport.closed.is_set()


def test_what_comes_after_the_end_is_counted_and_closing_twice_is_harmless() -> None:
    case = Case(Scripted())
    case.run(payload(1))
    case.put(payload(2))
    case.outbox.close()
    assert (case.sent, case.drops) == (1, {"shutdown": 2})


outcomes = st.one_of(
    st.builds(Delivery, st.just("accepted"), rejected=st.integers(-1, 5)),
    st.builds(Delivery, st.just("retry"), delay=st.sampled_from([None, 0.0, 0.0005, 3000.0])),
    st.just(REFUSED),
    st.just(Delivery("closed")),
    st.builds(ValueError),
)


@given(
    script=st.lists(outcomes, max_size=12),
    before=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 25)), max_size=6),
    after=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 25)), max_size=6),
    patience=st.sampled_from([0.0001, 0.005, 30.0]),
)
@settings(deadline=None, max_examples=150)
def test_all_that_comes_in_is_sent_or_dropped(
    script: list[Outcome], before: list[tuple[int, int]], after: list[tuple[int, int]], patience: float
) -> None:
    logging.disable()
    try:
        case = Case(Scripted(script), max_bytes=20, shutdown_seconds=patience)
        payloads = [payload(records, size) for records, size in before + after]
        case.put(*payloads[: len(before)])
        case.run(*payloads[len(before) :])
        everything = sum(one.records for one in payloads)
        assert case.sent + sum(case.drops.values()) == everything
        assert case.transport.closed.wait(30)
        assert case.sent + sum(case.drops.values()) == everything, "an attempt that came back late"
    finally:
        logging.disable(logging.NOTSET)
    identities = [id(one) for one in case.transport.accepted]
    assert len(identities) == len(set(identities)), "accepted twice"
    first_seen = list(dict.fromkeys(id(one) for one in case.transport.attempts))
    order = [id(one) for one in payloads]
    assert first_seen == sorted(first_seen, key=order.index), "oldest first"
