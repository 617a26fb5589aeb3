"""Where what has been read is kept until the receivers have it: in memory, or safe on disk.

The pipeline asks for each sink's queue and stream at start, and after each reading what the kernel may forget. In
memory that is everything at once. On disk it is what one transaction of the spool holds: the payloads, up to where they
were read, the numbers that come next and what is known of the processes.
"""

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from exporter import config
from exporter.errors import ConfigError
from exporter.model import Stream
from exporter.sink.queue import MemoryQueue, Queue
from exporter.sink.spool.cipher import read_key
from exporter.sink.spool.spool import Commit, Spool
from exporter.sink.transports import wire
from exporter.telemetry import Ledger, log

Positions = Mapping[int, int]
"""Up to where each ring was read, by the ring's id."""

RING_BYTES = 4 * 1024 * 1024  # of the smaller ring, by default
_IDLE_SECONDS = 1.0  # between two commits where nothing was read: what was delivered leaves the disk
_QUIET_SECONDS = 30.0  # between two where nothing was delivered either: the time the agent was last there
_STREAM = "stream."


def _new_stream(sink: str) -> Stream:
    return Stream(sink, secrets.token_hex(8))


class InMemory:
    """Nothing is written; what waits for a receiver is lost with the agent."""

    pending = False
    crowded = False
    failing = ""
    wants_checkpoint = False

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.positions: Positions = {}
        self.state: Mapping[str, bytes] = {}
        self.journal: Sequence[bytes] = ()

    def place(self, name: str, settings: config.Sink) -> tuple[Queue, Stream]:
        """The sink's queue and the stream of its records."""
        return MemoryQueue(name, settings.queue, self._ledger), _new_stream(name)

    def opened(self) -> None:
        """All sinks have their place."""

    def took(self, events: int, now: float) -> None:
        """So many were read at `now`."""

    def due(self, now: float, positions: Positions) -> bool:
        """There is nothing to commit to."""
        return False

    def tell(self, sinks: Collection[str]) -> None:
        """What was lost of `sinks` is about to be told."""

    def waits(self, positions: Positions) -> Positions:
        """What the kernel may forget without a commit: all of it."""
        return positions

    def commit(self, positions: Positions, state: Mapping[str, bytes], journal: tuple[bytes, bool]) -> Positions:
        """There is nothing to commit to."""
        return positions

    def renumber(self) -> None:
        """Its streams are always new."""

    def on_unsaved(self, then: Callable[[], None]) -> None:
        """What it sends is never saved, and its numbers are never given out again."""

    def close(self) -> None:
        """There is nothing to close."""


