"""HELO, PING, PONG: with Fluent's own server for Node, and with receivers that mean no good."""

import logging
import socket
from collections.abc import Callable
from hashlib import sha512
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import config
from exporter.model import Delivery, Payload
from exporter.sink.fluent_connection import MAX_ANSWER_BYTES
from exporter.sink.fluent_forward import WANTS_KEY, FluentForward
from exporter.sink.fluent_handshake import MEND_SECONDS
from tests.peers.fluent_server import Start
from tests.sink.conftest import Certificates
from tests.sink.receivers import ForwardReceiver
from tests.waiting import wait_for

PAYLOAD = Payload("logs", msgpack.packb([1700000000, {"message": "exec"}]), 1, tag="podwitness.process")
KEY = "correct horse"
NONCE, SALT = b"\xff" * 16, b"\xfe" * 16
"""Random bytes are seldom UTF-8."""
ALICE = config.User(name="alice", password="battery staple")
SECURITY = {"serverHostname": "aggregator", "sharedKey": KEY, "authorize": False, "userDict": {}}
USERS = SECURITY | {"authorize": True, "userDict": {ALICE.name: ALICE.password}}

Pong = Callable[[list[Any]], bytes | None]


def forward(port: int, **changes: Any) -> FluentForward:
    settings: dict[str, Any] = {"shared_key": KEY, "timeout_seconds": 5.0}
    return FluentForward(config.FluentForward(**settings | changes), ("127.0.0.1", port))


def helo(*, binary: bool = True, **changes: object) -> bytes:
    """Fluentd says the nonce in bytes, Fluent Bit as text that is none."""
    options = {"nonce": NONCE, "auth": b"", "keepalive": True} | changes
    return bytes(msgpack.packb(["HELO", options], use_bin_type=binary))


def digest(*parts: bytes | str) -> str:
    return sha512(b"".join(part.encode() if isinstance(part, str) else part for part in parts)).hexdigest()


def pong(ping: list[Any], *, key: str = KEY, server: str = "aggregator") -> bytes:
    """What a receiver says that knows the key."""
    hostname, salt, proof, *_ = ping
    assert proof == digest(salt, hostname, NONCE, key)
    return bytes(msgpack.packb(["PONG", True, "", server, digest(salt, server, NONCE, key)]))


class TestFluentServer:
    """The receiver of Fluent's own logger for Node."""

    pytestmark = pytest.mark.peers

    def test_who_knows_the_key_gets_in_once_for_many_chunks(self, fluent_server: Start) -> None:
        server = fluent_server(security=SECURITY)
        sink = forward(server.port)
        assert [sink.send(PAYLOAD) for _ in range(3)] == [Delivery("accepted")] * 3
        sink.close()
        wait_for(lambda: len(server.entries) == 3, "the entries")

    def test_who_does_not_stays_outside_and_hears_why(self, fluent_server: Start) -> None:
        server = fluent_server(security=SECURITY)
        delivery = forward(server.port, shared_key="wrong").send(PAYLOAD)
        reason = "the receiver refuses us: shared key mismatch; see `shared_key`, `user` and `hostname`"
        assert delivery == Delivery("retry", reason, delay=MEND_SECONDS)
        assert server.entries == []

    def test_a_key_that_nobody_was_told_of_is_asked_for(self, fluent_server: Start) -> None:
        server = fluent_server(security=SECURITY)
        assert forward(server.port, shared_key=None).send(PAYLOAD) == WANTS_KEY

    def test_a_user_gets_in_by_the_password(self, fluent_server: Start) -> None:
        server = fluent_server(security=USERS)
        sink = forward(server.port, user=ALICE)
        assert sink.send(PAYLOAD) == Delivery("accepted")
        sink.close()
        wait_for(lambda: len(server.entries) == 1, "the entry")

    @pytest.mark.parametrize(
        ("user", "told"),
        [
            (None, "missing authentication information"),
            (config.User(name="bob", password=ALICE.password), "username/password mismatch"),
            (config.User(name="alice", password="wrong"), "username/password mismatch"),
        ],
        ids=["nobody", "a stranger", "a wrong password"],
    )
    def test_another_stays_outside(self, user: config.User | None, told: str, fluent_server: Start) -> None:
        server = fluent_server(security=USERS)
        delivery = forward(server.port, user=user).send(PAYLOAD)
        assert (delivery.outcome, delivery.delay) == ("retry", MEND_SECONDS)
        assert told in delivery.reason

    def test_two_hosts_of_one_name_are_told_which_setting_mends_it(self, fluent_server: Start) -> None:
        server = fluent_server(security=SECURITY | {"serverHostname": socket.gethostname()})
        delivery = forward(server.port).send(PAYLOAD)
        assert "Same hostname" in delivery.reason
        assert "`hostname`" in delivery.reason
        sink = forward(server.port, hostname="another")
        assert sink.send(PAYLOAD) == Delivery("accepted")
        sink.close()

    def test_key_user_and_tls_together(self, fluent_server: Start, certificates: Certificates) -> None:
        certificate, key = (Path(file).read_text() for file in certificates.of("server"))
        server = fluent_server(security=USERS, tls={"cert": certificate, "key": key})
        sink = forward(server.port, user=ALICE, tls=config.Tls(ca_file=certificates.ca))
        assert [sink.send(PAYLOAD) for _ in range(3)] == [Delivery("accepted")] * 3
        sink.close()
        wait_for(lambda: len(server.entries) == 3, "the entries")


