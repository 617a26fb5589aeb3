"""Receivers on loopback sockets that answer as a test tells them, one answer a request.

They speak HTTP and Forward for real; only what they say is scripted. Once the script is used up they accept.
"""

import contextlib
import socket
import ssl
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
    `drip`: a body that comes byte by byte until this is set.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    written: bytes | None = None
    hold: threading.Event | None = None
    drip: threading.Event | None = None


class HttpReceiver:
    """An HTTP server; `url` is its base, `requests` what it got."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answers, self.requests = list(answers), list[Request]()
        self._server = _Server(self)
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

    def __init__(self, receiver: HttpReceiver) -> None:
        self.receiver = receiver
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.receiver.requests.append(Request(self.path, headers, body, self.client_address))
        answers = self.server.receiver.answers
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


def ack(chunk: str) -> bytes:
    return bytes(msgpack.packb({"ack": chunk}))


class Message(NamedTuple):
    """A Forward message as received; `entries` are its pairs of time and record."""

    tag: str
    entries: list[Any]
    option: dict[str, Any]
    connection: int


class ForwardReceiver:
    """A Forward server; `messages` is what it got, `greeting` what it says first on a connection."""

    def __init__(self, *replies: Reply, greeting: bytes = b"", reads: bool = True, port: int = 0) -> None:
        self.replies, self.messages = list(replies), list[Message]()
        self.connections = 0
        self._greeting, self._reads = greeting, reads
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._open: socket.socket | None = None

    def __enter__(self) -> "ForwardReceiver":
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self._listener, self._open):
            if end is not None:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)  # wakes the thread out of accept or recv
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open = connection
            with connection, contextlib.suppress(OSError):
                connection.sendall(self._greeting)
                if self._reads:
                    self._converse(connection)
                else:
                    connection.recv(1)  # the client has begun; closing with the rest unread resets it

    def _converse(self, connection: socket.socket) -> None:
        for tag, *rest in _unpack(connection):
            if not isinstance(rest[0], bytes):  # Message mode, as fluent-logger writes it: time and record
                self.messages.append(Message(tag, [rest[:2]], dict(*rest[2:]), self.connections))
                continue
            entries, option = rest
            self.messages.append(Message(tag, list(_entries(entries)), option, self.connections))
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
