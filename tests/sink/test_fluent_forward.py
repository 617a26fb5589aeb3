"""Fluent Forward against a real socket: what goes out, and what counts as an acknowledgement."""

import base64
from collections.abc import Iterator

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import config
from exporter.model import Delivery, Payload
from exporter.sink.fluent_forward import MAX_ANSWER_BYTES, WANTS_KEY, FluentForward, _judge
from tests.peers.processes import free_port
from tests.sink.receivers import ForwardReceiver, Reply, ack

ENTRIES = [[1700000000, {"message": "exec"}], [1700000001, {"message": "exit"}]]
PAYLOAD = Payload("logs", b"".join(msgpack.packb(entry) for entry in ENTRIES), 2, tag="podwitness.process")
LARGE = Payload("logs", msgpack.packb([1, {"message": "x" * 4_000_000}]), 1, tag="podwitness.process")
HELO = bytes(msgpack.packb(["HELO", {"nonce": b"n" * 16, "auth": b"", "keepalive": True}]))


def forward(port: int, **changes: float) -> FluentForward:
    return FluentForward(config.FluentForward(host="127.0.0.1", port=port, **changes))  # type: ignore[arg-type]


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


def test_the_connection_is_kept_and_each_payload_has_its_own_chunk(receiver: ForwardReceiver) -> None:
    sink = forward(receiver.port)
    for payload in (PAYLOAD, LARGE, PAYLOAD):
        assert sink.send(payload) == Delivery("accepted")
    sink.close()
    assert receiver.connections == 1
    assert len({message.option["chunk"] for message in receiver.messages}) == 3


REPLIES: dict[str, Reply] = {
    "no ack at all": lambda _chunk: None,
    "the ack of another chunk": lambda chunk: ack(chunk[::-1]),
    "the ack with a newline": lambda chunk: ack(chunk + "\n"),
    "a map without ack": lambda chunk: bytes(msgpack.packb({"chunk": chunk})),
    "a list": lambda chunk: bytes(msgpack.packb(["ack", chunk])),
    "two acks": lambda chunk: ack(chunk) * 2,
    "no MessagePack": lambda _chunk: b"\xc1",
    "text that is no UTF-8": lambda _chunk: b"\x81\xa3ack\xa1\xff",
    "an endless string": lambda _chunk: b"\xdb\xff\xff\xff\xff" + bytes(MAX_ANSWER_BYTES),
    "a nest": lambda _chunk: b"\x91" * 50_000,
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
def test_anything_but_the_ack_sends_the_same_chunk_again_on_a_new_connection(reply: Reply) -> None:
    with ForwardReceiver(reply) as receiver:
        sink = forward(receiver.port)
        first = sink.send(PAYLOAD)
        assert (first.outcome, sink.send(PAYLOAD).outcome) == ("retry", "accepted")
        assert first.reason
        sink.close()
    failed, repeated = receiver.messages
    assert (failed.connection, repeated.connection) == (1, 2)
    assert failed.option["chunk"] == repeated.option["chunk"]


def test_no_payload_gets_the_chunk_of_the_one_before() -> None:
    with ForwardReceiver(REPLIES["no ack at all"]) as receiver:
        sink = forward(receiver.port)
        sink.send(PAYLOAD)
        assert sink.send(LARGE).outcome == "accepted"
        sink.close()
    assert receiver.messages[0].option["chunk"] != receiver.messages[1].option["chunk"]


def test_an_ack_that_never_comes_is_a_retry() -> None:
    with ForwardReceiver(lambda _chunk: b"") as receiver:
        sink = forward(receiver.port, ack_timeout_seconds=0.05)
        assert sink.send(PAYLOAD) == Delivery("retry", "no ack in time")
        sink.close()


def test_an_ack_in_bytes_is_an_ack() -> None:
    with ForwardReceiver(lambda chunk: bytes(msgpack.packb({"ack": chunk.encode()}))) as receiver:
        sink = forward(receiver.port)
        assert sink.send(PAYLOAD) == Delivery("accepted")
        sink.close()


def test_a_receiver_that_restarted_gets_the_next_payload_at_the_first_attempt() -> None:
    with ForwardReceiver() as before:
        sink = forward(before.port)
        assert sink.send(PAYLOAD) == Delivery("accepted")
    with ForwardReceiver(port=before.port) as after:
        assert sink.send(PAYLOAD) == Delivery("accepted")
        sink.close()
    assert len(after.messages) == 1


def test_nobody_there_is_a_retry() -> None:
    sink = forward(port := free_port())
    assert sink.endpoint == f"127.0.0.1:{port}"
    assert sink.send(PAYLOAD) == Delivery("retry", "Connection refused")


@pytest.mark.parametrize("host", ["fluentd.invalid", "a..b", "x" * 300])
def test_a_name_that_nobody_can_resolve_is_a_retry_with_a_reason(host: str) -> None:
    delivery = FluentForward(config.FluentForward(host=host)).send(PAYLOAD)
    assert delivery.outcome == "retry"
    assert delivery.reason


def test_an_address_of_ipv6_is_readable() -> None:
    assert FluentForward(config.FluentForward(host="::1")).endpoint == "[::1]:24224"


@pytest.mark.parametrize("payload", [PAYLOAD, LARGE], ids=["small", "large"])
def test_a_receiver_that_wants_a_shared_key_is_named_as_such(payload: Payload) -> None:
    """Fluentd greets, reads something that is no PING and closes."""
    with ForwardReceiver(REPLIES["no ack at all"], greeting=HELO) as receiver:
        sink = forward(receiver.port)
        assert sink.send(payload) == WANTS_KEY
        sink.close()
    assert "shared key" in WANTS_KEY.reason


def test_a_receiver_that_greets_and_closes_without_reading_is_named_as_such() -> None:
    def unread(_chunk: str) -> bytes | None:
        raise AssertionError("it reads nothing")

    with ForwardReceiver(unread, greeting=HELO, reads=False) as receiver:
        sink = forward(receiver.port)
        assert sink.send(LARGE) == WANTS_KEY
        sink.close()


@given(st.binary(max_size=80), st.text(max_size=10))
def test_no_answer_can_break_the_sink(answer: bytes, chunk: str) -> None:
    delivery = _judge(answer, chunk)
    if delivery is not None and delivery.outcome == "accepted":
        assert msgpack.unpackb(answer)["ack"] in (chunk, chunk.encode())


@given(st.text(min_size=1), st.data())
def test_an_ack_counts_only_when_it_is_whole(chunk: str, data: st.DataObject) -> None:
    whole = ack(chunk)
    assert _judge(whole, chunk) == Delivery("accepted")
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    assert _judge(part, chunk) is None
