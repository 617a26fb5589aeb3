"""The end of an outbox: what it still sends, what it gives up, what stays for the next start."""

import pytest

from tests.sink.outboxes import ACCEPTED, AGAIN, FAR_AWAY, Case, Hanging, Scripted, Spool, payload
from tests.waiting import wait_for


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


def test_what_is_not_sent_by_the_end_stays_for_the_next_start() -> None:
    case = Case(Scripted([FAR_AWAY] * 2), spool := Spool())
    case.put(payload(3), payload(4))
    spool.commit()
    case.outbox.start()
    wait_for(lambda: case.ledger.noted["retry.loki"], "a failed attempt")
    case.outbox.close()
    assert (case.sent, case.drops, case.ledger.kept["loki"]) == (0, {}, 7)
    assert len(spool.rows) == 2
