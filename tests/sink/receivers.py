"""Receivers on loopback sockets that answer as a test tells them, one answer a request.

They speak HTTP and Forward for real; only what they say is scripted. Once the script is used up they accept.
"""

import contextlib
import ctypes
import gzip
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import msgpack


class Request(NamedTuple):
    """What came in."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: tuple[str, int]


class Answer(NamedTuple):
    """What goes back.

    `written` are raw bytes instead of an answer, after which the connection ends. `hold`: not before this is set.
    `drip`: a body that comes byte by byte until this is set. `cut`: resets the connection in the middle of the request.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    written: bytes | None = None
    hold: threading.Event | None = None
    drip: threading.Event | None = None
    cut: bool = False


class HttpReceiver:
    """An HTTP server; `url` is its base, `requests` what it got."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.answers, self.requests = list(answers), list[Request]()
        self._server = _Server(self, port)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> "HttpReceiver":
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, receiver: HttpReceiver, port: int) -> None:
        self.receiver = receiver
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self) -> None:
        answers = self.server.receiver.answers
        if answers and answers[0].cut:
            answers.pop(0)
            self._cut()
            return
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.receiver.requests.append(Request(self.path, headers, body, self.client_address))
        self._reply(answers.pop(0) if answers else Answer())

    def _reply(self, answer: Answer) -> None:
        if answer.hold:
            answer.hold.wait(30)
        self.close_connection = answer.written is not None
        with contextlib.suppress(OSError):  # a client that gave up has closed the connection
            if answer.written is not None:
                self.wfile.write(answer.written)
            elif answer.drip is not None:
                self._drip(answer.drip)
            else:
                self._answer(answer)

    def _cut(self) -> None:
        self.rfile.read(1)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _drip(self, enough: threading.Event) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while not enough.wait(0.01):
            self.wfile.write(b"x")
        self.close_connection = True

    def _answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        pass


Reply = Callable[[str], bytes | None]
"""From the chunk id to the bytes that go back; None closes the connection."""


SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python does not name it


def ack(chunk: str) -> bytes:
    return bytes(msgpack.packb({"ack": chunk}))


class Message(NamedTuple):
    """A Forward message as received; `entries` are its pairs of time and record."""

    tag: str
    entries: list[Any]
    option: dict[str, Any]
    connection: int


class ForwardReceiver:
    """A Forward server; `messages` is what it got.

    Args:
        replies: to messages, one each; once used up, acks.
        greeting: what it says first on a connection.
        pong: from a PING to what goes back.
        reads: whether it does; else it closes as soon as something comes.
        tls: speaks TLS with this context.
    """

    def __init__(
        self,
        *replies: Reply,
        greeting: bytes = b"",
        pong: Callable[[list[Any]], bytes | None] = lambda _ping: None,
        reads: bool = True,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.replies, self.messages, self.pings = list(replies), list[Message](), list[list[Any]]()
        self.connections = 0
        self._greeting, self._pong, self._reads, self._tls = greeting, pong, reads, tls
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._open = list[socket.socket]()
        self._threads = list[threading.Thread]()

    def __enter__(self) -> "ForwardReceiver":
        self._start(self._serve)
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes its thread out of accept or recv
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def vanish(self) -> None:
        """Be gone as a host without power is: its kernel answers nothing any more on the connections there are."""
        drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
        program = struct.pack("HP", 1, ctypes.addressof(drop_all))
        for connection in self._open:
            with contextlib.suppress(OSError):  # closed since
                connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def _start(self, run: Callable[..., None], *args: object) -> None:
        self._threads.append(threading.Thread(target=run, args=args))
        self._threads[-1].start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._start(self._welcome, connection, self.connections)

    def _welcome(self, connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection:
                connection.sendall(self._greeting)
                if self._reads:
                    self._converse(connection, number)
                else:
                    connection.recv(1)  # the client has begun; closing with the rest unread resets it

    def _converse(self, connection: socket.socket, number: int) -> None:
        for message in _unpack(connection):
            if not isinstance(message, list):
                return
            tag, *rest = message
            if tag == "PING":
                self.pings.append(rest)
                reply = self._pong(rest)
            elif not isinstance(rest[0], bytes):  # Message mode, as fluent-logger writes it: time and record
                self.messages.append(Message(tag, [rest[:2]], dict(*rest[2:]), number))
                continue
            else:
                entries, option = rest
                packed = gzip.decompress(entries) if option.get("compressed") == "gzip" else entries
                self.messages.append(Message(tag, list(_entries(packed)), option, number))
                reply = (self.replies.pop(0) if self.replies else ack)(option["chunk"])
            if reply is None:
                return
            connection.sendall(reply)


def _unpack(connection: socket.socket) -> Iterator[Any]:
    unpacker = msgpack.Unpacker(timestamp=0, strict_map_key=False)
    while data := connection.recv(65536):
        unpacker.feed(data)
        yield from unpacker


def _entries(packed: bytes) -> Iterator[Any]:
    unpacker = msgpack.Unpacker()
    unpacker.feed(packed)
    yield from unpacker
