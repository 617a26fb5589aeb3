"""Whether the agent is ready and alive, for whoever asks over HTTP: GET /readyz and /livez.

`serve` answers with what `vitals.py` knows, in one line: `ok`, or a JSON list of reasons with status 503. Who asks is
not trusted: one request a connection, of at most 4 KiB, within 2 seconds, from at most 8 at once; anything beyond that
is hung up on.
"""

import io
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from exporter import config
from exporter.errors import ConfigError
from exporter.telemetry import log
from exporter.vitals import Vitals

_PATIENCE = 2.0  # seconds for a whole request; by then the kubelet has given up too
_REQUEST_BYTES = 4096
_AT_ONCE = 8


def serve(settings: config.Health, vitals: Vitals, *, where: str) -> Callable[[], None]:
    """Answer on `settings.host` and `port` from a thread of its own; returns the function that ends it.

    `where` is the file of the settings. Raises ConfigError where nobody can listen there.
    """
    try:
        server = _Server(settings.host, settings.port, vitals)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}",
            where=f"{where}: health",
            hint="health.port has to be free, `ss -ltnp` shows who has it; health.host is an address of this machine",
        ) from error
    thread = threading.Thread(target=server.answer, name="health", daemon=True)
    thread.start()

    def end() -> None:
        server.end()
        thread.join()

    return end


class _Server(ThreadingHTTPServer):
    """Accepts without a poll: an idle agent is not woken for it. A thread a request, a bounded number of them."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, vitals: Vitals) -> None:
        self.vitals = vitals
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._ended = threading.Event()
        self._free = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Without HTTPServer's look-up of our own name, for which DNS may take its time."""
        socketserver.TCPServer.server_bind(self)

    def answer(self) -> None:
        """Until `end`."""
        while not self._ended.is_set():
            self.handle_request()
        self.server_close()

    def end(self) -> None:
        """Stop listening, which also wakes `answer`."""
        self._ended.set()
        self.socket.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[Any, Any]:
        """The next connection; without a free descriptor the attempt costs nothing but a while."""
        try:
            return super().get_request()
        except OSError:
            self._ended.wait(1.0)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, unless all are taken."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread: nobody else gives the place back
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """What the thread does."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up in the middle is no concern of the agent's."""
        log.debug("health: a request failed", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """One request, one line."""

    server: _Server
    timeout = _PATIENCE
    default_request_version = "HTTP/1.0"  # what is no request gets headers too

    def setup(self) -> None:
        """The whole request is read first: a timeout of each read alone would let it trickle for ever."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BytesIO(self._request())

    def _request(self) -> bytes:
        request, deadline = b"", time.monotonic() + _PATIENCE
        while b"\r\n\r\n" not in request and len(request) < _REQUEST_BYTES:
            self.connection.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                part = self.connection.recv(_REQUEST_BYTES)
            except OSError:  # too slow, or gone
                return b""
            if not part:
                break
            request += part
        return request

    def do_GET(self) -> None:
        """What the path asks for."""
        path = self.path.partition("?")[0]
        if path == "/readyz":
            self._tell(self.server.vitals.unready())
        elif path == "/livez":
            self._tell(self.server.vitals.dead(time.monotonic()))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there are /readyz and /livez")

    def _tell(self, reasons: list[str]) -> None:
        if reasons:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "application/json", json.dumps(reasons))
        else:
            self._answer(HTTPStatus.OK, "text/plain", "ok")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """One line here too, which says nothing back of what was sent."""
        self._answer(code, "text/plain", HTTPStatus(code).phrase)

    def _answer(self, code: int, type_: str, line: str) -> None:
        body = f"{line}\n".encode()
        self.close_connection = True
        self.send_response(code)
        self.send_header("Content-Type", f"{type_}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Not which Python this is."""
        return "podwitness"

    def log_message(self, format: str, *args: Any) -> None:
        """A probe every few seconds is no news."""
