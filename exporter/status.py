"""What the agent shows of itself to those who may look: `podwitness probes` reads it while the agent runs.

It is a file in memory without a name (memfd), written anew once a second and found among the agent's open files in
/proc/PID/fd. Only root, or the agent's own user with the same rights, may look there: the kernel sees to that. So there
is no socket and no port to guard, no path for two agents to quarrel about, and nothing stays behind. What is in a port
that anybody may ask (`health`) must not say what this agent cannot see.
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from exporter import __version__
from exporter.source.hooks import Probe
from exporter.telemetry import Ledger

_NAME = "podwitness-status"
_LINK = f"/memfd:{_NAME} "  # what /proc/PID/fd says of it


class Status(msgspec.Struct, frozen=True):
    """A running agent: `settings` is its file, `since` when it began (Unix ns), `probes` what is looked at.

    `programs` are the kernel's ids of the programs at the hooks, by name; `events` seen by event type, `lost` by ring
    (`*`: nobody knows of which), both since it began.
    """

    version: str
    pid: int
    settings: str
    since: int
    probes: tuple[Probe, ...]
    programs: dict[str, int]
    events: dict[str, int]
    lost: dict[str, int]


class Shown:
    """The agent's side."""

    def __init__(self, settings: str, probes: Sequence[Probe], programs: Mapping[str, int], ledger: Ledger) -> None:
        """`settings` is the path of the agent's settings."""
        self._ledger = ledger
        path = str(Path(settings).resolve())
        self._status = Status(__version__, os.getpid(), path, time.time_ns(), tuple(probes), dict(programs), {}, {})
        self._fd = os.memfd_create(_NAME, os.MFD_CLOEXEC)
        os.fchmod(self._fd, 0o600)
        self.show()

    def show(self) -> None:
        """Write what is true now; not while somebody reads, who must not hold up the agent."""
        now = msgspec.structs.replace(self._status, events=dict(self._ledger.seen), lost=dict(self._ledger.lost))
        data = msgspec.json.encode(now)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, data, 0)
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """It is gone."""
        os.close(self._fd)


def agents(proc: Path) -> list[Status]:
    """The agents that run here, as far as we may look; `proc` is a /proc."""
    return sorted((status for path in _files(proc) if (status := _read(path))), key=lambda one: one.since)


def _files(proc: Path) -> Iterator[Path]:
    for process in proc.iterdir():
        if process.name.isdecimal():
            with suppress(OSError):  # it has ended, or is none of our business
                yield from filter(_is_one, (process / "fd").iterdir())


def _is_one(path: Path) -> bool:
    """Opened for writing, as only the agent's own is: others may be reading it just now."""
    try:
        return str(path.readlink()).startswith(_LINK) and bool(path.lstat().st_mode & stat.S_IWUSR)
    except OSError:
        return False


def _read(path: Path) -> Status | None:
    """None where it is gone, or was not made by root or by ourselves: anybody can make a file of that name."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_uid not in (0, os.geteuid()):
                return None
            fcntl.flock(file, fcntl.LOCK_SH)
            status = msgspec.json.decode(file.read(), type=Status)
            return msgspec.structs.replace(status, pid=int(path.parts[-3]))  # as it is called here
    except (OSError, msgspec.MsgspecError):
        return None
