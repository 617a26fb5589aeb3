"""A server as a child process of the tests: started, waited for, stopped, and gone whatever happens.

tests/peers/collector.py and tests/peers/kube.py are made of it.
"""

import random
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.waiting import wait_for

PATIENCE = 60.0
"""Seconds until a server that should be ready is called broken; a sound one is up far sooner."""


def free_port() -> int:
    """A free loopback port below the ephemeral range.

    bind(0) would give an ephemeral one, which any outgoing connection may take while our server is
    stopped in the middle of a test.
    """
    for port in random.sample(range(10_000, 32_000), 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port on the loopback address")


def accepts(port: int) -> bool:
    """Whether somebody listens on this loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """One server process; its output goes to `log`. Stopping twice is harmless.

    Args:
        command: program and arguments.
        log: the file for stdout and stderr, appended to.
        ready: whether it can be used; may raise nothing.
    """

    def __init__(self, command: Sequence[str | Path], log: Path, ready: Callable[[], bool]) -> None:
        self._command, self._log, self._ready = command, log, ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process, "not started"
        return self._process.pid

    def start(self) -> None:
        # setpriv: the kernel ends the server with us, even if pytest is killed and no fixture can.
        command = ["setpriv", "--pdeathsig", "KILL", "--", *self._command]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            wait_for(self._is_up, f"{self._command[0]} is ready", PATIENCE)
        except BaseException as error:
            error.add_note(self.last_words())
            self.stop()
            raise

    def stop(self) -> None:
        """Ask it to end, insist after a while."""
        if not self._process:
            return
        self._process.terminate()
        try:
            self._process.wait(PATIENCE / 3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])

    def _is_up(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            raise AssertionError(f"{self._command[0]} ended with code {self._process.returncode}")
        return self._ready()
