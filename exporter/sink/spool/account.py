"""What waits in one queue of the spool, what has left it, and what of that is still on disk.

A row leaves the disk with the next commit after it was delivered. A row that was lost leaves it with the commit that
holds the record telling of it: a kill between the two loses neither.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from exporter.model import Payload
from exporter.sink.spool.rows import Holding, Tally
from exporter.telemetry import Ledger

LARGEST = 512 * 1024 * 1024
"""Bytes of a payload; SQLite takes no row of 1 GB."""

_THIN = 256  # rows taken off at once where the disk is full: that needs room too


class Row(msgspec.Struct, eq=False):
    """A payload on its way. `turn`: see `Unsaved`; `spoilt` says that its data is damaged."""

    id: int
    payload: Payload
    written: int
    bytes: int
    turn: int = 0
    saved: bool = False
    settled: bool = False
    lost: bool = False
    spoilt: bool = False

    @property
    def tally(self) -> Tally:
        """What leaves the spool with it."""
        return Tally.of(self.id, self.payload)


class Part(NamedTuple):
    """One queue's part of a transaction; `delivered` and `told` are how many of each it removes."""

    rows: list[Row]
    gone: Tally
    holding: Holding
    delivered: int
    told: int


class Unsaved:
    """Rows that no commit holds yet; some were settled meanwhile, from memory."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque()
        self._turn = 0
        self.bytes = 0
        """Of those that are not settled: who settles one takes its bytes off."""

    def append(self, row: Row) -> None:
        """One more."""
        self._turn += 1
        row.turn = self._turn
        self._rows.append(row)
        self.bytes += row.bytes

    @property
    def rows(self) -> list[Row]:
        """Those that are not settled."""
        return [row for row in self._rows if not row.settled]

    @property
    def place(self) -> tuple[int, int]:
        """How many rows there were, and up to which of them all are committed or settled."""
        while self._rows and self._rows[0].settled:
            self._rows.popleft()
        return self._turn, self._rows[0].turn - 1 if self._rows else self._turn

    def clear(self) -> None:
        """All are committed or settled."""
        self._rows.clear()
        self.bytes = 0


class Tail:
    """The newest rows, in memory."""

    def __init__(self) -> None:
        self.bytes = 0
        self._rows: deque[Row] = deque()

    def __bool__(self) -> bool:
        return bool(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    @property
    def first(self) -> Row:
        """The oldest."""
        return self._rows[0]

    def extend(self, rows: Iterable[Row]) -> None:
        """More, in their order."""
        for row in rows:
            self._rows.append(row)
            self.bytes += row.bytes

    def pop(self) -> Row:
        """The oldest, which leaves."""
        row = self._rows.popleft()
        self.bytes -= row.bytes
        return row

    def purge(self) -> None:
        """What is settled leaves."""
        rows = [row for row in self._rows if not row.settled]
        self.clear()
        self.extend(rows)

    def clear(self) -> None:
        """Nothing is here any more."""
        self._rows.clear()
        self.bytes = 0


class Account:
    """One queue's; its calls come with the queue's lock held.

    Args:
        name: the sink's.
        ledger: where drops are counted.
    """

    def __init__(self, name: str, ledger: Ledger) -> None:
        self._name, self._ledger = name, ledger
        self.bytes = self.records = 0
        """Of all that waits."""
        self._delivered: list[Tally] = []
        self._untold: list[Tally] = []
        self._told: list[Tally] = []

    def enter(self, records: int, size: int) -> None:
        """So much more waits."""
        self.records += records
        self.bytes += size

    def refuse(self, payload: Payload, reason: str) -> None:
        """A payload that never gets in."""
        self._drop(payload, reason, "sink")

    def leave(self, row: Row, lost: str = "", stage: str = "spool") -> None:
        """The row waits no more: delivered, or lost in `stage` for this reason (or in part, and counted already)."""
        row.settled, row.lost = True, row.lost or bool(lost)
        self._less(row.payload.records, row.bytes)
        if lost:
            self._drop(row.payload, lost, stage)
        if row.saved:
            self.remove(row)

    def remove(self, row: Row) -> None:
        """It has left, and its row on disk is to go."""
        (self._untold if row.lost else self._delivered).append(row.tally)

    def forget(self, tally: Tally, reason: str, size: int | None = None) -> None:
        """Rows that are not in memory are lost; they waited here where `size` says how many bytes."""
        if tally != Tally():
            for stream, records, sequences in tally.shares:
                self._ledger.drop(self._name, "spool", reason, records, sequences=sequences, stream=stream)
            self._untold.append(tally)
        if size is not None:
            self._less(tally.records, size)

    def mark_told(self, *, stated: bool) -> None:
        """What was lost until now is told by records that the next commit holds.

        `stated`: by the spool's last statement. Such rows go like those that were delivered; those whose records came
        into no commit stay.
        """
        if stated:
            self._delivered += self._untold
            self._told = []
        else:
            self._told += self._untold
        self._untold = []

    def leaving(self, *, thin: bool) -> tuple[list[Tally], list[Tally]]:
        """What the next transaction takes off the disk: delivered, and lost; `thin`: some of the first alone."""
        return (self._delivered[:_THIN], []) if thin else (self._delivered[:], self._told[:])

    def left(self, delivered: int, told: int) -> None:
        """So many of each were taken off."""
        del self._delivered[:delivered]
        del self._told[:told]

    @property
    def gone(self) -> list[Tally]:
        """What waits no more and is on disk."""
        return [*self._delivered, *self._told, *self._untold]

    def _less(self, records: int, size: int) -> None:
        self.records -= records
        self.bytes -= size
        if not self.records:
            self.bytes = 0  # the size of a damaged row can have been anything

    def _drop(self, payload: Payload, reason: str, stage: str) -> None:
        sequences, stream = payload.sequences, payload.stream
        self._ledger.drop(self._name, stage, reason, payload.records, sequences=sequences, stream=stream)
