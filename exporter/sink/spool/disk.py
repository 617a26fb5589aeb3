"""The database in use: opened or mended at start, written to by one transaction a commit, rebuilt when damaged."""

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from exporter.model import joined
from exporter.sink.spool.cipher import Cipher
from exporter.sink.spool.contents import (
    CIPHER,
    INSERT,
    STATEMENT,
    Contents,
    OtherKeyError,
    copy,
    examine,
    key_check,
    newer,
)
from exporter.sink.spool.database import SQL_ERRORS, Opened, damaged
from exporter.sink.spool.file import Folder
from exporter.sink.spool.rows import Statement, Stored, checksum, decoded
from exporter.telemetry import ALL_SINKS

log = logging.getLogger("podwitness.sink")

_ABOUT = "INSERT OR REPLACE INTO about VALUES (?, ?, ?)"
_SPARE_PAGES = 1024  # free pages that stay for reuse
_VACUUM_PAGES = 1024  # given back at a time: 5 ms

_FEW_PAGES = 64  # where each page that is moved needs room


class Work(NamedTuple):
    """One transaction; values and data are sealed. `gone` are ids of rows, first and last."""

    statement: Statement
    rows: list[Stored]
    gone: list[tuple[int, int]]
    state: Mapping[str, bytes] = {}
    journal: Sequence[tuple[int, bytes]] = ()
    other_state_goes: bool = False
    older_journal_goes: bool = False


class Disk:
    """The open database; all calls come from the reader's thread.

    `write`, `shrink` and the properties raise SQL_ERRORS.
    """

    def __init__(self, folder: Folder, opened: Opened) -> None:
        self.folder = folder
        self._opened = opened

    @property
    def connection(self) -> sqlite3.Connection:
        """The one that writes."""
        return self._opened.connection

    @property
    def gone(self) -> bool:
        """Whether directory or file were taken away under us."""
        return self._opened.gone or not self.folder.taken

    def write(self, work: Work) -> None:
        """All of it or nothing; on the disk when this returns."""
        encoded = msgspec.msgpack.encode(work.statement)
        run = self.connection
        run.execute("BEGIN IMMEDIATE")
        try:
            # First what goes: what comes can take its place in the file.
            run.executemany("DELETE FROM payload WHERE id BETWEEN ? AND ?", work.gone)
            run.executemany(INSERT, work.rows)
            if work.other_state_goes:
                run.execute("DELETE FROM state")
            run.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", _summed(work.state))
            if work.older_journal_goes:
                run.execute("DELETE FROM journal")
            entries = [(number, checksum(value), value) for number, value in work.journal]
            run.executemany("INSERT OR REPLACE INTO journal VALUES (?, ?, ?)", entries)
            run.execute(_ABOUT, (STATEMENT, checksum(encoded), encoded))
            run.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(*SQL_ERRORS):  # SQLite has done it already for some errors
                run.execute("ROLLBACK")
            raise
        self.folder.mark(encoded)

    def shrink(self) -> None:
        """Give a part of the free pages back, where most of the file is free."""
        (free,), (pages,) = (
            self.connection.execute(f"PRAGMA {of}").fetchone() for of in ("freelist_count", "page_count")
        )
        if free > _SPARE_PAGES and 2 * free > pages:
            # `execute` would take one step, one page: rows without columns are no rows to it.
            self.connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")

    def make_room(self) -> None:
        """The disk is full: give back what is free, and let the write-ahead log go.

        In this order: what is in the log has to fit into the database, but for pages that were cut off its end.
        """
        if self._count("freelist_count"):
            self.folder.free_reserve()
            for pages in (0, _FEW_PAGES):  # all of them, or what there is room for
                with contextlib.suppress(*SQL_ERRORS):
                    self.connection.executescript(f"PRAGMA incremental_vacuum({pages})")
                    break
        with contextlib.suppress(*SQL_ERRORS):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _count(self, of: str) -> int:
        return int(self.connection.execute(f"PRAGMA {of}").fetchone()[0])

    def close(self) -> None:
        """Close the file, never raising: what is committed is safe in the write-ahead log."""
        with contextlib.suppress(*SQL_ERRORS):
            self.connection.close()


class Loaded(NamedTuple):
    """What the start found. `lost` is the reason for what is missing, `known` whether anyone can know what that is."""

    disk: Disk
    contents: Contents
    lost: str
    known: bool


