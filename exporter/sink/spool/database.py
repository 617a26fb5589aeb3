"""SQLite's side of the spool: the schema, its connections, and which of its errors mean what.

One connection writes and checkpoints; the others only read. (SQLite before 3.51.3 can damage a database that two
connections checkpoint at once: https://sqlite.org/wal.html#walresetbug.)
"""

import contextlib
import os
import sqlite3
import stat
from pathlib import Path
from typing import NamedTuple

APPLICATION, VERSION = 0x70775370, 1
"""What marks the database as ours (`pwSp`), and its schema."""

_TABLES = (
    "CREATE TABLE about (name BLOB PRIMARY KEY, sum INTEGER, value BLOB) WITHOUT ROWID",
    "CREATE TABLE journal (id INTEGER PRIMARY KEY, sum INTEGER, value BLOB)",
    "CREATE TABLE payload (id INTEGER PRIMARY KEY, meta BLOB, meta_sum INTEGER, data_sum INTEGER, data BLOB)",
    "CREATE TABLE state (name BLOB PRIMARY KEY, sum INTEGER, value BLOB) WITHOUT ROWID",
)
_SCHEMA = f"""
PRAGMA auto_vacuum = INCREMENTAL;
BEGIN IMMEDIATE;
{";".join(_TABLES)};
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
COMMIT;
"""

_PRAGMAS = ("synchronous = FULL", "secure_delete = FAST", "journal_size_limit = 8388608", "wal_autocheckpoint = 1000")
_TROUBLE = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_AUTH,
    }
)
"""The disk, not the file: it may be better in a second."""


class DamagedError(Exception):
    """The database is not what was written, or not ours."""


SQL_ERRORS = (sqlite3.Error, MemoryError, UnicodeDecodeError, DamagedError)
"""What SQLite raises on a damaged file; the third where its message names a table whose name is no text any more."""


class Opened(NamedTuple):
    """A connection and the file that it has open: the path may come to name another."""

    connection: sqlite3.Connection
    path: Path
    identity: tuple[int, int]

    @property
    def gone(self) -> bool:
        """Whether the path names another file by now, or none: what is written would be lost with the agent."""
        return identity(self.path) != self.identity


def writing(path: Path) -> Opened:
    """The connection that writes to the database at `path`, made where there is none.

    Raises SQL_ERRORS, OSError.
    """
    # SQLite would make it with the mode that the umask allows. Never while it is open: closing a file drops all of this
    # process's POSIX locks on it (https://sqlite.org/howtocorrupt.html, 2.2).
    os.close(private(path))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.2)
    try:
        connection.text_factory = bytes
        _prepare(connection, path)
        return Opened(connection, path, identity(path))
    except BaseException:
        with contextlib.suppress(*SQL_ERRORS):
            connection.close()
        raise


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    if not _value(connection, "page_count"):
        connection.executescript(_SCHEMA)
    elif (_value(connection, "application_id"), _value(connection, "user_version")) != (APPLICATION, VERSION):
        raise DamagedError("it is not a spool of this version")
    elif tuple(_texts(connection, "SELECT sql FROM sqlite_master ORDER BY name")) != _TABLES:
        raise DamagedError("its tables are not what they were")  # one changed byte can make an id an ordinary column
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode not in (b"wal", "wal"):
        raise OSError(95, "no write-ahead log is possible here", str(path))
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _texts(connection: sqlite3.Connection, select: str) -> list[str]:
    return [bytes(text or b"").decode(errors="replace") for (text,) in connection.execute(select)]


def _value(connection: sqlite3.Connection, pragma: str) -> object:
    return connection.execute(f"PRAGMA {pragma}").fetchone()[0]


def reading(path: Path) -> sqlite3.Connection:
    """A connection that only reads: it never checkpoints, not even when it is the last to close."""
    uri = f"{path.as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=1.0)
    connection.text_factory = bytes  # damaged rows can hold anything
    return connection


def damaged(error: BaseException, folder: Path | None = None) -> bool:
    """Whether `error` says that the file is damaged, not that the disk fails.

    A database that is read-only in a `folder` that is not has a damaged header.
    """
    if isinstance(error, DamagedError | UnicodeDecodeError):
        return True
    if not isinstance(error, sqlite3.Error):
        return False
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    if code == sqlite3.SQLITE_IOERR_SHORT_READ:
        return True
    if code & 0xFF == sqlite3.SQLITE_READONLY and folder is not None:
        return os.access(folder, os.W_OK) and not os.statvfs(folder).f_flag & os.ST_RDONLY
    return code & 0xFF not in _TROUBLE


def private(path: Path) -> int:
    """A descriptor of the regular file at `path`, made where there is none, mode 0600; OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(22, "not a regular file", str(path))
        os.fchmod(fd, 0o600)
    except OSError:
        os.close(fd)
        raise
    return fd


def identity(path: Path) -> tuple[int, int]:
    """Which file the path names; zeros for none."""
    try:
        return same(path.stat())
    except OSError:
        return 0, 0


def same(status: os.stat_result) -> tuple[int, int]:
    """What tells a file from others."""
    return status.st_dev, status.st_ino
