"""Fluent Forward with acknowledgement: to Fluentd, Fluent Bit and the Collector's fluent_forward receiver.

Called by the sink's `Outbox`, one for each address of the sink. A payload goes out as one PackedForward message
`[tag, entries, {chunk, size}]`, a compressed one as CompressedPackedForward, and counts as delivered when the receiver
answers `{"ack": chunk}`. The chunk id stays the same when a payload is sent again, so that a receiver can know it.

The connection is kept for `reconnect_seconds` and as long as the TLS files are the same; after anything unexpected it
is closed, because an answer that comes late would be taken for the next one's.

A chunk that the receiver's host did not take as a whole is a `retry`. One that it took and nobody acknowledged is
`unanswered`: so behaves a receiver that cannot read it (Fluentd's `chunk_size_limit`, Fluent Bit's `buffer_max_size`).
But one that hangs up and never acknowledged anything may be no receiver at all; no chunk is given up for its sake.
"""

import base64
import os
import ssl
import time

import msgspec

from exporter import config
from exporter.model import Delivery, Payload
from exporter.sink.fluent_connection import Connection, NoAnswerError
from exporter.sink.fluent_handshake import MEND_SECONDS, HandshakeError, is_helo, shake_hands, wanted
from exporter.sink.gzipped import plain
from exporter.sink.tls import Contexts

WANTS_KEY = Delivery(
    "retry", "the receiver wants a shared key: set `shared_key` (and `user`, where it has users)", delay=MEND_SECONDS
)

MISTAKEN = "is it a Forward receiver, and does it want `tls`?"

CUTS = 3
"""So often the connection may break while one payload is written, before it is tried in halves."""
SURELY_TAKEN = 256 * 1024
"""Bytes of a message that no receiver or link is too small for: only larger ones are halved."""


class _Chunk(msgspec.Struct):
    """The payload that is being sent, its id, and how often the connection broke while it was written."""

    payload: Payload
    id: str
    cuts: int = 0


class FluentForward:
    """The way to one Forward receiver.

    Args:
        settings: how to speak to it; its hosts and ports are not looked at.
        address: host and port.

    Raises:
        ConfigError: TLS files that cannot be used.
    """

    def __init__(self, settings: config.FluentForward, address: tuple[str, int]) -> None:
        self._settings, self._address = settings, address
        self.gzip = settings.compression == "gzip"
        self._contexts = Contexts(settings.tls) if settings.tls is not None else None
        self._generation = 0  # of the TLS files that the connection was made with
        self._connection: Connection | None = None
        self._keep = True  # whether the receiver allows more than one chunk on it
        self._chunk: _Chunk | None = None
        self._proven = False  # whether it has ever acknowledged anything

    @property
    def endpoint(self) -> str:
        """Host and port."""
        host, port = self._address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def send(self, payload: Payload) -> Delivery:
        """Write one message and wait for its ack; blocks up to the timeouts of connecting, writing and the ack."""
        if self._chunk is None or self._chunk.payload is not payload:
            self._chunk = _Chunk(payload, base64.b64encode(os.urandom(16)).decode())
        delivery = self._attempt(self._chunk)
        if delivery.outcome != "accepted" or not self._keep:
            self.close()
        if delivery.outcome == "accepted":
            self._chunk, self._proven = None, True
        return delivery

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _attempt(self, chunk: _Chunk) -> Delivery:
        try:
            message = self._message(chunk)
        except ValueError as error:
            return Delivery("refused", str(error))
        try:
            connection = self._connected()
        except HandshakeError as error:
            return Delivery("retry", error.reason, delay=error.delay)
        except (OSError, ValueError) as error:  # ValueError: a host that can be no name
            return Delivery("retry", _cause(error, "timed out while connecting"))
        try:
            connection.write(message)
        except OSError as error:
            reason = _cause(error, "timed out before all was written")
            return WANTS_KEY if _greeted(connection) else _cut(chunk, len(message), reason)
        return self._acknowledged(connection, chunk, len(message))

    def _connected(self) -> Connection:
        """The open connection, or a new one where there is none that may still be used."""
        context, generation = self._contexts.current() if self._contexts else (None, 0)
        if self._connection is not None and (generation != self._generation or self._worn(self._connection)):
            self.close()
        if self._connection is None:
            self._connection, self._generation = self._open(context), generation
        return self._connection

    def _worn(self, connection: Connection) -> bool:
        return time.monotonic() - connection.opened >= self._settings.reconnect_seconds or not connection.silent

    def _open(self, context: ssl.SSLContext | None) -> Connection:
        tls = self._settings.tls
        name = (tls.server_name if tls else None) or self._address[0]
        connection = Connection(self._address, self._settings.timeout_seconds, (context, name) if context else None)
        try:
            self._keep = shake_hands(connection, self._settings) if wanted(self._settings) else True
        except BaseException:
            connection.close()
            raise
        return connection

    def _message(self, chunk: _Chunk) -> bytes:
        payload = chunk.payload
        option: dict[str, str | int] = {"chunk": chunk.id, "size": payload.records}
        if payload.gzip and self.gzip:
            message = [payload.tag, payload.data, option | {"compressed": "gzip"}]
        else:  # compressed it was queued under other settings
            message = [payload.tag, plain(payload), option]
        return msgspec.msgpack.encode(message)

    def _acknowledged(self, connection: Connection, chunk: _Chunk, size: int) -> Delivery:
        """Wait for the ack of what was written, `size` bytes."""
        try:
            return _judge(connection.read(self._settings.ack_timeout_seconds), chunk.id)
        except NoAnswerError as error:
            return Delivery("retry", f"an answer that is no ack: {error}")
        except ssl.SSLError as error:  # an alert: the receiver has looked at our certificate and not at the chunk
            return Delivery("retry", _cause(error))
        except (EOFError, ConnectionError):
            reason = "the receiver closed the connection without an ack"
            if not self._proven:
                return _cut(chunk, size, f"{reason}, and never gave one: {MISTAKEN}")
        except OSError as error:
            reason = _cause(error, "no ack in time")
        if connection.untaken:
            return _cut(chunk, size, f"{reason}; the receiver's host has not taken all of it")
        return Delivery("unanswered", reason)


def _cut(chunk: _Chunk, size: int, reason: str) -> Delivery:
    """The connection broke, or stalled, and need not have for the chunk; halves are worth a try where it is large."""
    chunk.cuts += 1
    if chunk.cuts >= CUTS and chunk.payload.records > 1 and size > SURELY_TAKEN:
        return Delivery("too_large", f"{reason}, {chunk.cuts} times with the same chunk")
    return Delivery("retry", reason)


def _greeted(connection: Connection) -> bool:
    """Whether a HELO had arrived when the connection broke: receivers close it on all but PING."""
    try:
        return is_helo(connection.read(0.0))
    except (OSError, EOFError, NoAnswerError):
        return False


def _judge(reply: object, chunk: str) -> Delivery:
    """What the receiver's answer means."""
    if is_helo(reply):
        return WANTS_KEY
    if isinstance(reply, dict) and reply.get(b"ack") == chunk.encode():
        return Delivery("accepted")
    return Delivery("retry", "an answer that is no ack of what was sent")


def _cause(error: OSError | ValueError, timeout: str = "timed out") -> str:
    if isinstance(error, TimeoutError) and error.errno is None:
        return timeout
    return getattr(error, "strerror", None) or str(error)
