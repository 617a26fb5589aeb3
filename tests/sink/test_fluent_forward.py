"""Fluent Forward against real sockets and servers: what goes out, and what counts as an acknowledgement."""

import base64
from collections.abc import Iterator

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Delivery, Payload
from exporter.sink.fluent_connection import MAX_ANSWER_BYTES
from exporter.sink.fluent_forward import CUTS, MISTAKEN, SURELY_TAKEN, WANTS_KEY
from tests.sink.forward import ENTRIES, HANGUP, HELO, LARGE, PACKED, PAYLOAD, SILENCE, forward
from tests.sink.receivers import ForwardReceiver, Reply, ack


@pytest.fixture
def receiver() -> Iterator[ForwardReceiver]:
    """One that acknowledges all."""
    with ForwardReceiver() as receiver:
        yield receiver


def test_a_payload_is_one_packed_forward_message(receiver: ForwardReceiver) -> None:
    sink = forward(receiver.port)
    assert sink.send(PAYLOAD) == Delivery("accepted")
    sink.close()
    [message] = receiver.messages
    assert (message.tag, message.entries) == ("podwitness.process", ENTRIES)
    assert message.option.keys() == {"chunk", "size"}
    assert message.option["size"] == 2
    assert len(base64.b64decode(message.option["chunk"], validate=True)) == 16


def test_a_compressed_payload_is_one_compressed_packed_forward_message(receiver: ForwardReceiver) -> None:
    sink = forward(receiver.port)
    assert sink.gzip
    assert sink.send(PACKED) == Delivery("accepted")
    sink.close()
    [message] = receiver.messages
    assert (message.entries, message.option["compressed"], message.option["size"]) == (ENTRIES, "gzip", 2)


def test_what_was_compressed_under_other_settings_goes_out_as_the_receiver_wants_it(receiver: ForwardReceiver) -> None:
    sink = forward(receiver.port, compression="none")
    assert not sink.gzip
    assert sink.send(PACKED) == Delivery("accepted")
    sink.close()
    [message] = receiver.messages
    assert message.entries == ENTRIES
    assert "compressed" not in message.option


def test_what_was_damaged_in_the_queue_is_refused_and_never_sent(receiver: ForwardReceiver) -> None:
    sink = forward(receiver.port, compression="none")
    damaged = Payload("logs", PACKED.data[:-9], 2, tag=PACKED.tag, gzip=True, size=PACKED.size)
    assert sink.send(damaged).outcome == "refused"
    assert receiver.connections == 0


def test_the_connection_is_kept_and_each_payload_has_its_own_chunk(receiver: ForwardReceiver) -> None:
    sink = forward(receiver.port)
    for payload in (PAYLOAD, LARGE, PACKED):
        assert sink.send(payload) == Delivery("accepted")
    sink.close()
    assert receiver.connections == 1
    assert len({message.option["chunk"] for message in receiver.messages}) == 3


ANSWERS: dict[str, Reply] = {
    "the ack of another chunk": lambda chunk: ack(chunk[::-1]),
    "the ack with a newline": lambda chunk: ack(chunk + "\n"),
    "a map without ack": lambda chunk: bytes(msgpack.packb({"chunk": chunk})),
    "a list": lambda chunk: bytes(msgpack.packb(["ack", chunk])),
    "no MessagePack": lambda _chunk: b"\xc1",
    "text that is no UTF-8": lambda _chunk: b"\x81\xa3ack\xa1\xff",
    "an endless string": lambda _chunk: b"\xdb\xff\xff\xff\xff" + bytes(2 * MAX_ANSWER_BYTES),
    "a string that is announced and too long": lambda _chunk: b"\xdb\x00\x00\xff\xff" + bytes(2 * MAX_ANSWER_BYTES),
    "a nest": lambda _chunk: b"\x91" * 50_000,
    "a map with a list for a key": lambda _chunk: b"\x81\x90\x90",
}


@pytest.mark.parametrize("reply", ANSWERS.values(), ids=ANSWERS.keys())
def test_anything_but_the_ack_sends_the_same_chunk_again_on_a_new_connection(reply: Reply) -> None:
    with ForwardReceiver(reply) as receiver:
        sink = forward(receiver.port)
        first = sink.send(PAYLOAD)
        assert (first.outcome, sink.send(PAYLOAD).outcome) == ("retry", "accepted")
        assert first.reason.startswith("an answer that is no ack")
        sink.close()
    failed, repeated = receiver.messages
    assert (failed.connection, repeated.connection) == (1, 2)
    assert failed.option["chunk"] == repeated.option["chunk"]


def test_a_second_ack_is_not_taken_for_the_next_chunks() -> None:
    with ForwardReceiver(lambda chunk: ack(chunk) * 2) as receiver:
        sink = forward(receiver.port)
        assert sink.send(PAYLOAD) == sink.send(LARGE) == Delivery("accepted")
        sink.close()
    assert [message.connection for message in receiver.messages] == [1, 2]


def test_no_payload_gets_the_chunk_of_the_one_before() -> None:
    with ForwardReceiver(HANGUP) as receiver:
        sink = forward(receiver.port)
        sink.send(PAYLOAD)
        assert sink.send(LARGE).outcome == "accepted"
        sink.close()
    assert receiver.messages[0].option["chunk"] != receiver.messages[1].option["chunk"]


