"""Fluent Forward with acknowledgement: to Fluentd, Fluent Bit and the Collector's fluent_forward receiver.

Called by the sink's `Outbox`. A payload goes out as one PackedForward message
`[tag, entries, {chunk, size}]` and counts as delivered when the receiver answers `{"ack": chunk}`. The chunk
id stays the same when a payload is sent again, so that a receiver can know it. The connection is kept;
after anything unexpected it is closed, because an answer that comes late would be taken for the next one's.

There is no shared key yet: a receiver that greets with HELO wants one.
"""

import base64
import os
import socket
import time

import msgspec

from exporter import config
from exporter.model import Delivery, Payload

MAX_ANSWER_BYTES = 64 * 1024
HELO = b"\x92\xa4HELO"
"""How a receiver with a shared key begins: an array of two, the first of them this."""

WANTS_KEY = Delivery(
    "retry",
    "the receiver wants a shared key, which podwitness cannot send yet; "
    "remove `shared_key` there, or put a receiver without one in between",
    delay=60.0,
)


class FluentForward:
    """The way to one Forward receiver."""

    def __init__(self, settings: config.FluentForward) -> None:
        self._settings = settings
        self._socket: socket.socket | None = None
        self._chunk: tuple[Payload, str] | None = None

    @property
    def endpoint(self) -> str:
        """Host and port."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"{host}:{self._settings.port}"

    def send(self, payload: Payload) -> Delivery:
        """Write one message and wait for its ack; blocks up to both timeouts."""
        chunk = self._chunk_of(payload)
        try:
            connection = self._connection()
            delivery = self._exchange(connection, payload, chunk)
        except (OSError, UnicodeError) as error:  # a host name that IDNA cannot encode is a UnicodeError
            delivery = WANTS_KEY if self._greeted() else Delivery("retry", _cause(error))
        if delivery.outcome == "retry":
            self.close()
        else:
            self._chunk = None
        return delivery

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _chunk_of(self, payload: Payload) -> str:
        if self._chunk is None or self._chunk[0] is not payload:
            self._chunk = payload, base64.b64encode(os.urandom(16)).decode()
        return self._chunk[1]

    def _connection(self) -> socket.socket:
        """The open connection, or a new one where there is none that the receiver still holds."""
        if self._socket is not None and not _silent(self._socket):
            self.close()
        if self._socket is None:
            address = (self._settings.host, self._settings.port)
            self._socket = socket.create_connection(address, self._settings.timeout_seconds)
        return self._socket

    def _exchange(self, connection: socket.socket, payload: Payload, chunk: str) -> Delivery:
        message = msgspec.msgpack.encode([payload.tag, payload.data, {"chunk": chunk, "size": payload.records}])
        connection.settimeout(self._settings.timeout_seconds)
        connection.sendall(message)
        deadline = time.monotonic() + self._settings.ack_timeout_seconds
        answer = bytearray()
        while len(answer) < MAX_ANSWER_BYTES:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                received = connection.recv(MAX_ANSWER_BYTES)
            except TimeoutError:
                return Delivery("retry", "no ack in time")
            if not received:
                return Delivery("retry", "the receiver closed the connection without an ack")
            answer += received
            delivery = _judge(bytes(answer), chunk)
            if delivery is not None:
                return delivery
        return Delivery("retry", "an answer that is no ack: too long")

    def _greeted(self) -> bool:
        """Whether a HELO had arrived when the connection broke: receivers close it on all but PING."""
        if self._socket is None:
            return False
        self._socket.setblocking(False)
        try:
            return self._socket.recv(len(HELO)) == HELO
        except OSError:
            return False


def _silent(connection: socket.socket) -> bool:
    """Whether nothing came since the last ack: not the end of the connection, nor anything unasked for."""
    connection.setblocking(False)  # MSG_DONTWAIT is not enough: Python itself waits where a timeout is set
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _judge(answer: bytes, chunk: str) -> Delivery | None:
    """What the answer so far means; None while it is not complete."""
    if answer.startswith(HELO):
        return WANTS_KEY
    try:
        reply = msgspec.msgpack.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if isinstance(error, msgspec.DecodeError) and "truncated" in str(error):
            return None
        return Delivery("retry", "an answer that is no ack: no MessagePack")
    # Receivers with an old MessagePack library answer with bytes where we sent text.
    if isinstance(reply, dict) and reply.get("ack") in (chunk, chunk.encode()):
        return Delivery("accepted")
    return Delivery("retry", "an answer that is no ack of what was sent")


def _cause(error: OSError | UnicodeError) -> str:
    if isinstance(error, TimeoutError) and error.errno is None:
        return "timed out before all was written"
    return getattr(error, "strerror", None) or str(error)
