"""What the agent shows of itself to those who may look: `podwitness probes` reads it while the agent runs.

It is a file in memory without a name (memfd), written anew once a second and found among the agent's open files in
/proc/PID/fd. Only root, or the agent's own user with the same rights, may look there: the kernel sees to that. So there
is no socket and no port to guard, no path for two agents to quarrel about, and nothing stays behind. What is in a port
that anybody may ask (`health`) must not say what this agent cannot see.

Anybody can make a file of that name, root in any container one that looks like ours. So only processes are believed
that could be agents: in the namespaces of who asks, with the right to load programs. No other's file is opened.
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from exporter import __version__
from exporter.source.hooks import Probe
from exporter.telemetry import Ledger

_NAME = "podwitness-status"
_LINK = f"/memfd:{_NAME} "  # what /proc/PID/fd says of it
_LONGEST = 1 << 20  # bytes; it is some twenty KiB
_PATIENCE_SECONDS = 1.0  # the agent holds its lock for microseconds
_LOADS = 1 << 39 | 1 << 21  # CAP_BPF, CAP_SYS_ADMIN


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


class Found(NamedTuple):
    """The `agents` that run here; in words which processes say that they are some and are not believed.

    `closed` are the pids of those that seem to be some, and that we may not look into.
    """

    agents: tuple[Status, ...]
    doubted: tuple[str, ...] = ()
    closed: tuple[int, ...] = ()


class _DoubtError(Exception):
    """Why what a process shows is not believed."""


def agents(proc: Path) -> Found:
    """The agents that run here, as far as we may look; `proc` is a /proc."""
    found, doubted, closed = list[Status](), list[str](), list[int]()
    for process in proc.iterdir():
        if not process.name.isdecimal():
            continue
        try:
            found += [_believed(process, path) for path in _files(process)]
        except _DoubtError as doubt:
            doubted.append(f"pid {process.name} {doubt}")
        except PermissionError:
            closed += [int(process.name)] if _is_called_agent(process) else []
        except OSError:
            pass  # it has ended
    return Found(tuple(sorted(found, key=lambda one: one.since)), tuple(doubted), tuple(closed))


def _files(process: Path) -> Iterator[Path]:
    return filter(_is_one, (process / "fd").iterdir())


def _is_one(path: Path) -> bool:
    """Opened for writing, as only the agent's own is: others may be reading it just now."""
    try:
        return str(path.readlink()).startswith(_LINK) and bool(path.lstat().st_mode & stat.S_IWUSR)
    except OSError:
        return False


def _is_called_agent(process: Path) -> bool:
    with suppress(OSError):
        return (process / "comm").read_text() == "podwitness\n"
    return False


def _believed(process: Path, path: Path) -> Status:
    """What an agent shows in `path`. Raises _DoubtError, or OSError where it is gone."""
    for name in ("pid", "user"):
        if not (process / "ns" / name).samefile(Path("/proc/self/ns") / name):
            raise _DoubtError(f"is in another {name} namespace")
    if not _can_load(process):
        raise _DoubtError("has not the capabilities that an agent needs")
    data = _read(path)
    try:
        return msgspec.structs.replace(msgspec.json.decode(data, type=Status), pid=int(process.name))  # as it is here
    except msgspec.MsgspecError as error:
        raise _DoubtError("shows what no agent of this version writes") from error


def _can_load(process: Path) -> bool:
    """Whether it has the right to load programs, or is our own: then we could as well be told by ourselves."""
    if process.stat().st_uid == os.geteuid() != 0:
        return True
    lines = (process / "status").read_text().splitlines()
    return any(int(line.split()[1], 16) & _LOADS for line in lines if line.startswith("CapEff:"))


def _read(path: Path) -> bytes:
    """What is in the file, whole; not for long and not much. Raises _DoubtError, OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        seen = os.fstat(fd)
        if seen.st_uid not in (0, os.geteuid()) or not stat.S_ISREG(seen.st_mode):
            raise _DoubtError("shows a file that is somebody else's")
        _lock(fd)
        data = os.pread(fd, _LONGEST + 1, 0)
    finally:
        os.close(fd)
    if len(data) > _LONGEST:
        raise _DoubtError("shows more than any agent has to say")
    return data


def _lock(fd: int) -> None:
    """Until it is written no more. Raises _DoubtError where that takes too long."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= end:
                raise _DoubtError("keeps what it shows locked") from error
            time.sleep(0.01)