@pytest.mark.parametrize("greeting", [helo(auth=SALT), helo(auth=SALT, binary=False)], ids=["Fluentd", "Fluent Bit"])
def test_the_ping_is_all_text_and_proves_key_and_password(greeting: bytes) -> None:
    with ForwardReceiver(greeting=greeting, pong=pong) as receiver:
        sink = forward(receiver.port, hostname="node-1", user=ALICE)
        assert sink.send(PAYLOAD) == Delivery("accepted")
        sink.close()
    [[hostname, salt, proof, user, password]] = receiver.pings
    assert (hostname, proof) == ("node-1", digest(salt, "node-1", NONCE, KEY))
    assert (user, password) == ("alice", digest(SALT, "alice", ALICE.password))


def test_a_receiver_that_asks_for_no_user_is_told_of_none() -> None:
    with ForwardReceiver(greeting=helo(), pong=pong) as receiver:
        sink = forward(receiver.port, user=ALICE)
        assert sink.send(PAYLOAD) == Delivery("accepted")
        sink.close()
    assert receiver.pings[0][3:] == ["", ""]


def test_a_user_alone_comes_with_an_empty_key() -> None:
    with ForwardReceiver(greeting=helo(auth=SALT), pong=lambda ping: pong(ping, key="")) as receiver:
        sink = forward(receiver.port, shared_key=None, user=ALICE)
        assert sink.send(PAYLOAD) == Delivery("accepted")
        sink.close()


def test_each_connection_has_a_salt_of_its_own_and_one_without_keepalive_takes_one_chunk() -> None:
    with ForwardReceiver(greeting=helo(keepalive=False), pong=pong) as receiver:
        sink = forward(receiver.port)
        assert [sink.send(PAYLOAD) for _ in range(3)] == [Delivery("accepted")] * 3
        sink.close()
    assert [message.connection for message in receiver.messages] == [1, 2, 3]
    assert len({ping[1] for ping in receiver.pings}) == 3


def test_a_receiver_that_never_greets_is_named_as_one_without_a_key() -> None:
    with ForwardReceiver() as receiver:
        delivery = forward(receiver.port, timeout_seconds=0.05).send(PAYLOAD)
    assert (delivery.outcome, delivery.delay) == ("retry", None)
    assert delivery.reason.startswith("no HELO within 0.05 s: the receiver has no shared key")
    assert receiver.messages == []


GREETINGS = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "no nonce": bytes(msgpack.packb(["HELO", {"auth": b""}])),
    "a nonce that is a number": helo(nonce=7),
    "no options": bytes(msgpack.packb(["HELO"])),
    "an ack": bytes(msgpack.packb({"ack": "x"})),
    "a nest": b"\x91" * 50_000,
    "no end": b"\xdb\xff\xff\xff\xff" + bytes(2 * MAX_ANSWER_BYTES),
}


