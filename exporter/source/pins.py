"""The directory of the pins, in a bpffs: what of us stays in the kernel when the agent ends.

    word  dispatch/  NUMBER-HASH/lifecycle activity counts reader

A directory NUMBER-HASH is a generation: `generations.identity` is the hash, the number counts them. The one whose
number is in `word` runs, lower ones wait to be read to their end, higher ones never ran. It appears by one
rename, so it is whole or not there. While `Pins` is open it holds the directory's lock: one agent a node.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from exporter.errors import KernelError
from exporter.source import descriptors
from exporter.source.btf import Types
from exporter.source.words import Words

WORD, DISPATCH = "word", "dispatch"
_MAKING = "making"  # sorts as no number: never taken for a generation


class Pinned(NamedTuple):
    """A generation in the directory."""

    number: int
    hash: str
    path: Path


class Pins:
    """The pins of this node, for us alone."""

    def __init__(self, path: Path) -> None:
        """Take the directory at `path`, made if it is not there.

        Raises KernelError when it cannot be made, is in no bpffs, or another agent has it.
        """
        self.path = path
        if not descriptors.is_bpffs(path if path.exists() else path.parent):
            raise KernelError("is in no bpffs", where=_where(path), hint="mount -t bpf bpf /sys/fs/bpf")
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise KernelError(f"cannot be made: {error.strerror}", where=_where(path)) from error
        self._lock = _locked(path)
        try:
            _remove(path / _MAKING)  # of an agent that was killed while it pinned
        except OSError as error:
            self.close()
            raise KernelError(f"cannot be cleaned up: {error}", where=_where(path)) from error

    def generations(self) -> list[Pinned]:
        """All of them, in the order in which they ran."""
        found = []
        for path in self.path.iterdir():
            number, _, name = path.name.partition("-")
            if number.isdecimal() and name:
                found.append(Pinned(int(number), name, path))
        return sorted(found)

    def publish(self, number: int, name: str, maps: Mapping[str, int]) -> Pinned:
        """Pin the maps of a new generation. Raises KernelError when one cannot be."""
        making = self.path / _MAKING
        with _as_kernel_error("cannot be made", making):
            making.mkdir(mode=0o700)
            for map_name, fd in maps.items():
                descriptors.pin(fd, making / map_name)
            return Pinned(number, name, making.rename(self.path / f"{number}-{name}"))

    @staticmethod
    def maps(pinned: Pinned) -> dict[str, int]:
        """File descriptors of a generation's maps, for the caller to close."""
        fds = dict[str, int]()
        try:
            for path in sorted(pinned.path.iterdir()):
                fds[path.name] = descriptors.open_pinned(path)
        except BaseException:
            descriptors.close_all(fds)
            raise
        return fds

    @staticmethod
    def reader(pinned: Pinned, layouts: Types, member: str) -> int:
        """A member of a generation's `struct reader`, which all builds have alike; 0 where it has none yet."""
        fd = descriptors.open_pinned(pinned.path / "reader")
        try:
            words = Words(fd, layouts, "reader")
        finally:
            os.close(fd)
        try:
            return words.get(member)
        finally:
            words.close()

    def remove(self, pinned: Pinned) -> None:
        """Forget a generation, whole: until the rename it is there, after it only what `__init__` removes.

        One that somebody has removed already is forgotten too. Raises KernelError when it cannot be removed.
        """
        with _as_kernel_error("cannot be removed", pinned.path):
            if pinned.path.exists():
                pinned.path.rename(self.path / _MAKING)
                _remove(self.path / _MAKING)

    def close(self) -> None:
        """Let another agent have the directory. Safe to call twice."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _where(path: Path) -> str:
    return f"kernel.pin_path {path}"


@contextmanager
def _as_kernel_error(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KernelError(f"{what}: {error.strerror}", where=_where(path)) from error


def _locked(path: Path) -> int:
    """An fd of the directory with a lock on it, which ends with us however we end."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(f"cannot be opened: {error.strerror}", where=_where(path), hint="run as root") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise KernelError(
            "another agent has it", where=_where(path), hint="one agent a node: stop the other one first"
        ) from error
    return fd


def _remove(path: Path) -> list[str]:
    """Remove a directory of pins; what was removed, if it was there. Links first: what is attached needs its maps."""
    if not path.exists():
        return []
    pins = sorted(path.iterdir(), key=lambda pin: (not pin.name.endswith("_link"), pin.name))
    for pin in pins:
        pin.unlink(missing_ok=True)
    path.rmdir()
    return [*map(str, pins), str(path)]


def unload(pin_path: str | Path) -> list[str]:
    """Take everything of ours out of the kernel; the paths of the pins removed, none where there were none.

    Raises KernelError while an agent runs, or where `pin_path` is in no bpffs.
    """
    path = Path(pin_path)
    if not path.exists():
        return []
    pins = Pins(path)
    try:
        removed = _remove(path / DISPATCH)  # first: nothing runs any more
        for pinned in pins.generations():
            removed += _remove(pinned.path)
        if (path / WORD).exists():
            (path / WORD).unlink()
            removed.append(str(path / WORD))
        if not any(path.iterdir()):  # a bpffs of its own stays, with what the kernel puts into it
            path.rmdir()
            removed.append(str(path))
        return removed
    finally:
        pins.close()
