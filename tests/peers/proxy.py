"""A bad network between a sink and its receiver: a TCP proxy on loopback that misbehaves as it is told.

What passes is the real receiver's; what does not is as in the field: resets in mid-body, connections that nobody
answers, a certificate of somebody else, an HTTP front end that is overloaded.
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Literal

Mode = Literal["pass", "refuse", "reset", "hole", "slow"]


class Proxy:
    """Listens on `port`, passes to `target`; `mode` is for new connections, and for data from now on.

    `answer` replaces the receiver: from a request's head to the raw answer, after which the connection ends.
    """

    def __init__(self, target: int) -> None:
        self.mode: Mode = "pass"
        self.answer: Callable[[], bytes] | None = None
        self.tls: ssl.SSLContext | None = None
        self.connections = 0
        self._target = target
        self._open: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()
        self._thread.join()

    def cut(self) -> None:
        """Reset every connection that is open."""
        for one in list(self._open):
            _reset(one)
        self._open.clear()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.add(client)
        with contextlib.suppress(OSError):
            if self.mode == "refuse":
                _reset(client)
            elif self.tls:
                self._pass(self.tls.wrap_socket(client, server_side=True))
            else:
                self._pass(client)

    def _pass(self, client: socket.socket) -> None:
        if self.answer:
            self._reply(client, self.answer())
            return
        with socket.create_connection(("127.0.0.1", self._target)) as receiver:
            self._open |= {client, receiver}
            back = threading.Thread(target=self._pump, args=(receiver, client), daemon=True)
            back.start()
            self._pump(client, receiver)
            back.join()
        client.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536 if self.mode == "pass" else 512):
                if self.mode == "hole":
                    continue
                sink.sendall(data)
                passed += len(data)
                if self.mode == "reset" and passed > 4096:
                    self.cut()
                    return
            sink.shutdown(socket.SHUT_WR)

    def _reply(self, client: socket.socket, answer: bytes) -> None:
        client.settimeout(5)
        with client, client.makefile("rb") as request:
            length = 0
            while (line := request.readline().strip()) != b"":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            request.read(length)
            client.sendall(answer)


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RDWR)
        one.close()


def http(status: str, *headers: str, body: bytes = b"") -> bytes:
    """A raw HTTP answer that ends its connection."""
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers, "", ""]
    return "\r\n".join(head).encode() + body
