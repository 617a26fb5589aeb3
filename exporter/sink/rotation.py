"""The generations of a log file: `.1` is the newest full one, `.2` the next; `.1.gz` and so on where compressed.

`file` calls it, in the thread of its sink. A full file is renamed at once. It is compressed afterwards, a piece with
each payload, so that none waits for long: its compressed form is made under another name (0600), written out to the
disk and renamed, and only then the plain one goes. What a crash interrupts is begun anew; one of the two is always
whole.

When a file got its first line is kept in its extended attribute `user.podwitness.begun` (Unix seconds): that stays
with it over restarts and renames. Where there is none (a file system without them, a file of somebody else's) it is
the time of its last line when it was opened.
"""

import contextlib
import logging
import os
import stat
import time
from pathlib import Path

from isal import isal_zlib

log = logging.getLogger("podwitness.sink")

BEGUN = "user.podwitness.begun"
READ_BYTES = 1024 * 1024
PIECE_BYTES = 16 * READ_BYTES
"""Compressed with each payload, at most; 20 ms."""

_UNFINISHED = ".gz.new"
_GZIP = 31  # zlib's number for the gzip format
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def begin(fd: int) -> float:
    """Note that an open file gets its first line now; returns the Unix time in seconds."""
    return _note(fd, time.time())


def begun(fd: int) -> float:
    """When an open file got its first line: Unix time in seconds, never in the future."""
    now = time.time()
    try:
        noted = int(os.getxattr(fd, BEGUN))
    except (OSError, ValueError):
        return _note(fd, min(os.fstat(fd).st_mtime, now))
    return noted if noted <= now else _note(fd, now)  # the clock was set back


def _note(fd: int, when: float) -> float:
    with contextlib.suppress(OSError):
        os.setxattr(fd, BEGUN, str(int(when)).encode())
    return when


def names(path: str, backups: int) -> list[str]:
    """All files that writing to `path` may make or replace."""
    return [path, f"{path}{_UNFINISHED}", *(f"{path}.{n}{form}" for n in range(1, backups + 1) for form in ("", ".gz"))]


class Generations:
    """The older files of the one at `path`.

    Args:
        path: the file that is written.
        backups: how many older ones are kept, compressed or not.
        compress: whether those that are not compressed are to be.
    """

    def __init__(self, path: Path, backups: int, *, compress: bool) -> None:
        self._path, self._backups, self._compresses = path, backups, compress
        self._unfinished = Path(f"{path}{_UNFINISHED}")
        self._left = True  # whether there may be something to do
        self._work: _Compression | None = None

    def shift(self) -> None:
        """Rename each to the next, the written file to `.1`; the last one goes. Raises OSError."""
        for last in self._forms(self._backups):
            last.unlink(missing_ok=True)
        for number in reversed(range(self._backups)):
            for newer, older in zip(self._forms(number), self._forms(number + 1), strict=False):
                with contextlib.suppress(FileNotFoundError):
                    newer.replace(older)
        self._left = True

    def compress(self) -> None:
        """Compress a piece of what is left; what the disk does not allow waits for the next shift."""
        try:
            for _ in range(PIECE_BYTES // READ_BYTES):
                if not self._left:
                    return
                self._left = self._step()
        except OSError as error:
            log.warning("backups of %s stay uncompressed for now: %s", self._path, error.strerror)
            self.close()
            self._left = False

    def close(self) -> None:
        """Leave what is begun; the next start begins it anew."""
        if self._work is not None:
            self._work.close()
            self._work = None
            with contextlib.suppress(OSError):
                self._unfinished.unlink()

    def _step(self) -> bool:
        """One read further; whether there may be more to do."""
        if self._work is None:
            source = self._next()
            if source is None:
                return False
            self._work = _Compression(source, self._unfinished)
        if self._work.step():
            self._finish(self._work)
            self.close()
        return True

    def _next(self) -> Path | None:
        """The newest that is not compressed. One that is there in both forms was compressed whole before a crash."""
        self._unfinished.unlink(missing_ok=True)
        for number in range(1, self._backups + 1) if self._compresses else ():
            plain, compressed = self._forms(number)
            if _regular(plain) is not None:
                if _regular(compressed) is None:
                    return plain
                plain.unlink()
        return None

    def _finish(self, work: "_Compression") -> None:
        """Put the compressed form in the place of the plain one, whatever that is called by now."""
        for number in range(1, self._backups + 1):
            plain, compressed = self._forms(number)
            if _regular(plain) == work.source:
                self._unfinished.replace(compressed)
                plain.unlink()
                return

    def _forms(self, number: int) -> tuple[Path, ...]:
        """The names a generation may have; the written file itself, number 0, has one."""
        if not number:
            return (self._path,)
        return Path(f"{self._path}.{number}"), Path(f"{self._path}.{number}.gz")


class _Compression:
    """One file that is being compressed into another, piece by piece. Raises OSError."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source = os.open(source, os.O_RDONLY | _FLAGS)
        try:
            self._target = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
        except OSError:
            os.close(self._source)
            raise
        self._stream = isal_zlib.compressobj(wbits=_GZIP)
        self.source = _identity(os.fstat(self._source))
        """Which file it is; its name changes when others come before it."""

    def step(self) -> bool:
        """Compress what one read gives; whether there was nothing more, and all is on the disk."""
        data = os.read(self._source, READ_BYTES)
        write(self._target, self._stream.compress(data) if data else self._stream.flush())
        if not data:
            status = os.fstat(self._source)
            os.utime(self._target, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(self._target)
        return not data

    def close(self) -> None:
        """Let go of both files."""
        os.close(self._source)
        os.close(self._target)


def write(fd: int, data: bytes) -> None:
    """All of `data`: one write may take only a part of it. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _regular(path: Path) -> tuple[int, int] | None:
    """Which file has this name; None where none has, or something else."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return _identity(status) if stat.S_ISREG(status.st_mode) else None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
