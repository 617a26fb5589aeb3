"""The outbox: order, retries, overflow, the end; and that nothing is lost in silence."""

import gzip
import logging
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.model import Delivery, Payload
from tests.sink.outboxes import (
    ACCEPTED,
    AGAIN,
    REFUSED,
    TOO_LARGE,
    UNANSWERED,
    Case,
    Hanging,
    Outcome,
    Scripted,
    Spool,
    payload,
)
from tests.waiting import wait_for


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


def test_a_failed_payload_is_not_pushed_out_by_newer_ones() -> None:
    hanging = Hanging(AGAIN)
    case = Case(Scripted([hanging]), max_bytes=10)
    case.outbox.start()
    case.put(first := payload(1))
    assert hanging.begun.wait(30)
    case.put(payload(2), newest := payload(4))
    hanging.let_go.set()
    case.outbox.close()
    assert case.transport.attempts == [first, first, newest]
    assert (case.sent, case.drops) == (5, {"queue_full": 2})


def test_a_receiver_that_is_down_for_good_costs_the_oldest_and_no_more_memory() -> None:
    case = Case(Scripted(AGAIN for _ in iter(int, 1)), max_bytes=30, shutdown_seconds=0.01)
    case.run(*(payload(1) for _ in range(100)))
    drops = case.drops
    assert drops["queue_full"] + drops["shutdown"] == 100
    assert 0 < drops["shutdown"] <= 4, "three that wait and one in flight"


@pytest.mark.parametrize("delay", [None, 0.0, -1.0, 0.001])
def test_a_receiver_that_asks_for_no_wait_gets_ours(delay: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.sink.failover.random.uniform", lambda _low, _high: 3000.0)
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


outcomes = st.one_of(
    st.builds(Delivery, st.just("accepted"), rejected=st.integers(-1, 5)),
    st.builds(Delivery, st.just("retry"), delay=st.sampled_from([None, 0.0, 0.0005, 3000.0])),
    st.just(REFUSED),
    st.just(Delivery("closed")),
    st.just(UNANSWERED),
    st.just(TOO_LARGE),
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
    first_seen = [id(one) for one in dict.fromkeys(case.transport.attempts)]
    order = [id(one) for one in payloads]
    whole = [one for one in first_seen if one in order]
    assert whole == sorted(whole, key=order.index), "oldest first"


def test_payloads_wait_compressed_where_the_receiver_wants_that() -> None:
    case = Case(Scripted(gzip=True))
    already = Payload("logs", gzip.compress(b"b\n"), 1, "tag", ((2, 2),), gzip=True, size=2)
    case.run(Payload("logs", b"a\n", 1, "tag", ((1, 1),)), already)
    fresh, old = case.transport.attempts
    assert (gzip.decompress(fresh.data), fresh.gzip, fresh.size) == (b"a\n", True, 2)
    assert (fresh.records, fresh.tag, fresh.sequences) == (1, "tag", ((1, 1),))
    assert old is already


def test_nothing_is_sent_before_its_commit() -> None:
    case = Case(Scripted(), spool := Spool())
    case.outbox.start()
    case.put(first := payload())
    assert case.transport.attempts == []
    spool.commit()
    case.outbox.wake()
    wait_for(lambda: case.sent, "it is sent")
    case.outbox.close()
    assert (case.transport.attempts, spool.settled) == ([first], [""])


class Crossing(Spool):
    """A commit falls between the thread's look and its wait."""

    woken: Callable[[], None] | None = None

    def head(self) -> Payload | None:
        found = super().head()
        if self.woken and self.buffered:
            self.commit()
            self.woken()
        return found


def test_what_comes_while_the_thread_looks_is_not_overlooked() -> None:
    case = Case(Scripted(), spool := Crossing())
    spool.woken = case.outbox.wake
    case.put(payload())
    case.outbox.start()
    wait_for(lambda: case.sent, "it is sent")
    case.outbox.close()


def test_it_works_from_the_first_success_to_the_next_failure() -> None:
    hanging = Hanging(ACCEPTED)
    case = Case(Scripted([AGAIN, ACCEPTED, hanging, REFUSED]))
    case.outbox.start()
    assert not case.outbox.working
    case.put(payload(), payload())
    assert hanging.begun.wait(30)
    assert case.outbox.working, "while the next attempt lasts"
    case.put(payload())
    hanging.let_go.set()
    case.outbox.close()
    assert not case.outbox.working
