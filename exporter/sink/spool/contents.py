"""What can be read of a database: its rows by sink, its values, and the statement of what ought to be in it.

`examine` reads all there is without the payloads' data, which is checked when it is sent. `copy` takes from a damaged
database what is whole into a new one.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.model import Ranges, joined
from exporter.sink.spool.cipher import Cipher
from exporter.sink.spool.database import SQL_ERRORS
from exporter.sink.spool.rows import (
    PLACES,
    Meta,
    Statement,
    Stored,
    Tally,
    checksum,
    decoded,
    meta_of,
    numbers,
    within,
)

STATEMENT, CIPHER = b"statement", b"cipher"
_CHECK = b"podwitness spool"
_COMPACT = 10_000  # ranges collected before they are joined: their number is not bounded by anything else
_CHUNK = 8 * 1024 * 1024  # bytes copied in one transaction

ROW = "SELECT id, meta, meta_sum, data_sum, data FROM payload"
META = "SELECT id, meta, meta_sum, length(data) FROM payload"
INSERT = "INSERT OR REPLACE INTO payload VALUES (?, ?, ?, ?, ?)"

_STATE = "SELECT name, sum, value FROM state"
_JOURNAL = "SELECT id, sum, value FROM journal"
_VALUES = (
    (_STATE, "name", "INSERT OR REPLACE INTO state VALUES (?, ?, ?)"),
    (_JOURNAL, "id", "INSERT OR REPLACE INTO journal VALUES (?, ?, ?)"),
)


class OtherKeyError(Exception):
    """The database was written with another key, or without one, or needs one."""


class Found:
    """The rows of one sink in one wire format."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int]] = []
        self._sequences: dict[str, list[tuple[int, int]]] = {}  # by stream
        self.count = self.records = self.bytes = self.newest = 0

    def add(self, row: int, meta: Meta, size: int) -> None:
        """One more, in the order of ids."""
        if self._rows and self._rows[-1][1] == row - 1:
            self._rows[-1] = self._rows[-1][0], row
        else:
            self._rows.append((row, row))
        if meta.sequences:
            sequences = self._sequences.setdefault(meta.stream, [])
            sequences.extend(meta.sequences)
            if len(sequences) > _COMPACT:
                self._sequences[meta.stream] = list(joined(tuple(sequences)))
        self.count += 1
        self.records += meta.records
        self.bytes += size
        self.newest = max(self.newest, meta.written)

    @property
    def tally(self) -> Tally:
        """All of them."""
        streams = {stream: joined(tuple(sequences)) for stream, sequences in self._sequences.items()}
        return Tally(tuple(self._rows), self.records, streams.pop("", ()), streams)


@dataclass
class Contents:
    """What a database holds. Values are sealed as they were written; `faults` says that some are missing."""

    statement: Statement | None = None
    state: dict[str, bytes] = field(default_factory=dict)
    journal: list[tuple[int, bytes]] = field(default_factory=list)
    rows: dict[str, dict[str, Found]] = field(default_factory=dict)  # by sink, then by wire format
    numbers: dict[str, int] = field(default_factory=dict)  # by sink: its number in row ids
    strays: list[int] = field(default_factory=list)  # rows to be removed: damaged, or removed before
    faults: bool = False
    fresh: bool = False  # nothing was ever committed to it


def newer(stored: Statement | None, marked: Statement | None) -> Statement | None:
    """The statement to go by: the mark's where it is of the same spool and of a later commit."""
    if stored is None or marked is None:
        return stored or marked
    return marked if marked.spool == stored.spool and marked.commit > stored.commit else stored


def examine(connection: sqlite3.Connection, cipher: Cipher, marked: Statement | None) -> Contents:
    """All that a database holds; raises SQL_ERRORS where it is damaged, OtherKeyError."""
    rows = connection.execute("SELECT name, sum, value FROM about").fetchall()
    about = dict(_values(iter(rows)))
    _check_key(about.get(CIPHER), cipher)
    contents = Contents(newer(decoded(about.get(STATEMENT, b""), Statement), marked))
    contents.fresh = not any(row[0] == STATEMENT for row in rows)
    contents.state = dict(_texts(_values(connection.execute(_STATE))))
    contents.journal = list(_values(connection.execute(f"{_JOURNAL} ORDER BY id")))
    statement = contents.statement
    if statement is not None:
        entries = [number for number, _ in contents.journal]
        contents.faults = len(contents.state) < statement.states or entries != list(range(*statement.journal))
    _count(connection, contents)
    return contents


