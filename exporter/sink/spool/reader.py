"""Reading a sink's rows back, on a connection of its own: no payload waits behind a commit."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.sink.spool.contents import META, ROW
from exporter.sink.spool.database import SQL_ERRORS, reading
from exporter.sink.spool.rows import Meta, Stored, meta_of

_BYTES = 1024 * 1024  # read back at a time, but one row at least
_ROWS = 64

_IN_ORDER = f"{ROW} WHERE id BETWEEN ? AND ? ORDER BY id LIMIT {_ROWS}"
_METAS = f"{META} WHERE id BETWEEN ? AND ? ORDER BY id LIMIT {_ROWS}"


class Reader:
    """The connection; opened when it is first needed, and again after `paused`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._connection: sqlite3.Connection | None = None

    def use(self, path: Path) -> None:
        """Read from this database."""
        with self._lock:
            self._path = path

    def rows(self, first: int, last: int) -> list[Stored]:
        """The next few of these rows; raises SQL_ERRORS, OSError where there is no database now."""
        with self._lock:
            taken: list[Stored] = []
            size = 0
            with contextlib.closing(self._opened().execute(_IN_ORDER, (first, last))) as cursor:
                for one in cursor:
                    row = Stored(*one)
                    taken.append(row)
                    size += len(row.data) if isinstance(row.data, bytes) else 0
                    if size >= _BYTES:
                        break
            return taken

    def metas(self, first: int, last: int) -> list[tuple[int, Meta | None, int]]:
        """What the next few of these rows say of themselves, and the size of their data; raises as `rows`."""
        with self._lock:
            found = self._opened().execute(_METAS, (first, last)).fetchall()
            return [(row, meta_of(row, meta, total), size or 0) for row, meta, total, size in found]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is read meanwhile, and no file is open."""
        with self._lock:
            self._shut()
            self._path, path = None, self._path
            try:
                yield
            finally:
                self._path = path

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._shut()
            self._path = None

    def _opened(self) -> sqlite3.Connection:
        if self._path is None:
            raise OSError(11, "the spool is not open")
        if self._connection is None:
            self._connection = reading(self._path)
        return self._connection

    def _shut(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(*SQL_ERRORS):
                self._connection.close()
            self._connection = None
