"""A real OTLP receiver that is not the Collector: rotel, in Rust, from PyPI; a second opinion on what we send.

The `rotel` fixture of tests/conftest.py starts one. It writes what it got to its log, which the tests read.
"""

import re
from importlib.metadata import distribution
from pathlib import Path

from tests.peers.processes import Server, accepts, free_port


class Rotel:
    """rotel on free loopback ports, without TLS; it takes messages of up to 4 MiB."""

    def __init__(self, folder: Path) -> None:
        grpc, http = free_port(), free_port()
        self.grpc_endpoint, self.http_endpoint = f"http://127.0.0.1:{grpc}", f"http://127.0.0.1:{http}"
        self._log = folder / "rotel.log"
        listen = f"--otlp-grpc-endpoint=127.0.0.1:{grpc} --otlp-http-endpoint=127.0.0.1:{http}"
        tell = "--debug-log=logs --debug-log=traces --debug-log-verbosity=detailed"
        options = f"{listen} {tell} --exporter=blackhole --disable-batching --pid-file={folder}/rotel.pid"
        binary = Path(str(distribution("rotel").locate_file("rotel/rotel-agent")))
        self._server = Server(
            [binary, "start", *options.split()], self._log, lambda: all(accepts(port) for port in (grpc, http))
        )
        self.start, self.stop = self._server.start, self._server.stop

    def bodies(self) -> list[str]:
        """Of the log records, in the order of arrival."""
        return self._told(r"^Body: Str\((.*)\)$")

    def spans(self) -> list[str]:
        """Names of the spans."""
        return self._told(r"^ +Name +: (.*)$")

    def _told(self, pattern: str) -> list[str]:
        """What is said in whole lines; the last one may still be being written."""
        whole, _, _ = self._log.read_text(encoding="utf-8").rpartition("\n")
        return re.findall(pattern, whole, re.MULTILINE)