def _count(connection: sqlite3.Connection, contents: Contents) -> None:
    """Sort all rows by sink; what nobody expects was delivered, or told of as lost, after this state."""
    expected = None if contents.statement is None else contents.statement.queues
    for row, encoded, meta_sum, size in connection.execute(f"{META} ORDER BY id"):
        meta = meta_of(row, encoded, meta_sum)
        if meta is None or (
            expected is not None and not (meta.sink in expected and within(row, expected[meta.sink].tally.rows))
        ):
            contents.strays.append(row)
            continue
        contents.numbers[meta.sink] = row >> PLACES
        found = contents.rows.setdefault(meta.sink, {}).setdefault(meta.wire, Found())
        found.add(row, meta, size or 0)


def count(connection: sqlite3.Connection, rows: Ranges) -> Found:
    """Those of `rows` that are there; raises SQL_ERRORS."""
    found = Found()
    for first, last in rows:
        among = connection.execute(f"{META} WHERE id BETWEEN ? AND ? ORDER BY id", (first, last))
        for row, encoded, meta_sum, size in among:
            if (meta := meta_of(row, encoded, meta_sum)) is not None:
                found.add(row, meta, size or 0)
    return found


def _check_key(check: bytes | None, cipher: Cipher) -> None:
    """A database that says nothing of a key is new, or damaged: its values will tell."""
    if check is not None and (check != b"" if not cipher.sealing else cipher.unseal(check, "key") != _CHECK):
        raise OtherKeyError


def key_check(cipher: Cipher) -> bytes:
    """What tells the key of a database."""
    return cipher.seal(_CHECK, "key") if cipher.sealing else b""


def _values(rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, bytes]]:
    """Name and value of those that are whole."""
    for name, total, value in rows:
        if isinstance(value, bytes) and _sum(value) == total:
            yield name, value


def _sum(value: object) -> int | None:
    return checksum(value) if isinstance(value, bytes) else None


def _texts(values: Iterator[tuple[object, bytes]]) -> Iterator[tuple[str, bytes]]:
    for name, value in values:
        if isinstance(name, bytes):
            yield name.decode(errors="replace"), value


def copy(
    source: sqlite3.Connection, target: sqlite3.Connection, expected: Ranges | None, spare: Mapping[int, Stored]
) -> None:
    """Take what is whole in a damaged `source` into an empty `target`, whose errors are raised.

    Args:
        source: the damaged database.
        target: where to.
        expected: the ids of the rows that ought to be there; None where nobody knows.
        spare: rows that are in memory too, for those that cannot be read.
    """
    for select, key, insert in _VALUES:
        ends = _from_both_ends(source, select, key)
        whole = [row for row in ends if row[0] is not None and row[1:] == (_sum(row[2]), row[2])]
        target.executemany(insert, whole)
    if expected is None:
        rows = (Stored(*row) for row in _from_both_ends(source, ROW, "id"))
    else:
        rows = (row for number in numbers(expected) if (row := _one(source, number, spare)) is not None)
    _copy_rows((row for row in rows if row.told() and row.whole), target)


def _copy_rows(rows: Iterator[Stored], target: sqlite3.Connection) -> None:
    size = 0
    target.execute("BEGIN IMMEDIATE")
    for row in rows:
        target.execute(INSERT, row)
        size += len(row.data)
        if size > _CHUNK:
            target.execute("COMMIT")
            target.execute("BEGIN IMMEDIATE")
            size = 0
    target.execute("COMMIT")


def _one(source: sqlite3.Connection, number: int, spare: Mapping[int, Stored]) -> Stored | None:
    try:
        found = source.execute(f"{ROW} WHERE id = ?", (number,)).fetchone()
    except SQL_ERRORS:
        found = None
    if found is not None:
        row = Stored(*found)
        if row.id == number and row.told() and row.whole:
            return row
    return spare.get(number)


def _from_both_ends(source: sqlite3.Connection, select: str, key: str) -> Iterator[tuple[Any, ...]]:
    """Each row that can be read: from the first until one fails, then from the last down."""
    last: Any = None
    for order in ("ASC", "DESC"):
        try:
            for row in source.execute(f"{select} ORDER BY {key} {order}"):
                if order == "DESC" and (last is not None and row[0] <= last):
                    return
                if order == "ASC":
                    last = row[0]
                yield row
            return
        except (*SQL_ERRORS, TypeError):
            continue
