"""The handshake of Fluent Forward, where the receiver has a shared key: HELO, PING, PONG.

`fluent_forward` calls `shake_hands` on each new connection. Both sides prove that they know the key, without
saying it: each hashes it with the receiver's nonce and our salt. Formats: Fluent's Forward Protocol Specification
v1, "Handshake Messages". Hostname and salt are MessagePack text, not bytes: Fluent Bit takes nothing else. It also
sends an `auth` salt where it has no users, and says no to a wrong key by closing the connection.
"""

import hmac
import secrets
import socket
from hashlib import sha512
from typing import Any

import msgspec

from exporter import config
from exporter.sink.fluent_connection import Connection, NoAnswerError

MEND_SECONDS = 60.0
"""When to try again what a person has to mend first."""

_MAX_REASON = 200


class HandshakeError(Exception):
    """The receiver and we do not come together; `delay` as in `Delivery`. Never holds a secret."""

    def __init__(self, reason: str, delay: float | None = MEND_SECONDS) -> None:
        super().__init__(reason)
        self.reason, self.delay = reason, delay


def wanted(settings: config.FluentForward) -> bool:
    """Whether the settings expect a receiver that greets; a user alone has an empty key, as Fluent Bit allows."""
    return settings.shared_key is not None or settings.user is not None


def is_helo(message: object) -> bool:
    """Whether a receiver's message is the greeting of one with a shared key."""
    return isinstance(message, list) and message[:1] == [b"HELO"]


def shake_hands(connection: Connection, settings: config.FluentForward) -> bool:
    """Greet and be greeted; returns whether the connection may be kept for more than one chunk.

    Raises:
        HandshakeError: no greeting, a wrong key, a wrong user, or a receiver that does not know the key.
        OSError: the connection broke.
    """
    nonce, auth, keepalive = _helo(connection, settings.timeout_seconds)
    hostname = settings.hostname or socket.gethostname()
    key = (settings.shared_key or "").encode()
    salt = secrets.token_hex(16)
    proof = _digest(salt.encode(), hostname.encode(), nonce, key)
    connection.write(msgspec.msgpack.encode(["PING", hostname, salt, proof, *_user(settings.user, auth)]))
    server, answer = _pong(connection, settings.timeout_seconds)
    if server == hostname.encode():
        raise HandshakeError(f"the receiver's host name is ours, {hostname}: set `hostname` to another name")
    if not hmac.compare_digest(answer, _digest(salt.encode(), server, nonce, key).encode()):
        raise HandshakeError(
            "the receiver does not know our shared key: it is no receiver of ours, or `shared_key` is wrong"
        )
    return keepalive


def _helo(connection: Connection, patience: float) -> tuple[bytes, bytes, bool]:
    """Nonce, the salt of user authentication (empty: none), and whether the connection may be kept."""
    try:
        message = connection.read(patience)
    except TimeoutError:
        reason = (
            f"no HELO within {patience:g} s: the receiver has no shared key, or hangs; remove `shared_key` and `user`"
        )
        raise HandshakeError(f"{reason} here, or set the key there", delay=None) from None
    except EOFError:
        raise HandshakeError("the receiver closed the connection before its HELO", delay=None) from None
    except NoAnswerError as error:
        raise HandshakeError(f"the receiver begins with something that is no HELO: {error}") from None
    match message:
        case [b"HELO", dict(options)] if isinstance(nonce := options.get(b"nonce"), bytes):
            auth = options.get(b"auth")
            return nonce, auth if isinstance(auth, bytes) else b"", options.get(b"keepalive") is not False
    raise HandshakeError("the receiver begins with something that is no HELO")


def _user(user: config.User | None, auth: bytes) -> tuple[str, str]:
    """Name and proof of the password, where the receiver asks for them."""
    if user is None or not auth:
        return "", ""
    return user.name, _digest(auth, user.name.encode(), user.password.encode())


def _pong(connection: Connection, patience: float) -> tuple[bytes, bytes]:
    """The receiver's host name and its proof that it knows the key."""
    try:
        message: Any = connection.read(patience)
    except TimeoutError:
        raise HandshakeError(f"no PONG within {patience:g} s", delay=None) from None
    except (EOFError, ConnectionError):
        reason = "the receiver closed the connection on our PING: `shared_key` or `user` is wrong"
        raise HandshakeError(reason) from None
    except NoAnswerError as error:
        raise HandshakeError(f"the receiver answers with something that is no PONG: {error}") from None
    match message:
        case [b"PONG", True, _, bytes(server), bytes(proof)]:
            return server, proof
        case [b"PONG", False, bytes(why), *_]:
            raise HandshakeError(f"the receiver refuses us: {_printable(why)}; see `shared_key`, `user` and `hostname`")
    raise HandshakeError("the receiver answers with something that is no PONG")


def _digest(*parts: bytes) -> str:
    return sha512(b"".join(parts)).hexdigest()


def _printable(reason: bytes) -> str:
    """A stranger's words, fit for one line of our log."""
    text = "".join(letter if letter.isprintable() else " " for letter in reason.decode(errors="replace"))
    return " ".join(text.split())[:_MAX_REASON] or "it does not say why"
