"""What has been read from the kernel and not been delivered yet, on disk: exactly once from the kernel to here.

One transaction holds the payloads of all sinks, up to where each ring was read, and what the agent knows and could
not read again: small values and a journal. The pipeline puts payloads into the queues, commits, and then lets the
kernel forget what `commit` says is safe. SQLite in WAL mode with synchronous=FULL: a commit is on the disk when it
returns.

A disk that is full, read-only, failing or gone stops nobody: what could not be committed stays in memory, is sent from
there, and is tried again once a second. A damaged database is set aside; what can be read of it goes on in a new one.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping

import msgspec

from exporter import config
from exporter.errors import ConfigError
from exporter.sink.spool.cipher import Cipher, read_key
from exporter.sink.spool.clock import SpoolClock
from exporter.sink.spool.database import SQL_ERRORS
from exporter.sink.spool.positions import Positions
from exporter.sink.spool.queue import SpoolQueue
from exporter.sink.spool.writer import Writer
from exporter.telemetry import Ledger

__all__ = ["Commit", "Spool", "SpoolQueue"]

log = logging.getLogger("podwitness.sink")

_RETRY = 1.0  # seconds between two attempts while the disk fails
_TROUBLES = (*SQL_ERRORS, OSError)


class Commit(msgspec.Struct, frozen=True):
    """What goes with the payloads that were put since the last one.

    `positions`: ring id to the position it was read up to. `state`: small values, each replaces the older one of its
    name. `journal`: an entry to append, empty for none; with `checkpoint` it replaces all earlier ones.
    """

    positions: Mapping[int, int]
    state: Mapping[str, bytes]
    journal: bytes = b""
    checkpoint: bool = False


class Spool:
    """The spool; all calls come from the reader's thread, but for those of its queues."""

    def __init__(
        self, settings: config.Spool, ledger: Ledger, clock: SpoolClock, now: Callable[[], float], key: bytes | None
    ) -> None:
        self.positions: dict[int, int] = {}
        """Up to where the last run had read each ring."""
        self.state: dict[str, bytes] = {}
        """The values it left."""
        self.journal: list[bytes] = []
        """The entries it left."""
        self.failing = ""
        """Why nothing can be committed now; empty when all is well."""
        self.on_unsaved: Callable[[], None] = lambda: None
        """Called right before payloads go to the sinks that no commit holds: once from one good commit to the next."""

        self._now = now
        self._retry_at = 0.0
        self._closed = False
        self._exposed = False  # whether `on_unsaved` was called since the last good commit
        self._positions = Positions()
        self._writer = Writer(settings.path, ledger, clock, now, Cipher(key))

    @classmethod
    def open(
        cls,
        settings: config.Spool,
        ledger: Ledger,
        *,
        clock: SpoolClock | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> "Spool":
        """The spool in the directory `settings.path`. Where the disk fails, it begins in memory.

        Raises:
            ConfigError: another agent has the directory, or the key cannot be used.
        """
        spool = cls(settings, ledger, clock or SpoolClock(), now, read_key(settings.key_file))
        try:
            spool.positions, spool.state, spool.journal = spool._writer.load()
        except _TROUBLES as error:
            spool._fail(error)
        return spool

    @property
    def backlogged(self) -> bool:
        """Whether so much waits for a disk that fails, for each sink, that nothing more should be read."""
        queues = self._writer.queues.values()
        return bool(queues) and all(queue.crowded for queue in queues)

    @property
    def wants_checkpoint(self) -> bool:
        """Whether the journal had to be given up while the disk failed: entries are left out until a checkpoint."""
        return self._writer.pending.wants_checkpoint

    def queue(self, name: str, wire: str, settings: config.Queue) -> SpoolQueue:
        """The queue of sink `name`; what the last run left in another format is dropped as `sink_changed`."""
        return self._writer.make_queue(name, wire, settings)

    def forget_others(self) -> None:
        """All queues are made: what is there for other sinks is dropped as `sink_removed`."""
        self._writer.forget_others()

    def mark_told(self, sinks: Collection[str] | None = None) -> None:
        """The losses of `sinks` until now are about to be told: the next commit holds the records that do.

        None: those of all. What concerns all sinks (`ALL_SINKS`) is told where that is among them.
        """
        self._writer.mark_told(sinks)

    def commit(self, commit: Commit) -> Mapping[int, int]:
        """Make safe what was put; up to where each ring need not be read again.

        Where the disk fails that is where all sinks have settled what came from before it.
        """
        self._positions.add(commit.positions)
        self._writer.pending.add(commit.state, commit.journal, checkpoint=commit.checkpoint)
        if self._now() >= self._retry_at:
            self._attempt()
        if self.failing:
            places = {name: queue.place for name, queue in self._writer.queues.items()}
            self._positions.settled(*({name: place[n] for name, place in places.items()} for n in (0, 1)))
            self._expose(any(put > done for put, done in places.values()))
        for queue in self._writer.queues.values():
            queue.publish()
            queue.trim()
        if self.failing and not self.backlogged:
            for queue in self._writer.queues.values():
                queue.relieve()
        return dict(self._positions.safe)

    def close(self) -> None:
        """Take what was delivered or lost off the disk, and let go of it. The queues are closed before.

        What is lost since the last commit nobody was told of: the next run tells it.

        Where the disk fails, positions stay what they were: what the queues dropped can be read again, if the rings
        stay.
        """
        if self._closed:
            return
        self._closed = True
        self._writer.bequeath()
        if not self.failing:
            self._attempt()
        else:
            while self._writer.thin():
                pass
        self._writer.close()

    # Trouble and its end.

    def _expose(self, unsaved: bool) -> None:
        """What is published next may be delivered, and be unknown to whoever comes after a kill."""
        if unsaved and not self._exposed:
            self._exposed = True
            self.on_unsaved()

    def _attempt(self) -> None:
        try:
            self._writer.commit(self._positions.read)
        except (*_TROUBLES, ConfigError) as error:
            self._fail(error)
            return
        if self.failing:
            log.warning("spool %s can be written again", self._writer.folder.database)
            self.failing = ""
        self._retry_at = 0.0
        self._exposed = False
        self._positions.committed()

    def _fail(self, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if not self.failing:
            log.warning("spool %s fails, what comes is kept in memory: %s", self._writer.folder.database, reason)
        self.failing = reason or type(error).__name__
        self._retry_at = self._now() + _RETRY
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            self._writer.thin()