def load(folder: Folder, cipher: Cipher) -> Loaded:
    """Open the spool in `folder`, mended or made new where it has to be.

    Raises:
        ConfigError: another agent has it.
        SQL_ERRORS, OSError: the disk fails.
    """
    folder.take()
    marked, unmarked = folder.marked(), folder.unmarked
    try:
        opened = folder.open()
        try:
            contents = examine(opened.connection, cipher, marked)
            _sign(opened.connection, cipher)
        except BaseException:
            opened.connection.close()
            raise
    except OtherKeyError:
        log.warning(
            "spool %s was not written with the key of spool.key_file; what is in it is set aside", folder.database
        )
        disk, contents, lost = *_started_anew(folder, cipher, marked), "spool_key"
        known = contents.statement is not None
    except SQL_ERRORS as error:
        if not damaged(error, folder.path):
            raise
        log.warning("spool %s is damaged (%s); what can be read of it is saved", folder.database, error)
        disk, contents, lost = *_mended(folder, cipher, marked), "spool_corrupt"
        known = contents.statement is not None and (unmarked or marked is not None)
    else:
        disk, lost = Disk(folder, opened), "spool_corrupt"
        # With a damaged mark nobody can tell whether this is the newest state.
        known = marked is not None or (unmarked and (contents.fresh or contents.statement is not None))
    return Loaded(disk, contents, lost, known)


def reopened(folder: Folder) -> Disk:
    """The database that `rebuild` put in place."""
    return Disk(folder, folder.open())


def rebuild(
    folder: Folder,
    source: sqlite3.Connection | None,
    cipher: Cipher,
    statement: Statement | None,
    spare: Mapping[int, Stored],
    why: str = "corrupt",
) -> None:
    """Put a new database in the place of a damaged one, with what is whole of it.

    `statement` goes into it as it is: until what is missing is told, it ought to be there. Raises SQL_ERRORS,
    OSError; then nothing has changed.
    """
    fresh = folder.build()
    try:
        if source is not None:
            rows = None if statement is None else joined(*(one.tally.rows for one in statement.queues.values()))
            copy(source, fresh.connection, rows, spare)
        _sign(fresh.connection, cipher)
        if statement is not None:
            encoded = msgspec.msgpack.encode(statement)
            fresh.connection.execute(_ABOUT, (STATEMENT, checksum(encoded), encoded))
        fresh.connection.close()
        aside = folder.replace(why)
    except BaseException:
        fresh.connection.close()
        folder.discard()
        raise
    if aside:
        log.warning("spool: the old database is %s", folder.path / aside)


def _started_anew(folder: Folder, cipher: Cipher, marked: Statement | None) -> tuple[Disk, Contents]:
    """A new database; the old one's statement, which is not sealed, tells what is lost with it."""
    with _raw(folder) as source:
        statement = newer(_statement(source), marked)
    if statement is not None:
        first, end = statement.journal
        unknown = ((ALL_SINKS, "spool_key"),) if end > first else ()  # what the journal told of
        statement = msgspec.structs.replace(
            statement, streams={}, states=0, journal=(1, 1), doubts=statement.doubts + unknown
        )
    rebuild(folder, None, cipher, statement, {}, "other-key")
    return _examined(folder, cipher, statement)


def _mended(folder: Folder, cipher: Cipher, marked: Statement | None) -> tuple[Disk, Contents]:
    with _raw(folder) as source:
        statement = newer(_statement(source), marked)
        rebuild(folder, source, cipher, statement, {})
    return _examined(folder, cipher, statement)


def _examined(folder: Folder, cipher: Cipher, statement: Statement | None) -> tuple[Disk, Contents]:
    disk = reopened(folder)
    return disk, examine(disk.connection, cipher, statement)


def _raw(folder: Folder) -> contextlib.closing[sqlite3.Connection]:
    connection = sqlite3.connect(folder.database, isolation_level=None, timeout=0.2)
    connection.text_factory = bytes
    with contextlib.suppress(*SQL_ERRORS):
        # Else SQLite reads nothing of a file that is shorter than its header says (btree.c, lockBtree).
        connection.execute("PRAGMA writable_schema = ON")
    return contextlib.closing(connection)


def _statement(source: sqlite3.Connection) -> Statement | None:
    try:
        found = source.execute("SELECT sum, value FROM about WHERE name = ?", (STATEMENT,)).fetchone()
    except SQL_ERRORS:
        return None
    if found is None or not isinstance(found[1], bytes) or checksum(found[1]) != found[0]:
        return None
    return decoded(found[1], Statement)


def _sign(connection: sqlite3.Connection, cipher: Cipher) -> None:
    """Note the key, where that is not there."""
    if connection.execute("SELECT 1 FROM about WHERE name = ?", (CIPHER,)).fetchone() is None:
        check = key_check(cipher)
        connection.execute(_ABOUT, (CIPHER, checksum(check), check))


def _summed(values: Mapping[str, bytes]) -> Iterable[tuple[bytes, int, bytes]]:
    return [(name.encode(), checksum(value), value) for name, value in values.items()]
