"""The FluentServer of Fluent's own logger for Node: a second opinion on Forward, with its handshake and TLS.

The `fluent_server` fixture of tests/conftest.py starts as many as a test asks for. It takes all four modes, checks what
it gets strictly (text must be text), and acknowledges chunks.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tests.peers import builds
from tests.peers.processes import Server, accepts, free_port


class Entry(NamedTuple):
    """One record as the server understood it."""

    tag: str
    seconds: int
    nanoseconds: int
    record: dict[str, Any]


class Start(Protocol):
    """What the fixture gives: starts a server, which the end of the test stops."""

    def __call__(self, *, security: dict[str, Any] | None = None, tls: dict[str, Any] | None = None) -> "FluentServer":
        """With these `security` options, and with the TLS options of Node (contents of files, not their names)."""


class FluentServer:
    """One on a free loopback port, which it keeps over `stop` and `start`.

    Args:
        home: where `builds.fluent_server` has installed it.
        folder: for its settings, its log and what it gets.
        options: its own: `security`, `tlsOptions`.
    """

    def __init__(self, home: Path, folder: Path, options: dict[str, Any]) -> None:
        self.port, self._entries = free_port(), folder / "entries.jsonl"
        settings = folder / "settings.json"
        listen = {"listenOptions": {"port": self.port, "host": "127.0.0.1"}}
        settings.write_text(json.dumps({"options": options | listen, "entries": str(self._entries)}))
        command = [builds.node(), str(home / "server.js"), str(settings)]
        self._server = Server(command, folder / "server.log", lambda: accepts(self.port))
        self.start, self.stop, self.last_words = self._server.start, self._server.stop, self._server.last_words

    @property
    def entries(self) -> list[Entry]:
        """What it got, in the order of arrival; it acknowledges before it tells."""
        if not self._entries.exists():
            return []
        return [Entry(*json.loads(line)) for line in self._entries.read_text().split("\n")[:-1]]
