"""A connection to a Forward receiver: bytes out, MessagePack in, TLS around both where it is asked for.

`fluent_forward` opens one and keeps it for many chunks, `fluent_handshake` talks on it first where there is a shared
key. The host's name is looked up for each connection. All that goes wrong is an OSError, an EOFError at the receiver's
end of the talk, or `NoAnswerError`; times are in seconds.
"""

import fcntl
import socket
import ssl
import struct
import termios
import time

import msgpack

MAX_ANSWER_BYTES = 64 * 1024

_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),  # a receiver that vanished is noticed before the next chunk
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),  # else a chunk's last segment waits for an ACK, up to 40 ms
)


class NoAnswerError(Exception):
    """What came is no MessagePack, or far too much of it."""


class Connection:
    """One connection; whoever opens it closes it.

    Args:
        address: host and port.
        timeout: of connecting, of the TLS handshake's steps and of one write.
        tls: with this context, and the name the certificate must have; None: no TLS.

    Raises:
        OSError: nobody there, or, as ssl.SSLError, nobody to be trusted.
        ValueError: a host that can be no name.
    """

    def __init__(self, address: tuple[str, int], timeout: float, tls: tuple[ssl.SSLContext, str] | None = None) -> None:
        self._timeout = timeout
        self._socket = socket.create_connection(address, timeout)
        self._unpacker = msgpack.Unpacker(raw=True, max_buffer_size=MAX_ANSWER_BYTES)
        self.opened = time.monotonic()
        try:
            for option in _OPTIONS:
                self._socket.setsockopt(*option)
            if tls is not None:
                context, name = tls
                self._socket = context.wrap_socket(self._socket, server_hostname=name)
        except (OSError, ValueError):
            self._socket.close()
            raise

    def write(self, data: bytes) -> None:
        """All of `data`, to the kernel."""
        self._socket.settimeout(self._timeout)
        self._socket.sendall(data)

    def read(self, patience: float) -> object:
        """The receiver's next message; text is bytes in it: old receivers do not tell the two apart.

        Raises:
            TimeoutError: not within `patience`.
            EOFError: the receiver has closed the connection.
            NoAnswerError: what came is none.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                return self._unpacker.unpack()
            except msgpack.OutOfData:
                pass
            except (ValueError, msgpack.UnpackException, RecursionError) as error:
                raise NoAnswerError("no MessagePack") from error
            self._receive(deadline)

    def _receive(self, deadline: float) -> None:
        self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
        received = self._socket.recv(MAX_ANSWER_BYTES)
        if not received:
            raise EOFError
        try:
            self._unpacker.feed(received)
        except msgpack.BufferFull as error:
            raise NoAnswerError("too long") from error

    @property
    def silent(self) -> bool:
        """Whether nothing came since the last message: not the end of the connection, nor anything unasked for."""
        if self._unpacker.read_bytes(1):
            return False
        self._socket.setblocking(False)
        try:
            self._socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False

    @property
    def untaken(self) -> int:
        """Bytes that the receiver's host has not acknowledged: it may be gone, or cannot take more."""
        try:
            return int(struct.unpack("i", fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4)))[0])
        except OSError:
            return 0

    def close(self) -> None:
        """Close it; what is still on its way arrives or not."""
        self._socket.close()
