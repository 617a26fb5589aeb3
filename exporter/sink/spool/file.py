"""The files of the spool: one directory, one agent, one database and its mark.

`spool.db` (with `-wal` and `-shm`) is the database, `spool.mark` the newest statement (`spool_rows.Statement`),
`spool.lock` says who has the directory. What cannot be used is set aside as `spool.db.corrupt-<UTC time>`, or
`spool.db.other-key-<UTC time>`. All are 0600: SQLite gives `-wal` and `-shm` the mode of the database, which is made
before SQLite opens it.
"""

import contextlib
import fcntl
import os
import struct
import time
from pathlib import Path

from exporter.errors import ConfigError
from exporter.sink.spool.database import Opened, identity, private, same, writing
from exporter.sink.spool.rows import Statement, checksum, decoded

_RESERVE = 1024 * 1024
_ASIDE = 3  # what was set aside and is kept
_MARK = struct.Struct("<4sII")  # magic, length, checksum
_MAGIC = b"pwSm"


class Folder:
    """The directory and who has it.

    Nothing is touched until `take`.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).absolute()
        self.database = self.path / "spool.db"
        self._new = self.path / "spool.db.new"
        self._reserve = self.path / "spool.reserve"
        self._reserved = False
        self._lock = self._mark = -1

    def take(self) -> None:
        """Make the directory, and have it for this agent alone.

        Raises:
            ConfigError: another agent has it.
            OSError: it cannot be made or written.
        """
        if self.taken:
            self._tidy()
            return
        fresh = not self.path.exists()
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if fresh or all(one.name.startswith("spool.") for one in self.path.iterdir()):
            self.path.chmod(0o700)  # a directory of the agent's own that someone else made, as kubelet does
        lock, mark = private(self.path / "spool.lock"), -1
        try:
            _flock(lock, self.path)
            mark = private(self.path / "spool.mark")
        except BaseException:
            os.close(lock)
            raise
        self.release()
        self._lock, self._mark, self._reserved = lock, mark, False
        self._tidy()
        self._sync()

    @property
    def taken(self) -> bool:
        """Whether the directory at the path is the one that is ours."""
        return self._lock >= 0 and identity(self.path / "spool.lock") == same(os.fstat(self._lock))

    def release(self) -> None:
        """Let another agent have it."""
        for fd in (self._mark, self._lock):
            if fd >= 0:
                os.close(fd)
        self._lock = self._mark = -1

    def keep_reserve(self) -> None:
        """See that there is some room for the day when the disk is full: to take rows off needs room too."""
        if self._reserved or not self.taken:
            return
        with contextlib.suppress(OSError):
            fd = private(self._reserve)
            try:
                os.posix_fallocate(fd, 0, _RESERVE)
                self._reserved = True
            finally:
                os.close(fd)

    def free_reserve(self) -> None:
        """The day has come."""
        self._reserved = False
        with contextlib.suppress(OSError):
            self._reserve.unlink()

    def mark(self, statement: bytes) -> None:
        """Note the newest statement beside the database; not synced: it need not outlive the machine's fall.

        What it says is in the database too. It is there for the day when the database is damaged, and SQLite, which
        takes the rest of a damaged write-ahead log for its end, goes back to an older state without a word.
        """
        with contextlib.suppress(OSError):  # then an older mark stays, and the database's statement is the newer
            os.pwrite(self._mark, _MARK.pack(_MAGIC, len(statement), checksum(statement)) + statement, 0)

    def marked(self) -> Statement | None:
        """The statement of the mark; None where there is none or it is damaged."""
        with contextlib.suppress(OSError, struct.error):
            size = os.fstat(self._mark).st_size
            magic, length, total = _MARK.unpack(os.pread(self._mark, _MARK.size, 0))
            if magic == _MAGIC and length <= size:
                body = os.pread(self._mark, length, _MARK.size)
                return decoded(body, Statement) if checksum(body) == total else None
        return None

    @property
    def unmarked(self) -> bool:
        """Whether there is no mark, not even a damaged one: nothing was committed, or the machine fell soon after."""
        return not any(os.pread(self._mark, _MARK.size, 0))

    @property
    def exists(self) -> bool:
        """Whether there is a database."""
        return self.database.exists()

    def open(self) -> Opened:
        """The database for writing, made where there is none; raises SQL_ERRORS, OSError."""
        return writing(self.database)

    def build(self) -> Opened:
        """A new, empty database beside the one in use; `replace` puts it in its place."""
        self._remove(self._new)
        return writing(self._new)

    def replace(self, why: str) -> str:
        """Put the new database in the place of the old one, which is set aside: its new name; OSError."""
        if _with(self._new, "-wal").exists():
            raise OSError(28, "the new database could not be completed")
        aside = ""
        if self.exists:
            aside = self._set_aside(why)
        self._remove_logs()
        self._new.rename(self.database)
        self._sync()
        return aside

    def discard(self) -> None:
        """Away with a new database that could not be completed."""
        with contextlib.suppress(OSError):
            self._remove(self._new)

    def _sync(self) -> None:
        """Names are on the disk too: a machine that falls must not find the old ones."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _set_aside(self, why: str) -> str:
        self._keep_newest(_ASIDE - 1)
        name = f"spool.db.{why}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        target = next(path for n in range(1000) if not (path := self.path / (f"{name}.{n}" if n else name)).exists())
        # The database first: a log without its database is never applied to another one (see `_tidy`).
        self.database.rename(target)
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                _with(self.database, suffix).rename(_with(target, suffix))
        return target.name

    def _keep_newest(self, count: int) -> None:
        found = [path for why in ("corrupt", "other-key") for path in self.path.glob(f"spool.db.{why}-*")]
        found = [path for path in found if not path.name.endswith(("-wal", "-shm"))]
        for path in sorted(found, key=lambda one: one.name.partition("-20")[2])[: max(len(found) - count, 0)]:
            self._remove(path)

    def _tidy(self) -> None:
        """Finish what was begun when the agent was killed: see `replace`."""
        if self.exists:
            self._remove(self._new)
            return
        self._remove_logs()
        if self._new.exists():
            self._new.rename(self.database)

    def _remove_logs(self) -> None:
        """SQLite would apply a log that was left behind to whatever database has its name."""
        for suffix in ("-wal", "-shm"):
            _with(self.database, suffix).unlink(missing_ok=True)

    def _remove(self, path: Path) -> None:
        for one in (path, _with(path, "-wal"), _with(path, "-shm"), _with(path, "-journal")):
            one.unlink(missing_ok=True)


def _flock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        hint = "one agent a directory: end the other one, or set another spool.path"
        raise ConfigError(f"{path} is in use by another agent", where="spool.path", hint=hint) from error


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
