"""The head of the queue in halves and rejected in part: what of it arrives, and how the rest is counted."""

import gzip
import logging

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.model import Delivery, Payload
from tests.sink.clock import Simulated
from tests.sink.outboxes import (
    ACCEPTED,
    AGAIN,
    REFUSED,
    TOO_LARGE,
    UNANSWERED,
    Case,
    Hanging,
    Scripted,
    Spool,
    lines,
)


class Limited(Scripted):
    """Takes no more than so many records at once, and never one that has `poison` in it."""

    def __init__(self, limit: int = 1000, poison: bytes = b"?", answer: Delivery = TOO_LARGE) -> None:
        super().__init__()
        self._limit, self._poison, self._answer = limit, poison, answer

    def send(self, payload: Payload) -> Delivery:
        self.attempts.append(payload)
        if payload.records > self._limit or self._poison in payload.data:
            return self._answer
        self.accepted.append(payload)
        return ACCEPTED

    @property
    def lines(self) -> list[bytes]:
        return [line for one in self.accepted for line in one.data.splitlines()]


def test_what_is_too_large_goes_in_halves_in_their_order_before_anything_else(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(transport := Limited(2))
    case.run(lines(*"abcdefg"), lines(*"hi"))
    assert transport.lines == [name.encode() for name in "abcdefghi"]
    assert max(one.records for one in transport.accepted) == 2
    assert (case.sent, case.drops, case.ledger.noted) == (9, {}, {})
    assert caplog.messages == ["sink loki (scripted): 7 records go in halves, too_large: HTTP 413"]


def test_a_single_record_that_is_too_large_is_dropped_and_the_others_arrive(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(transport := Limited(poison=b"e"))
    case.run(lines(*"abcdefg"), lines(*"hi"))
    assert transport.lines == [name.encode() for name in "abcdfghi"]
    assert (case.sent, case.drops) == (8, {"too_large": 1})
    assert "sink loki (scripted): dropped 1 records: too_large: HTTP 413" in caplog.messages


def test_a_payload_of_one_record_that_is_too_large_is_dropped_with_its_number() -> None:
    case = Case(Limited(poison=b"a"))
    case.run(lines("a", first=41), lines("b", first=42))
    assert (case.sent, case.drops) == (1, {"too_large": 1})
    assert case.losses()["too_large"].sequences == ((41, 41),)


def test_what_nobody_acknowledges_is_resent_so_often_then_halved_then_dropped() -> None:
    case = Case(transport := Limited(poison=b"b", answer=UNANSWERED), clock=Simulated(), max_resends=2)
    case.deliver(whole := lines(*"ab"), lines("c"))
    assert [one.data for one in transport.attempts] == [*[b"a\nb\n"] * 3, b"a\n", *[b"b\n"] * 3, b"c\n"]
    assert all(one is whole for one in transport.attempts[:3]), "the same chunk to the receiver"
    assert (case.sent, case.drops) == (2, {"unacknowledged": 1})
    assert case.ledger.noted["retry.loki"] == 6


def test_a_receiver_that_is_gone_in_between_is_no_sign_against_the_payload() -> None:
    script = [*[UNANSWERED] * 2, AGAIN, *[UNANSWERED] * 2, AGAIN, *[UNANSWERED] * 2]
    case = Case(Scripted(script), clock=Simulated(), max_resends=2)
    case.deliver(whole := lines(*"ab"))
    assert case.transport.attempts == [whole] * 9
    assert (case.sent, case.drops) == (2, {})


def test_what_cannot_be_taken_apart_is_dropped_as_a_whole(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(Scripted([TOO_LARGE]))
    case.run(Payload("logs", b"no lines", 5, sequences=((3, 7),)), lines("a"))
    assert (case.sent, case.drops) == (1, {"too_large": 5})
    assert case.losses()["too_large"].sequences == ((3, 7),)
    assert "5 records cannot be split" in caplog.text


@given(st.integers(1, 60), st.integers(1, 60), st.sets(st.integers(0, 59)))
@settings(deadline=None)
def test_exactly_the_records_that_cannot_go_are_lost(records: int, limit: int, poisonous: set[int]) -> None:
    logging.disable()
    names = [f"{number}{'?' if number in poisonous else ''}" for number in range(records)]
    case = Case(transport := Limited(limit))
    case.run(lines(*names))
    logging.disable(logging.NOTSET)
    assert transport.lines == [name.encode() for name in names if "?" not in name]
    assert (case.sent, sum(case.drops.values())) == (len(transport.lines), records - len(transport.lines))


def test_what_is_lost_is_of_the_payloads_stream() -> None:
    case = Case(Scripted([Delivery("accepted", rejected=1), Delivery("refused")]))
    case.run(*(msgspec.structs.replace(lines(*"abcd", first=7), stream=stream) for stream in ("old", "new")))
    streams = {reason: loss.stream for reason, loss in case.losses().items()}
    assert streams == {"rejected_by_receiver": "old", "refused": "new"}


def test_nobody_knows_which_records_were_rejected_but_the_log_says_among_which(
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = Case(Scripted([Delivery("accepted", "too old", rejected=2)]))
    case.run(lines(*"abcd", first=7))
    assert (case.sent, case.losses()["rejected_by_receiver"].sequences) == (2, ((7, 10),))
    assert caplog.messages == ["sink loki (scripted): rejected 2 records (of 7-10): too old"]


@pytest.mark.parametrize(
    ("answer", "reason"), [(REFUSED, "refused"), (Delivery("accepted", rejected=4), "rejected_by_receiver")]
)
def test_what_is_lost_as_a_whole_is_lost_by_number(answer: Delivery, reason: str) -> None:
    case = Case(Scripted([answer]))
    case.run(lines(*"abcd", first=7))
    assert (case.sent, case.drops, case.losses()[reason].sequences) == (0, {reason: 4}, ((7, 10),))


def test_halves_of_what_is_compressed_are_compressed() -> None:
    case = Case(Scripted([TOO_LARGE], gzip=True))
    case.run(lines(*"abc"))
    assert [gzip.decompress(one.data) for one in case.transport.accepted] == [b"a\n", b"b\nc\n"]


def test_a_head_with_lost_parts_is_settled_once_and_its_losses_are_counted_apart() -> None:
    case = Case(Limited(poison=b"c"), spool := Spool())
    case.put(lines(*"abcd"))
    spool.commit()
    case.run()
    assert (spool.settled, case.sent, case.drops) == ([""], 3, {"too_large": 1})


def test_a_head_that_is_lost_in_all_its_parts_is_the_queues_to_count() -> None:
    case = Case(Limited(limit=0), spool := Spool())
    case.put(lines(*"abcd"))
    spool.commit()
    case.run()
    assert (spool.settled, case.sent, case.drops) == (["too_large"], 0, {})


def test_an_end_between_two_halves_keeps_the_whole() -> None:
    hanging = Hanging(ACCEPTED)
    case = Case(Scripted([TOO_LARGE, ACCEPTED, hanging]), spool := Spool(), shutdown_seconds=0.01)
    case.put(whole := lines(*"abcd"))
    spool.commit()
    case.outbox.start()
    assert hanging.begun.wait(30)
    case.outbox.close()
    hanging.let_go.set()
    assert case.transport.closed.wait(30)
    assert list(spool.rows) == [whole]
    assert (case.sent, case.drops, case.ledger.kept["loki"]) == (0, {}, 4)
