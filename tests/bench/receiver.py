"""An OTLP/HTTP receiver that acknowledges everything, in a process of its own so that its cost is not counted.

    python -m tests.bench.receiver [PORT [FILE]]

With FILE it notes there when each body of logs came (Unix ns) and the body itself, as `arrivals.py` reads it: what is
in them is looked at afterwards, so that the receiver never holds up what is measured.
"""

import http.server
import struct
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

HEAD = struct.Struct("<QI")
"""Before each body in FILE: when it came, and its length."""


class Acknowledge(http.server.BaseHTTPRequestHandler):
    """Reads the request, answers 200 with the empty message that means success."""

    protocol_version = "HTTP/1.1"
    file: BinaryIO | None = None
    lock = threading.Lock()

    def do_POST(self) -> None:  # http.server's name
        """Any path."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        arrived = time.time_ns()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()
        if self.file and self.path == "/v1/logs":
            with self.lock:
                self.file.write(HEAD.pack(arrived, len(body)) + body)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """Can be ended and started again on the same port."""

    allow_reuse_address = True


if __name__ == "__main__":
    port, *files = sys.argv[1:] or ["0"]
    with ExitStack() as opened, Server(("127.0.0.1", int(port)), Acknowledge) as server:
        if files:
            Acknowledge.file = opened.enter_context(Path(files[0]).open("wb", buffering=0))
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()
