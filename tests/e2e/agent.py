"""`podwitness run` as a user starts it, and processes in cgroups named as a container runtime names them."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from exporter.enrich.cgroups import choose
from tests.waiting import wait_for

PODWITNESS = str(Path(sys.executable).with_name("podwitness"))


class Agent:
    """A running agent; `stop` ends it as a user would and gives the line it prints at the end."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        config, self._ready = folder / "config.yaml", folder / "ready.jsonl"
        sinks = settings["sinks"] | {"ready": {"type": "file", "path": str(self._ready)}}
        spool = {"path": str(folder / "spool")}
        config.write_text(yaml.safe_dump({"spool": spool} | settings | {"sinks": sinks}))
        self._stderr = (folder / "agent.log").open("w+")
        self.process = subprocess.Popen([PODWITNESS, "run", "--config", str(config)], stderr=self._stderr)

    def wait_until_it_watches(self) -> None:
        """Something happens until the agent tells of it."""
        wait_for(self._tells, "the agent tells of something")

    def _tells(self) -> bool:
        assert self.process.poll() is None, self.said()
        subprocess.run(["/bin/true"], check=True)
        return self._ready.exists() and self._ready.stat().st_size > 0

    def said(self) -> str:
        """Its log so far."""
        self._stderr.flush()
        return Path(self._stderr.name).read_text()

    def stop(self, number: int = signal.SIGINT) -> str:
        """End it; the last line it said."""
        self.process.send_signal(number)
        assert self.process.wait(60) == 0, self.said()
        return self.said().splitlines()[-1]

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        self._stderr.close()


@contextmanager
def agent(folder: Path, settings: dict[str, Any]) -> Iterator[Agent]:
    """An agent that watches by the time the block begins."""
    running = Agent(folder, settings)
    try:
        running.wait_until_it_watches()
        yield running
    finally:
        running.close()


def container_id() -> str:
    """64 hex digits that nobody else has."""
    return f"{random.getrandbits(256):064x}"


@contextmanager
def cgroup(path: str, hierarchy: str = "auto") -> Iterator[Path]:
    """The cgroup `path` of a hierarchy of this machine for as long as the block runs; its processes end before."""
    root = choose(hierarchy, Path("/sys/fs/cgroup")).mount  # type: ignore[arg-type]
    made = []
    folder = root
    for name in path.strip("/").split("/"):
        folder /= name
        if not folder.exists():
            folder.mkdir()
            made.append(folder)
    try:
        yield folder
    finally:
        for folder in reversed(made):
            wait_for(partial(_removed, folder), f"{folder} is empty")


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def enter(folder: Path) -> None:
    """Put this process into a cgroup; for `preexec_fn`."""
    (folder / "cgroup.procs").write_text(str(os.getpid()))