class OnDisk:
    """The spool, and when to commit to it."""

    def __init__(self, settings: config.Spool, ledger: Ledger, *, ring_bytes: int = RING_BYTES) -> None:
        """`ring_bytes` are of the smallest ring. Raises ConfigError for a key or a directory that cannot be used."""
        self._settings, self._ledger, self._ring_bytes = settings, ledger, ring_bytes
        self._safe: dict[int, int] = {}  # positions of the last commit
        self._spool = Spool.open(settings, ledger)
        self.positions: Positions = dict(self._spool.positions)
        self.state: Mapping[str, bytes] = dict(self._spool.state)
        self.journal: Sequence[bytes] = list(self._spool.journal)
        self._streams: dict[str, Stream] = {}
        self._settled = 0  # records that had left the queues at the last commit
        self._unsafe = 0  # events read since the last commit
        self._since = self._last = 0.0  # monotonic: when the first of them was read; the last commit

    def place(self, name: str, settings: config.Sink) -> tuple[Queue, Stream]:
        """The sink's queue and the stream of its records, as the last agent left them."""
        stored = self.state.get(_STREAM + name)
        stream = msgspec.msgpack.decode(stored, type=Stream) if stored else _new_stream(name)
        self._streams[name] = stream
        queue = self._spool.queue(name, wire(settings), settings.queue)
        self._ledger.offer(name, queue.left)  # by the agent before
        return queue, stream

    def opened(self) -> None:
        """All sinks have their place; what waits for others waits in vain."""
        self._spool.forget_others()

    def took(self, events: int, now: float) -> None:
        """So many were read at `now` (monotonic seconds)."""
        if events and not self._unsafe:
            self._since = now
        self._unsafe += events

    @property
    def pending(self) -> bool:
        """Whether something that was read waits for its commit."""
        return bool(self._unsafe)

    @property
    def crowded(self) -> bool:
        """Whether the disk fails for so long that nothing more should be read: the rings hold it."""
        return self._spool.backlogged

    @property
    def failing(self) -> str:
        """Why nothing can be made safe; empty when all is well."""
        return self._spool.failing

    @property
    def wants_checkpoint(self) -> bool:
        """Whether the next journal entry must hold all that is known."""
        return self._spool.wants_checkpoint

    def due(self, now: float, positions: Positions) -> bool:
        """Whether it is time for a commit: at the latest before what was read fills a ring."""
        if self._unsafe:
            waited = now - self._since >= self._settings.commit_milliseconds / 1000
            due = waited or self._unsafe >= self._settings.commit_events or self._fills(positions)
        else:
            settled = sum(self._ledger.sent.values()) + sum(self._ledger.dropped.values())
            due = now - self._last >= (_IDLE_SECONDS if settled != self._settled else _QUIET_SECONDS)
            self._settled = settled if due else self._settled
        self._last = now if due else self._last
        return due

    def _fills(self, positions: Positions) -> bool:
        """Whether what was read and is not safe takes half of a ring."""
        safe = self._safe
        return any(read - safe.setdefault(ring, read) > self._ring_bytes // 2 for ring, read in positions.items())

    def tell(self, sinks: Collection[str]) -> None:
        """What was lost of `sinks` is about to be told: what is lost later is told later."""
        self._spool.mark_told(sinks)

    def waits(self, positions: Positions) -> Positions:
        """What the kernel may forget without a commit: nothing."""
        return {}

    def commit(self, positions: Positions, state: Mapping[str, bytes], journal: tuple[bytes, bool]) -> Positions:
        """Make all that was queued since the last commit safe; what the kernel may forget."""
        streams = {_STREAM + name: msgspec.msgpack.encode(stream) for name, stream in self._streams.items()}
        self._unsafe = 0
        self._safe.update(positions)
        return self._spool.commit(Commit(positions, streams | dict(state), *journal))

    def on_unsaved(self, then: Callable[[], None]) -> None:
        """Do `then` before anything is sent that is not on disk."""
        self._spool.on_unsaved = then

    def renumber(self) -> None:
        """Begin new streams: numbers that the spool does not know of were sent while its disk failed."""
        for name, stream in self._streams.items():
            fresh = _new_stream(name)
            stream.id, stream.next, stream.chain = fresh.id, fresh.next, fresh.chain

    def close(self) -> None:
        """Take out what was delivered, and close the file."""
        self._spool.close()


Keeping = InMemory | OnDisk


@contextmanager
def _placed(where: str) -> Iterator[None]:
    """The spool knows its own settings: say whose they are."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(error.what, where=f"{where}: {error.where}", hint=error.hint) from error


def check_keeping(settings: config.Spool, *, where: str) -> None:
    """Raise what `open_keeping` would for key and path; makes no file."""
    path = Path(settings.path)
    if settings.mode == "disk" and path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is no directory", where=f"{where}: spool.path", hint="name one of the agent's own")
    if settings.mode == "disk":
        with _placed(where):
            read_key(settings.key_file)


def open_keeping(settings: config.Spool, ledger: Ledger, *, where: str, ring_bytes: int = RING_BYTES) -> Keeping:
    """What the settings ask for; memory is said aloud. `where` names the settings file in errors."""
    if settings.mode == "disk":
        with _placed(where):
            return OnDisk(settings, ledger, ring_bytes=ring_bytes)
    log.warning("spool.mode is memory: what waits for a receiver is lost when the agent ends; `disk` keeps it")
    return InMemory(ledger)
