"""The rows of one queue that are on disk alone: which they are, and how they are read back.

Ids run without holes but for those that are known, so a row that is not where it should be is damage, not an end.
"""

from collections import deque

from exporter.model import Ranges
from exporter.sink.spool.account import Row
from exporter.sink.spool.cipher import Cipher
from exporter.sink.spool.database import SQL_ERRORS, DamagedError
from exporter.sink.spool.reader import Reader
from exporter.sink.spool.rows import Meta, Stored, Tally, payload_of, stored

FAILURES = (*SQL_ERRORS, OSError)
"""What reading raises: `spool_database.damaged` says what is the file's and what the disk's."""


class Far:
    """In the order of ids. `read` may run without the queue's lock, all else needs it.

    Args:
        name: the sink's, which the data is bound to.
        cipher: opens it.
    """

    def __init__(self, name: str, cipher: Cipher) -> None:
        self.reader = Reader()
        self._name, self._cipher = name, cipher
        self._ranges: deque[tuple[int, int]] = deque()
        self._peeked: deque[tuple[int, Meta, int]] = deque()  # the first rows, with the sizes of their data

    def __bool__(self) -> bool:
        return bool(self._ranges)

    @property
    def ranges(self) -> Ranges:
        """All of them."""
        return tuple(self._ranges)

    @property
    def next(self) -> tuple[int, int]:
        """The first range."""
        return self._ranges[0]

    def replace(self, ranges: Ranges) -> None:
        """These, and no others."""
        self._ranges = deque(ranges)
        self._peeked.clear()

    def append(self, row: int) -> None:
        """One more, newer than all."""
        if self._ranges and self._ranges[-1][1] == row - 1:
            self._ranges[-1] = self._ranges[-1][0], row
        else:
            self._ranges.append((row, row))

    def read(self, wanted: tuple[int, int]) -> list[Row]:
        """The next few rows of `wanted`, one at least; raises FAILURES."""
        rows: list[Row] = []
        for number, one in enumerate(self.reader.rows(*wanted), wanted[0]):
            meta = one.told() if one.id == number else None
            if meta is None:
                break
            rows.append(self._row(one, meta))
        if not rows:
            raise DamagedError(f"row {wanted[0]} is not there")
        return rows

    def admit(self, rows: list[Row]) -> list[Row]:
        """Those of `rows` that are still first here, and are not any more: others were dropped meanwhile."""
        admitted = []
        for row in rows:
            if self._ranges and self._ranges[0][0] == row.id:
                self._skip()
                admitted.append(row)
        return admitted

    def peek(self) -> Meta:
        """What the first row says of itself; raises FAILURES."""
        first, last = self._ranges[0]
        while self._peeked and self._peeked[0][0] < first:
            self._peeked.popleft()
        if not self._peeked:
            for number, (row, meta, size) in enumerate(self.reader.metas(first, last), first):
                if row != number or meta is None:
                    break
                self._peeked.append((row, meta, size - self._cipher.overhead))
        if not self._peeked or self._peeked[0][0] != first:
            raise DamagedError(f"row {first} is not there")
        return self._peeked[0][1]

    def drop(self) -> tuple[Tally, int]:
        """The row that was peeked at is none of these any more; it, and the bytes of its payload."""
        row, meta, size = self._peeked.popleft()
        self._skip()
        return Tally.of(row, meta), size

    def stored(self, row: Row, wire: str) -> Stored:
        """A row of this queue as it goes to disk."""
        of = row.payload
        whose, numbers = (self._name, wire, of.signal, of.tag), (of.records, of.sequences)
        meta = Meta(*whose, *numbers, of.gzip, of.size, row.written, of.stream)
        return stored(row.id, meta, self._cipher.seal(of.data, _bound(row.id, self._name)))

    def _row(self, one: Stored, meta: Meta) -> Row:
        data = self._cipher.unseal(one.data, _bound(one.id, self._name)) if one.whole else None
        size = len(one.data if isinstance(one.data, bytes) else b"") - self._cipher.overhead
        return Row(one.id, payload_of(meta, data or b""), meta.written, size, saved=True, spoilt=data is None)

    def _skip(self) -> None:
        first, last = self._ranges[0]
        if first == last:
            self._ranges.popleft()
        else:
            self._ranges[0] = first + 1, last


def _bound(row: int, sink: str) -> str:
    """What a row's sealed data is bound to."""
    return f"{row}:{sink}"