@pytest.mark.parametrize("payload", [PAYLOAD, LARGE], ids=["small", "large"])
def test_a_chunk_that_was_taken_and_never_acknowledged_is_unanswered(payload: Payload) -> None:
    """Fluentd says nothing of a chunk above its limit, Fluent Bit closes the connection."""
    with ForwardReceiver(ack, SILENCE, HANGUP) as receiver:
        sink = forward(receiver.port, ack_timeout_seconds=0.5)
        assert sink.send(PACKED) == Delivery("accepted")
        assert sink.send(payload) == Delivery("unanswered", "no ack in time")
        assert sink.send(payload) == Delivery("unanswered", "the receiver closed the connection without an ack")
        assert sink.send(payload) == Delivery("accepted")
        sink.close()
    assert len({message.option["chunk"] for message in receiver.messages[1:]}) == 1


def test_one_who_only_hangs_up_may_be_no_receiver_at_all_and_no_chunk_is_given_up_for_it() -> None:
    with ForwardReceiver(*[HANGUP] * 20) as receiver:
        sink = forward(receiver.port)
        small = {sink.send(PAYLOAD) for _ in range(10)}
        large = [sink.send(LARGE).outcome for _ in range(CUTS)]
    reason = f"the receiver closed the connection without an ack, and never gave one: {MISTAKEN}"
    assert small == {Delivery("retry", reason)}
    assert large == [*["retry"] * (CUTS - 1), "too_large"]


def test_a_chunk_that_the_receivers_host_never_took_is_a_retry(receiver: ForwardReceiver) -> None:
    """The host lost its power, or the network in between its memory of the connection."""
    sink = forward(receiver.port, ack_timeout_seconds=0.2)
    assert sink.send(PAYLOAD) == Delivery("accepted")
    receiver.vanish()
    delivery = sink.send(PAYLOAD)
    assert delivery == Delivery("retry", "no ack in time; the receiver's host has not taken all of it")
    assert sink.send(PAYLOAD) == Delivery("accepted")
    sink.close()
    assert [message.connection for message in receiver.messages] == [1, 2]


def test_a_receiver_that_takes_no_more_halfway_is_a_retry(receiver: ForwardReceiver) -> None:
    sink = forward(receiver.port, timeout_seconds=0.2)
    assert sink.send(PAYLOAD) == Delivery("accepted")
    receiver.vanish()
    payload = Payload("logs", LARGE.data * 10, 20, tag=LARGE.tag)  # more than both kernels hold
    assert sink.send(payload) == Delivery("retry", "timed out before all was written")
    sink.close()


@pytest.mark.parametrize("records", [2, 1])
def test_a_chunk_that_breaks_each_connection_is_tried_in_halves_where_it_has_any(records: int) -> None:
    def unread(_chunk: str) -> bytes | None:
        raise AssertionError("it reads nothing")

    large = Payload("logs", LARGE.data * 4, records, tag=LARGE.tag)
    assert len(large.data) > SURELY_TAKEN
    with ForwardReceiver(unread, reads=False) as receiver:
        sink = forward(receiver.port)
        outcomes = [sink.send(large).outcome for _ in range(CUTS)]
        small = [sink.send(PAYLOAD).outcome for _ in range(CUTS)]
        sink.close()
    assert outcomes == [*["retry"] * (CUTS - 1), "too_large" if records > 1 else "retry"]
    assert "too_large" not in small


def test_an_ack_in_bytes_is_an_ack() -> None:
    with ForwardReceiver(lambda chunk: bytes(msgpack.packb({"ack": chunk.encode()}))) as receiver:
        sink = forward(receiver.port)
        assert sink.send(PAYLOAD) == Delivery("accepted")
        sink.close()


@pytest.mark.parametrize("payload", [PAYLOAD, LARGE], ids=["small", "large"])
def test_a_receiver_that_wants_a_shared_key_is_named_as_such(payload: Payload) -> None:
    """Fluentd greets, reads something that is no PING and closes."""
    with ForwardReceiver(HANGUP, greeting=HELO) as receiver:
        sink = forward(receiver.port)
        assert sink.send(payload) == WANTS_KEY
        sink.close()
    assert "shared_key" in WANTS_KEY.reason


def test_a_receiver_that_greets_and_closes_without_reading_is_named_as_such() -> None:
    with ForwardReceiver(greeting=HELO, reads=False) as receiver:
        sink = forward(receiver.port)
        assert sink.send(LARGE) == WANTS_KEY
        sink.close()


@given(answer=st.binary(max_size=80), more=st.binary(max_size=80))
def test_no_answer_can_break_the_sink(answer: bytes, more: bytes) -> None:
    with ForwardReceiver(lambda _chunk: answer, lambda _chunk: more) as receiver:
        sink = forward(receiver.port, ack_timeout_seconds=0.005)
        outcomes = {sink.send(PAYLOAD).outcome for _ in range(2)}
        assert outcomes <= {"retry", "unanswered"}  # nobody guesses 16 random bytes
        sink.close()


@given(cut=st.integers(1, 30))
def test_an_ack_counts_only_when_it_is_whole(cut: int) -> None:
    with ForwardReceiver(lambda chunk: ack(chunk)[:-cut]) as receiver:
        sink = forward(receiver.port, ack_timeout_seconds=0.005)
        assert sink.send(PAYLOAD) == Delivery("unanswered", "no ack in time")
        sink.close()
