"""One sink's queue in the spool: the newest payloads in memory too, the rest on disk alone.

    put -> _buffer -commit-> _tail (memory) -full-> _far (disk only) -> _near (read back) -> head

The reader's thread puts, and calls `prepare`, `committed`, `publish` and `trim` around each transaction of the spool;
the sink's thread takes the head and settles it. The lock is never held while SQLite writes, or reads a payload.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping

from exporter import config
from exporter.model import Payload, Ranges
from exporter.sink.notices import Notices
from exporter.sink.spool.account import LARGEST, Account, Part, Row, Tail, Unsaved
from exporter.sink.spool.cipher import Cipher
from exporter.sink.spool.clock import SpoolClock
from exporter.sink.spool.contents import Found
from exporter.sink.spool.database import damaged
from exporter.sink.spool.far import FAILURES, Far
from exporter.sink.spool.rows import PLACES, Holding, Stored, Tally
from exporter.telemetry import Ledger

_NEAR = 4 * 1024 * 1024  # bytes of what is on disk that are in memory too: a sink that keeps up reads nothing back


class SpoolQueue:
    """The queue of one sink, see `queue.Queue`; made by `Spool.queue`.

    `wire` is the format of its payloads, `settings` its bounds: in memory, on disk and in age.
    """

    def __init__(
        self, name: str, wire: str, settings: config.Queue, ledger: Ledger, clock: SpoolClock, cipher: Cipher
    ) -> None:
        self.name, self._wire, self._settings = name, wire, settings
        self._clock, self._cipher = clock, cipher
        self.left = 0
        """Records that the last run left, those that are lost included: the ledger was not offered them in this run."""
        self.damaged = False
        """Set where the database is not what it should be: the spool mends it at its next commit."""
        self._notices = Notices(lambda: f"sink {name}: spool")

        self._lock = threading.Lock()  # guards what follows
        self._account = Account(name, ledger)
        self._flight: Row | None = None
        self._near: deque[Row] = deque()
        self._far = Far(name, cipher)
        self._tail = Tail()
        self._memory = min(settings.max_bytes, _NEAR)
        self._unsaved = Unsaved()
        self._closed = False

        # The reader's thread's own.
        self._number, self._next = 0, 1
        self._tally = Tally()  # what is on disk
        self._buffer: list[Row] = []  # put since the last commit, and in `_unsaved` too
        self.reader = self._far.reader

    @property
    def waiting(self) -> int:
        """Records in the queue, the head included; any thread."""
        return self._account.records

    def put(self, payload: Payload) -> bool:
        """Take one in; it can be sent after the next commit. The reader's thread."""
        with self._lock:
            if self._closed:
                self._account.refuse(payload, "shutdown")
            elif len(payload.data) > min(self._settings.max_disk_bytes, LARGEST):
                self._account.refuse(payload, "too_large_for_queue")
            else:
                self._take(payload)
        return False

    def head(self) -> Payload | None:
        """The oldest that can be sent now; None also while the disk cannot be read."""
        while True:
            with self._lock:
                self._advance()
                if self._flight is not None:
                    return self._flight.payload
                if self._closed or not self._far:
                    return None
                wanted = self._far.next
            try:
                rows = self._far.read(wanted)
            except FAILURES as error:
                self._fails(error)
                return None
            with self._lock:
                self._near.extend(self._far.admit(rows))

    def settle(self, lost: str = "", *, partly: bool = False) -> None:
        """The head is delivered, or lost for this reason; `partly`: the caller has counted what of it is lost."""
        with self._lock:
            row, self._flight = self._flight, None
            if row is not None:
                row.lost = partly
                self._leave(row, lost, "sink")

    def squeeze(self, share: float) -> None:
        """Keep only this share of the settings' bytes in memory from now on; the rest is on disk alone."""
        with self._lock:
            self._memory = int(min(self._settings.max_bytes, _NEAR) * share)
            self._evict()

    def close(self) -> int:
        """How many records stay on disk; what could not be written there is dropped as `shutdown`."""
        with self._lock:
            self._closed = True
            for row in self._unsaved.rows:
                self._leave(row, "shutdown", "sink")
            self._flight = None
            for rows in (self._near, self._tail, self._buffer):
                rows.clear()
            return self._account.records

    def mark_told(self, *, stated: bool = False) -> None:
        """What was lost until now is told by records that the next commit holds, or `stated` by the spool itself."""
        with self._lock:
            self._account.mark_told(stated=stated)

    # The reader's thread, around a transaction.

    def attach(self, holding: Holding, found: Mapping[str, Found], lost: str, changed: str, late: int) -> None:
        """Take over what is on disk: `holding` is what ought to be there, `found` what is, by wire format.

        `lost` and `changed` are the reasons for what is not there, and for what is in another format; `late` is by how
        much the spool's time went on when it became known, ns.
        """
        with self._lock:
            self._number, self._next, self._tally = holding.number, holding.next, holding.tally
            self.left += holding.tally.records
            ours = found.get(self._wire) or Found()
            self._far.replace(ours.tally.rows)
            self._account.enter(ours.records, self._cipher.plain(ours.bytes, ours.count))
            self._account.forget(holding.tally.minus(Tally().plus(*(one.tally for one in found.values()))), lost)
            for wire, one in found.items():
                if wire != self._wire:
                    self._account.forget(one.tally, changed)
            for row in self._unsaved.rows:  # put while the disk could not be opened
                row.id, row.written = (self._number << PLACES) | self._next, row.written + late
                self._next += 1

    def prepare(self, *, thin: bool = False) -> Part:
        """What to write, what to remove, and what is on disk after that; `thin`: only take off what is delivered.

        What was lost goes only with the record that tells of it, which is still to be written.
        """
        with self._lock:
            delivered, told = self._account.leaving(thin=thin)
            rows = [] if thin else self._unsaved.rows
        gone = Tally().plus(*delivered, *told)
        tally = self._tally.minus(gone).plus(*(row.tally for row in rows))
        return Part(rows, gone, Holding(self._number, self._next, tally), len(delivered), len(told))

    def stored(self, row: Row) -> Stored:
        """The row as it goes to disk."""
        return self._far.stored(row, self._wire)

    def committed(self, part: Part) -> None:
        """What `prepare` said is on disk now."""
        with self._lock:
            self._tally = part.holding.tally
            self._account.left(part.delivered, part.told)
            for row in part.rows:
                row.saved = True
                if row.settled:  # while it was being written
                    self._account.remove(row)
            if part.rows:  # all there are: `put` is called by this thread alone; a thin part writes none
                self._unsaved.clear()

    def publish(self) -> None:
        """What was put can be sent from now on. What memory cannot hold is on disk alone."""
        with self._lock:
            self._tail.extend(row for row in self._buffer if not row.settled)
            self._buffer.clear()
            self._evict()

    def trim(self) -> None:
        """Drop the oldest that are too many or too old; never the head."""
        with self._lock:
            try:
                while (written := self._oldest()) is not None and (reason := self._excess(written)):
                    self._drop_oldest(reason)
            except FAILURES as error:
                self._fails(error)

    def relieve(self) -> None:
        """Drop the oldest that are not saved, until it is not crowded: others are not to wait for this one's sink."""
        with self._lock:
            for row in self._unsaved.rows:
                if not self.crowded:
                    break
                if row is not self._flight:
                    self._leave(row, "spool_full")
            self._tail.purge()

    @property
    def crowded(self) -> bool:
        """Whether twice what memory should hold waits for a disk that fails."""
        return self._unsaved.bytes > 2 * self._memory

    @property
    def place(self) -> tuple[int, int]:
        """See `Unsaved.place`."""
        with self._lock:
            return self._unsaved.place

    def spare(self) -> dict[int, Stored]:
        """Rows on disk that are in memory too, as they go to disk."""
        with self._lock:
            rows = self._in_memory()
        return {row.id: self.stored(row) for row in rows if not row.spoilt}

    def adopt(self, count: Callable[[Ranges], Found]) -> None:
        """The database is a new one with what could be saved; `count` says which rows are there."""
        with self._lock:
            found = count(self._far.ranges)
            kept = [row.tally for row in self._in_memory()]
            lost = self._tally.minus(Tally().plus(found.tally, *kept, *self._account.gone))
            self._far.replace(found.tally.rows)
            here = sum(row.bytes for row in self._in_memory()) + self._unsaved.bytes
            rest = here + self._cipher.plain(found.bytes, found.count)
            self._account.forget(lost, "spool_corrupt", self._account.bytes - rest)
            self.damaged = False

    # With the lock held.

    def _take(self, payload: Payload) -> None:
        row = Row((self._number << PLACES) | self._next, payload, self._clock.now(), len(payload.data))
        self._next += 1
        self._buffer.append(row)
        self._unsaved.append(row)
        self._account.enter(payload.records, row.bytes)

    def _advance(self) -> None:
        """Make the oldest in memory the head, where there is none; what is damaged or too old goes."""
        while self._flight is None:
            if self._near:
                row = self._near.popleft()
            elif self._tail and not self._far:
                row = self._tail.pop()
            else:
                return
            if row.spoilt:
                self._leave(row, "spool_corrupt")
            elif self._too_old(row.written):
                self._leave(row, "too_old")
            else:
                self._flight = row

    def _oldest(self) -> int | None:
        """When the oldest behind the head was written; None where there is none. Raises FAILURES."""
        if self._near:
            return self._near[0].written
        if self._far and not self._closed:
            return self._far.peek().written
        return self._tail.first.written if self._tail else None

    def _excess(self, written: int) -> str:
        if self._account.bytes > self._settings.max_disk_bytes:
            return "queue_full"
        return "too_old" if self._too_old(written) else ""

    def _too_old(self, written: int) -> bool:
        return self._clock.age(written) > self._settings.max_age_seconds * 1e9

    def _drop_oldest(self, reason: str) -> None:
        if self._near:
            self._leave(self._near.popleft(), reason)
        elif self._far:
            tally, size = self._far.drop()
            self._account.forget(tally, reason, size)
        else:
            self._leave(self._tail.pop(), reason)

    def _leave(self, row: Row, lost: str = "", stage: str = "spool") -> None:
        if not row.saved:
            self._unsaved.bytes -= row.bytes
        self._account.leave(row, lost, stage)

    def _evict(self) -> None:
        """What memory cannot hold is on disk alone; what is not on disk stays."""
        while self._tail.bytes > self._memory and self._tail.first.saved:
            self._far.append(self._tail.pop().id)

    def _in_memory(self) -> list[Row]:
        flight = [] if self._flight is None else [self._flight]
        return [row for row in (*flight, *self._near, *self._tail) if row.saved]

    def _fails(self, error: Exception) -> None:
        """What is on disk alone cannot be read: now, or before it is mended."""
        self.damaged = self.damaged or damaged(error)
        self._notices.say("read", "cannot be read: %s", error)
