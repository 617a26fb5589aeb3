"""The spool's transaction, and all that makes it possible again: opening late, mending, making room.

`spool.Spool` calls it and takes what it raises: SQL_ERRORS, OSError, ConfigError. Then
nothing has changed, on disk or here, and the next call does it all.
"""

import contextlib
import logging
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

import msgspec

from exporter import config
from exporter.sink.spool.account import Part
from exporter.sink.spool.cipher import Cipher
from exporter.sink.spool.clock import SpoolClock
from exporter.sink.spool.contents import count
from exporter.sink.spool.database import SQL_ERRORS, DamagedError, damaged
from exporter.sink.spool.disk import Disk, Loaded, Work, load, rebuild, reopened
from exporter.sink.spool.file import Folder
from exporter.sink.spool.left import Doubts, Left
from exporter.sink.spool.pending import Pending
from exporter.sink.spool.queue import SpoolQueue
from exporter.sink.spool.rows import Statement, Tally
from exporter.telemetry import ALL_SINKS, Ledger

log = logging.getLogger("podwitness.sink")

_RENEWAL = 10.0  # seconds between two renewals: a disk that damages all it gets must not keep us copying
_SHRINK = 1.0  # seconds between two looks at the free pages


class Writer:
    """The one that writes, for the reader's thread.

    Args:
        path: the spool's directory.
        ledger: where losses are told.
        clock: the spool's time.
        now: monotonic seconds.
        cipher: how values are sealed.
    """

    def __init__(self, path: str, ledger: Ledger, clock: SpoolClock, now: Callable[[], float], cipher: Cipher) -> None:
        self.folder = Folder(path)
        self.pending = Pending(cipher)
        self.queues: dict[str, SpoolQueue] = {}
        self._past: dict[str, SpoolQueue] = {}  # of sinks that are gone, until their rows are
        self._ledger, self._clock, self._now, self._cipher = ledger, clock, now, cipher
        self._disk: Disk | None = None
        self._known = False  # whether what was on disk is known by now
        self._renew_at = self._shrink_at = 0.0
        self._left = Left()
        self._late = 0  # ns: the spool's time before it was known
        self._others_forgotten = False
        self._statement = Statement(secrets.token_hex(8), 0, {}, {}, {}, 0, (1, 1), clock.moment())
        self._doubts = Doubts(ledger)

    def load(self) -> tuple[dict[int, int], dict[str, bytes], list[bytes]]:
        """Open what the last run left: its positions, values and journal."""
        loaded = load(self.folder, self._cipher)
        self._take_over(loaded)
        state, journal = self._recall(loaded)
        return dict(self._statement.positions), state, journal

    def make_queue(self, name: str, wire: str, settings: config.Queue) -> SpoolQueue:
        """The queue of a sink, with what is there of it."""
        queue = SpoolQueue(name, wire, settings, self._ledger, self._clock, self._cipher)
        self.queues[name] = queue
        if self._known:
            self._attach(queue, "sink_changed")
        return queue

    def forget_others(self) -> None:
        """What is there for other sinks is dropped."""
        self._others_forgotten = True
        for name in self._left.sinks:
            past = SpoolQueue(name, "", config.Queue(), self._ledger, self._clock, self._cipher)
            self._past[name] = past
            self._attach(past, "sink_removed")
            self._ledger.offer(name, past.left)  # what is dropped had been offered to the agent before
            self._ledger.close(name)

    def mark_told(self, sinks: Collection[str] | None) -> None:
        """What was lost until now of `sinks`, None for all, is told by what the next commit holds."""
        for name, queue in self.queues.items():
            if sinks is None or name in sinks:
                queue.mark_told()
        for past in self._past.values():  # nobody is there to be told
            past.mark_told()
        self._doubts.mark_told(sinks, {ALL_SINKS, *self.queues})

    def bequeath(self) -> None:
        """The end: what nobody was told of yet is for the next run to tell, and rows that were lost can go.

        But for what never was in a commit: it is read from the rings again, or said to be not observed.
        """
        for queue in self._all():
            queue.mark_told(stated=True)
        sinks = {ALL_SINKS, *self.queues}
        losses = (loss for loss in self._ledger.losses() if loss.sink in sinks and loss.reason != "shutdown")
        self._doubts.leave(loss for loss in losses if loss.sink != ALL_SINKS or loss.stage == "spool")

    def close(self) -> None:
        """Let go of files and directory; the queues are closed."""
        for queue in self.queues.values():
            queue.reader.close()
        if self._disk is not None:
            self._disk.close()
            self._disk = None
        self.folder.release()

    def commit(self, read: Mapping[int, int]) -> None:
        """All that is pending, in one transaction."""
        disk = self._usable()
        try:
            self._write(disk, read)
        except SQL_ERRORS as error:
            if not damaged(error, self.folder.path):
                raise
            self._write(self._renewed(disk, str(error)), read)

    def _usable(self) -> Disk:
        """The open database: opened late, or mended, where that is needed."""
        if not self._known:
            self._take_over_late()
        if self._disk is None:  # mended, and not opened since
            return self._reopened()
        if self._disk.gone:
            return self._renewed(self._disk, "it was taken away")
        if any(queue.damaged for queue in self.queues.values()):
            return self._renewed(self._disk, "rows are not where they should be")
        return self._disk

    def thin(self) -> bool:
        """The disk is full, maybe of the spool itself: take off what is delivered, before anything is added.

        Whether there was something: it may not be all, that needs room too.
        """
        if self._disk is not None:
            with contextlib.suppress(*SQL_ERRORS, OSError):
                return self._thin(self._disk)
        return False

    def _thin(self, disk: Disk) -> bool:
        parts = {queue.name: queue.prepare(thin=True) for queue in self._all()}
        gone = [span for part in parts.values() for span in part.gone.rows]
        if gone:
            disk.folder.free_reserve()
            holdings = {name: part.holding for name, part in parts.items()}
            last = self._statement
            statement = msgspec.structs.replace(
                last, commit=last.commit + 1, queues=last.queues | holdings, doubts=(), losses=self._doubts.owed
            )
            disk.write(Work(statement, [], gone))
            self._statement = statement
            for queue in self._all():
                queue.committed(parts[queue.name])
        disk.make_room()
        return bool(gone)

    def _write(self, disk: Disk, read: Mapping[int, int]) -> None:
        parts = {queue.name: queue.prepare() for queue in self._all()}
        gone = [span for part in parts.values() for span in part.gone.rows] + [(row, row) for row in self._left.strays]
        statement = self._next_statement(parts, read)
        if gone or any(part.rows for part in parts.values()) or self._differs(statement):
            stored = [queue.stored(row) for queue in self._all() for row in parts[queue.name].rows]
            disk.write(self.pending.work(statement, stored, gone))
            self._written(statement, parts)
        if (now := self._now()) >= self._shrink_at:
            self._shrink_at = now + _SHRINK
            disk.shrink()
            self.folder.keep_reserve()

    def _next_statement(self, parts: dict[str, Part], read: Mapping[int, int]) -> Statement:
        holdings = {name: part.holding for name, part in parts.items()}
        past = {name: one for name, one in holdings.items() if name in self.queues or one.tally != Tally()}
        # Old rings' positions stay for a while: who upgrades reads the last of a ring after the first of its successor.
        positions = dict(list({**self._statement.positions, **read}.items())[-64:])
        return Statement(
            self._statement.spool,
            self._statement.commit + 1,
            positions,
            self._left.holdings | past,
            self.pending.streams,
            self.pending.states,
            self.pending.entries,
            self._clock.moment(),
            losses=self._doubts.untold,
        )

    def _differs(self, statement: Statement) -> bool:
        """Whether there is anything to say beside payloads."""
        last = self._statement
        said = ((one.positions, one.doubts, one.losses) for one in (statement, last))
        return self.pending.any or next(said) != next(said)

    def _written(self, statement: Statement, parts: dict[str, Part]) -> None:
        self._statement = statement
        for queue in self._all():
            queue.committed(parts[queue.name])
        self.pending.written()
        self._left.strays = []
        self._doubts.written()
        self._past = {name: queue for name, queue in self._past.items() if name in statement.queues}

    def _all(self) -> list[SpoolQueue]:
        return [*self.queues.values(), *self._past.values()]

    def _renewed(self, disk: Disk, why: str) -> Disk:
        """A new database with all that can be read of this one, or is in memory."""
        if (now := self._now()) < self._renew_at:
            raise DamagedError(f"{why}, and it could not be mended")
        self._renew_at = now + _RENEWAL
        log.warning("spool %s is damaged (%s); what can be read of it is saved", self.folder.database, why)
        if not self.folder.taken:
            self.folder.take()
        with self._nobody_reads():
            spare = {row: one for queue in self.queues.values() for row, one in queue.spare().items()}
            rebuild(self.folder, disk.connection, self._cipher, self._statement, spare)
            disk.close()
            self._disk = None
        return self._reopened()

    def _reopened(self) -> Disk:
        """The database that was mended."""
        with self._nobody_reads():
            self._disk = disk = reopened(self.folder)
            self.pending.restate()
            self.pending.wants_checkpoint = True  # entries may be missing in what was saved
            for queue in self.queues.values():
                queue.adopt(lambda rows: count(disk.connection, rows))
        return disk

    @contextmanager
    def _nobody_reads(self) -> Iterator[None]:
        with contextlib.ExitStack() as paused:
            for queue in self.queues.values():
                paused.enter_context(queue.reader.paused())
            yield

    # What the last run left.

    def _take_over_late(self) -> None:
        """The disk could not be used at the start: what is on it goes before what is in memory.

        Its journal comes too late for this agent. That costs what it told of processes, but no record.
        """
        late = self._clock.now()
        loaded = load(self.folder, self._cipher)
        self._take_over(loaded)
        self._late = self._clock.now() - late
        self.pending.replace_all()
        for queue in self.queues.values():
            known = queue.left
            self._attach(queue, "sink_changed")
            self._ledger.offer(queue.name, queue.left - known)  # at the start there was nothing to offer
        if self._others_forgotten:
            self.forget_others()

    def _take_over(self, loaded: Loaded) -> None:
        """What is on disk, and what ought to be."""
        contents, statement = loaded.contents, loaded.contents.statement
        self._disk, self._known = loaded.disk, True
        self._left.find(loaded, self._cipher)
        newest = max((one.newest for wires in contents.rows.values() for one in wires.values()), default=0)
        self._clock.resume(statement.clock if statement else self._clock.moment(), newest)
        if statement is not None:
            self._statement = statement
            for sink, reason in statement.doubts:
                self._doubt(sink, reason)
            for loss in statement.losses:
                self._doubts.recall(loss)
        if not loaded.known or contents.faults:
            self._doubt(ALL_SINKS, loaded.lost)

    def _recall(self, loaded: Loaded) -> tuple[dict[str, bytes], list[bytes]]:
        """What the pipeline goes on with."""
        contents = loaded.contents
        state = contents.state | self._statement.streams
        values, journal, whole = self.pending.recall(state, contents.journal)
        if not whole and not contents.faults:
            self._doubt(ALL_SINKS, loaded.lost)
        if not whole or contents.faults or state != contents.state:
            self.pending.rewrite(journal)
        return values, journal

    def _attach(self, queue: SpoolQueue, changed: str) -> None:
        queue.attach(*self._left.take(queue.name), self._left.lost, changed, self._late)
        queue.reader.use(self.folder.database)

    def _doubt(self, sink: str, reason: str) -> None:
        self._doubts.add(sink, reason, self._statement.clock.wall_ns)
