"""Lines in a file: what other tools, or the Collector's otlp_json_file receiver, read from disk.

Called by the sink's `Outbox`. Each payload is whole lines and is appended by one write where the disk allows;
a write that fails halfway is taken back, so that the next attempt leaves no torn line. Command lines are in
here, so files are 0600 and a new folder 0700, and a symbolic link is never followed. A file that logrotate
moved away is opened anew; one that is too large or too old is rotated with the next payload (`rotation`).

Accepted means that the disk has it (fdatasync: 0.1 to 0.3 ms a payload on an SSD, 9 ms for 3.5 MB): the spool forgets
what was accepted, so a crash of the machine must not lose it.
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from exporter import config
from exporter.errors import ConfigError
from exporter.model import Delivery, Payload, Signal
from exporter.sink import rotation
from exporter.sink.gzipped import plain

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class File:
    """Log records in one file, spans in another where one is set.

    Raises:
        ConfigError: a file that cannot be opened for writing.
    """

    gzip = False
    """Lines are read by others; what was compressed for another transport is decompressed."""

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
            file.append(plain(payload))
        except ValueError as error:
            return Delivery("refused", str(error))
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
    for file in rotation.names(real, backups):
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
    """One file, rotated."""

    def __init__(self, path: Path, settings: config.File) -> None:
        self.path = path
        self._max_bytes, self._max_age = settings.max_bytes, settings.max_age_seconds
        self._generations = rotation.Generations(path, settings.backups, compress=settings.compress_backups)
        self._fd = -1
        self._begun: float | None = None  # Unix time in seconds of its first line; None: not looked up

    def append(self, data: bytes) -> None:
        """Write `data` as a whole, or raise OSError and leave the file as it was."""
        if self._fd >= 0 and not self._is_ours():
            self._release()
        self.open()
        size = os.fstat(self._fd).st_size
        if size and (size + len(data) > self._max_bytes or self._is_old()):
            self._release()
            self._generations.shift()
            self.open()
            size = 0
        if not size:
            self._begun = rotation.begin(self._fd)
        try:
            rotation.write(self._fd, data)
            os.fdatasync(self._fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, size)
            raise
        self._generations.compress()

    def open(self) -> None:
        """Open the file where it is not open, with its mode and its last line put right."""
        if self._fd >= 0:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._fd = os.open(self.path, _FLAGS)
        except FileNotFoundError:
            self._fd = os.open(self.path, _FLAGS | os.O_CREAT, 0o600)
            _sync(self.path.parent)
        try:
            status = os.fstat(self._fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            os.fchmod(self._fd, 0o600)
            # A crash can have left half a line; it must not take the next one with it.
            if status.st_size and os.pread(self._fd, 1, status.st_size - 1) != b"\n":
                rotation.write(self._fd, b"\n")
        except OSError:
            self._release()
            raise

    def close(self) -> None:
        self._release()
        self._generations.close()

    def _release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._begun = -1, None

    def _is_ours(self) -> bool:
        """Whether the path still names the open file: it may have been moved or deleted by others."""
        try:
            named = os.lstat(self.path)
        except FileNotFoundError:
            return False
        held = os.fstat(self._fd)
        return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)

    def _is_old(self) -> bool:
        """Whether its first line is older than lines may be; looked at with each payload, not in between."""
        if self._max_age is None:
            return False
        if self._begun is None or self._begun > time.time():
            self._begun = rotation.begun(self._fd)
        return time.time() - self._begun >= self._max_age


def _sync(folder: Path) -> None:
    """The names in it, to the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
