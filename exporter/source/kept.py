"""The objects of pinned generations, on disk for as long as their rings hold something: they have the layouts.

A disk that is full or read-only is no reason not to watch: the copy is made when it can be. Until then an agent of
another build could not read what this one leaves.
"""

import filecmp
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path

from exporter.errors import KernelError
from exporter.source import libbpf
from exporter.source.btf import Types
from exporter.telemetry import log

_RETRY_SECONDS = 60.0


class Kept:
    """What is kept in the directory `path`; the objects of our own build among it."""

    def __init__(
        self, path: Path, name: str, objects: Collection[Path], now: Callable[[], float] = time.monotonic
    ) -> None:
        """`name` is the identity of our build, made of `objects`. Touches nothing yet."""
        self.path, self.name, self._objects, self._now = path, name, objects, now
        self._is_kept, self._failing, self._retry_at = False, False, 0.0

    def keep(self) -> None:
        """Copy our own objects, if they are not there. What cannot be is tried again, at most once a minute."""
        now = self._now()
        if self._is_kept or now < self._retry_at:
            return
        try:
            keep_objects(self.path, self.name, self._objects)
        except KernelError as error:
            if not self._failing:
                log.warning("%s: after an upgrade what is unread of these programs could not be read", error)
            self._failing, self._retry_at = True, now + _RETRY_SECONDS
        else:
            self._is_kept = True

    def types(self, name: str) -> dict[str, Types]:
        """The types of the objects kept of generation `name`, by program; none where they are gone or damaged."""
        return kept_types(self.path, name)

    def drop_others(self, names: Collection[str]) -> None:
        """Remove what is kept of generations other than ours and `names`. Raises KernelError where it cannot be."""
        drop_objects(self.path, [self.name, *names])


def keep_objects(keep: Path, name: str, objects: Collection[Path]) -> None:
    """Copy the objects of generation `name` to `keep`/`name`. Raises KernelError when that cannot be."""
    folder = keep / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in objects:
            there, whole = folder / path.name, folder / f"{path.name}.new"
            if not (there.exists() and filecmp.cmp(path, there, shallow=False)):
                shutil.copyfile(path, whole)
                whole.rename(there)
    except OSError as error:
        raise KernelError(
            f"programs cannot be kept: {error.strerror}", where=str(folder), hint="spool.path needs room, and a writer"
        ) from error


def kept_types(keep: Path, name: str) -> dict[str, Types]:
    """The types of the objects kept of generation `name`, by program; none where they are gone or damaged."""
    found = {}
    try:
        for path in (keep / name).glob("*.bpf.o"):
            opened = libbpf.Object(path)
            try:
                found[path.name.removesuffix(".bpf.o")] = Types(opened.btf())
            finally:
                opened.close()
    except (KernelError, OSError):
        return {}
    return found


def drop_objects(keep: Path, names: Collection[str]) -> None:
    """Remove what is kept of generations other than `names`. Raises KernelError where it cannot be looked at."""
    try:
        for folder in keep.glob("*"):
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise KernelError(f"cannot be tidied up: {error.strerror}", where=str(keep)) from error