@pytest.mark.parametrize("greeting", GREETINGS.values(), ids=GREETINGS.keys())
def test_a_receiver_that_greets_in_another_way_gets_nothing(greeting: bytes) -> None:
    with ForwardReceiver(greeting=greeting, pong=pong) as receiver:
        delivery = forward(receiver.port).send(PAYLOAD)
    assert delivery.outcome == "retry"
    assert delivery.reason.startswith("the receiver begins with something that is no HELO")
    assert (receiver.pings, receiver.messages) == ([], [])


PONGS: dict[str, tuple[Pong, str]] = {
    "nothing, as Fluent Bit does": (lambda _ping: None, "closed the connection on our PING: `shared_key` or `user`"),
    "our own proof": (
        lambda ping: bytes(msgpack.packb(["PONG", True, "", "aggregator", ping[2]])),
        "does not know our shared key",
    ),
    "no proof": (
        lambda _ping: bytes(msgpack.packb(["PONG", True, "", "aggregator", ""])),
        "does not know our shared key",
    ),
    "a proof that is no text": (
        lambda _ping: bytes(msgpack.packb(["PONG", True, "", "aggregator", None])),
        "something that is no PONG",
    ),
    "yes, by another word": (
        lambda ping: pong(ping).replace(b"PONG", b"PING"),
        "something that is no PONG",
    ),
    "our own name": (lambda ping: pong(ping, server=ping[0]), "host name is ours, node-1: set `hostname`"),
    "no, with a reason for our terminal": (
        lambda _ping: bytes(msgpack.packb(["PONG", False, "\x1b[2J bad\nkey " + "x" * 5000, "", ""])),
        "the receiver refuses us: [2J bad key xxx",
    ),
    "no, and not why": (lambda _ping: bytes(msgpack.packb(["PONG", False, "", "", ""])), "it does not say why"),
    "no MessagePack": (lambda _ping: b"\xc1", "something that is no PONG: no MessagePack"),
}


@pytest.mark.parametrize(("answer", "told"), PONGS.values(), ids=PONGS.keys())
def test_a_receiver_that_does_not_prove_itself_gets_no_record(answer: Pong, told: str) -> None:
    with ForwardReceiver(greeting=helo(), pong=answer) as receiver:
        delivery = forward(receiver.port, hostname="node-1").send(PAYLOAD)
    assert (delivery.outcome, delivery.delay, receiver.messages) == ("retry", MEND_SECONDS, [])
    assert told in delivery.reason
    assert len(delivery.reason) < 400
    assert delivery.reason.isprintable()


def test_a_receiver_that_never_answers_the_ping_is_a_retry() -> None:
    with ForwardReceiver(greeting=helo(), pong=lambda _ping: b"") as receiver:
        delivery = forward(receiver.port, timeout_seconds=0.5).send(PAYLOAD)
    assert delivery == Delivery("retry", "no PONG within 0.5 s")


def test_after_a_failed_handshake_the_next_attempt_begins_with_one() -> None:
    def second_time(ping: list[Any]) -> bytes | None:
        return pong(ping) if len(receiver.pings) > 1 else None

    with ForwardReceiver(greeting=helo(), pong=second_time) as receiver:
        sink = forward(receiver.port)
        assert [sink.send(PAYLOAD).outcome for _ in range(2)] == ["retry", "accepted"]
        sink.close()
    assert [message.connection for message in receiver.messages] == [2]


@given(greeting=st.binary(max_size=60), answer=st.binary(max_size=60))
def test_no_receiver_can_break_the_handshake(greeting: bytes, answer: bytes) -> None:
    for begin in (greeting, helo()):
        with ForwardReceiver(greeting=begin, pong=lambda _ping: answer) as receiver:
            assert forward(receiver.port, timeout_seconds=0.02).send(PAYLOAD).outcome == "retry"
        assert receiver.messages == []


def test_no_secret_is_in_what_we_send_or_say(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    for answer in (pong, *(answer for answer, _ in PONGS.values())):
        with ForwardReceiver(greeting=helo(auth=SALT), pong=answer) as receiver:
            sink = forward(receiver.port, user=ALICE)
            said.append(f"{sink.send(PAYLOAD)} {sink.endpoint} {receiver.pings}")
            sink.close()
    for secret in (KEY, ALICE.password):
        assert secret not in "".join(said) + caplog.text
