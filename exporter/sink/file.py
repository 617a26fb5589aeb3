"""Lines in a file: what other tools, or the Collector's otlp_json_file receiver, read from disk.

Called by the sink's `Outbox`. Each payload is whole lines and is appended by one write where the disk allows;
a write that fails halfway is taken back, so that the next attempt leaves no torn line. Command lines are in
here, so files are 0600 and a new folder 0700, and a symbolic link is never followed. A file that logrotate
moved away is opened anew.

Accepted means that the kernel has it: a crash of the machine can still lose what it has not written out.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from exporter import config
from exporter.errors import ConfigError
from exporter.model import Delivery, Payload, Signal

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class File:
    """Log records in one file, spans in another where one is set.

    Raises:
        ConfigError: a file that cannot be opened for writing.
    """

    def __init__(self, settings: config.File) -> None:
        self.endpoint = settings.path
        """The file of log records."""
        self._files: dict[Signal, _Lines] = {"logs": _Lines(Path(settings.path), settings)}
        if settings.spans_path is not None:
            self._files["traces"] = _Lines(Path(settings.spans_path), settings)
        for setting, file in zip(("path", "spans_path"), self._files.values(), strict=False):
            try:
                file.open()
            except OSError as error:
                self.close()
                obstacle = _obstacle(file.path) or error.strerror
                raise ConfigError(f"{file.path} cannot be written: {obstacle}", where=setting) from error

    def send(self, payload: Payload) -> Delivery:
        """Append the payload to its signal's file."""
        file = self._files.get(payload.signal)
        if file is None:
            return Delivery("refused", "no spans_path is set")
        try:
            file.append(payload.data)
        except OSError as error:
            file.close()
            return Delivery("retry", f"{file.path}: {error.strerror}")
        return Delivery("accepted")

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


def check(settings: config.File) -> None:
    """Raise ConfigError where `File` would, as far as can be known without making a file."""
    for setting, path in (("path", settings.path), ("spans_path", settings.spans_path)):
        if path is not None and (obstacle := _obstacle(Path(path))):
            raise ConfigError(f"{path} cannot be written: {obstacle}", where=setting)


def check_shared(sinks: Mapping[str, config.Sink]) -> None:
    """Raise ConfigError where two settings would write one file; `where` is relative to `sinks`."""
    taken: dict[str, str] = {}
    for name, sink in sinks.items():
        if isinstance(sink, config.File):
            for setting, path in (("path", sink.path), ("spans_path", sink.spans_path)):
                if path is not None:
                    _claim(taken, f"{name}.{setting}", path, sink.backups)


def _claim(taken: dict[str, str], setting: str, path: str, backups: int) -> None:
    """Note whose `path` is, and those of its older generations."""
    real = os.path.realpath(path)
    for file in (real, *(f"{real}.{n}" for n in range(1, backups + 1))):
        if file in taken:
            hint = "each needs a file of its own, also for what is rotated to .1, .2 and so on"
            raise ConfigError(f"{path} would share {file} with sinks.{taken[file]}", where=setting, hint=hint)
        taken[file] = setting


def _obstacle(path: Path) -> str:
    """Why `path` cannot be opened, or made, for writing; empty where it can."""
    try:
        if path.is_symlink():
            return "it is a symbolic link, which is not followed; name the target itself"
        if path.exists() and not path.is_file():
            return "not a regular file"
        existing = path
        while not existing.exists():
            existing = existing.parent
    except OSError as error:
        return error.strerror or str(error)
    if existing != path and not existing.is_dir():
        return os.strerror(errno.ENOTDIR)
    wanted = os.R_OK | os.W_OK if existing == path else os.W_OK | os.X_OK
    return "" if os.access(existing, wanted) else os.strerror(errno.EACCES)


class _Lines:
    """One file with its older generations `.1`, `.2` and so on."""

    def __init__(self, path: Path, settings: config.File) -> None:
        self.path = path
        self._max_bytes, self._backups = settings.max_bytes, settings.backups
        self._fd = -1

    def append(self, data: bytes) -> None:
        """Write `data` as a whole, or raise OSError and leave the file as it was."""
        if self._fd >= 0 and not self._is_ours():
            self.close()
        self.open()
        size = os.fstat(self._fd).st_size
        if size and size + len(data) > self._max_bytes:
            self._rotate()
            self.open()
            size = 0
        try:
            _write(self._fd, data)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, size)
            raise

    def open(self) -> None:
        """Open the file where it is not open, with its mode and its last line put right."""
        if self._fd >= 0:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(self.path, _FLAGS, 0o600)
        try:
            status = os.fstat(self._fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            os.fchmod(self._fd, 0o600)
            # A crash can have left half a line; it must not take the next one with it.
            if status.st_size and os.pread(self._fd, 1, status.st_size - 1) != b"\n":
                _write(self._fd, b"\n")
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _is_ours(self) -> bool:
        """Whether the path still names the open file: it may have been moved or deleted by others."""
        try:
            named = os.lstat(self.path)
        except FileNotFoundError:
            return False
        held = os.fstat(self._fd)
        return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)

    def _rotate(self) -> None:
        """Rename each generation to the next; the last one goes."""
        self.close()
        generations = [self.path, *(Path(f"{self.path}.{n}") for n in range(1, self._backups + 1))]
        if not self._backups:
            self.path.unlink(missing_ok=True)
        for older, newer in zip(reversed(generations), reversed(generations[:-1]), strict=False):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)


def _write(fd: int, data: bytes) -> None:
    """All of `data`: one write may take only a part of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
