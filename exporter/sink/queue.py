"""What waits for one receiver, oldest first: the contract between an `Outbox` and where its payloads are kept.

Two keep them: `MemoryQueue` here, and `spool.SpoolQueue` on disk. The reader's thread puts; the outbox's thread takes
the head, and settles it when the receiver has it or nobody ever will.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from exporter import config
from exporter.model import Payload
from exporter.sink.notices import Notices
from exporter.telemetry import Ledger


class Queue(Protocol):
    """Payloads in the order they came. Bounded: what no longer fits is dropped oldest first, and counted."""

    @property
    def waiting(self) -> int:
        """Records in the queue, the head included; any thread."""

    def put(self, payload: Payload) -> bool:
        """Take one in, never blocking on the network; whether there is something to send now. The reader's thread."""

    def head(self) -> Payload | None:
        """The oldest; the same one again until it is settled, even where the queue overflows meanwhile."""

    def settle(self, lost: str = "", *, partly: bool = False) -> None:
        """The head is delivered, or `lost` for this reason, which is counted; the next one is the head.

        `partly`: the caller has counted losses of its records, which are to be told before it is forgotten.
        """

    def squeeze(self, share: float) -> None:
        """Keep only this share of the settings' bytes in memory from now on."""

    def close(self) -> int:
        """Nothing is put any more: how many records stay for the next start; the rest is dropped and counted."""


class MemoryQueue:
    """Payloads in the agent's memory: gone with it.

    `settings.max_bytes` bound those that wait behind the head; the head, which is being sent, is not dropped. Ages
    are by the monotonic clock: a clock that jumps makes nothing old.

    Args:
        name: the sink's, for ledger and log.
        settings: how much may wait, and for how long.
        ledger: where drops are counted, stage `sink`.
        now: seconds on a clock that never jumps.
    """

    def __init__(
        self, name: str, settings: config.Queue, ledger: Ledger, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._settings, self._ledger, self._now = name, settings, ledger, now
        self._notices = Notices(lambda: f"sink {name}")
        self._lock = threading.Lock()  # guards what follows
        self._most = settings.max_bytes
        self._head: Payload | None = None
        self._behind: deque[tuple[float, Payload]] = deque()  # with the time they came
        self._bytes = 0  # of those behind the head
        self._closed = False
        self._untold: Counter[str] = Counter()  # dropped, still to be logged

    @property
    def waiting(self) -> int:
        """Records in the queue, the head included."""
        with self._lock:
            return sum(payload.records for payload in self._all())

    def put(self, payload: Payload) -> bool:
        """Take one in; what no longer fits is dropped, oldest first."""
        with self._lock:
            if self._closed:
                self._drop(payload, "shutdown")
            elif len(payload.data) > self._most:
                self._lose(payload, "too_large_for_queue")
            else:
                self._behind.append((self._now(), payload))
                self._bytes += len(payload.data)
                self._trim()
            return bool(self._behind or self._untold)

    def head(self) -> Payload | None:
        """The oldest; logs what was dropped since the last call, which `put` leaves to this thread: it can block."""
        with self._lock:
            self._trim()
            if self._head is None and self._behind:
                self._head = self._pop()
            head, untold, self._untold = self._head, self._untold, Counter()
        for reason, records in untold.items():
            self._notices.say(reason, "dropped %d records: %s", records, reason)
        return head

    def settle(self, lost: str = "", *, partly: bool = False) -> None:
        """The head is delivered or lost; what was lost of it is the caller's to count."""
        with self._lock:
            if self._head is not None and lost:
                self._drop(self._head, lost)
            self._head = None

    def squeeze(self, share: float) -> None:
        """Keep this share of `max_bytes`; what no longer fits is dropped."""
        with self._lock:
            self._most = int(self._settings.max_bytes * share)
            self._trim()

    def close(self) -> int:
        """Nothing stays: what is left is dropped as `shutdown`."""
        with self._lock:
            self._closed = True
            for payload in self._all():
                self._drop(payload, "shutdown")
            self._behind.clear()
            self._head, self._bytes = None, 0
        return 0

    def _all(self) -> list[Payload]:
        head = [] if self._head is None else [self._head]
        return head + [payload for _, payload in self._behind]

    def _pop(self) -> Payload:
        _, oldest = self._behind.popleft()
        self._bytes -= len(oldest.data)
        return oldest

    def _trim(self) -> None:
        too_old = self._now() - self._settings.max_age_seconds
        while self._behind and self._behind[0][0] < too_old:
            self._lose(self._pop(), "too_old")
        while self._bytes > self._most:
            self._lose(self._pop(), "queue_full")

    def _lose(self, payload: Payload, reason: str) -> None:
        self._drop(payload, reason)
        self._untold[reason] += payload.records

    def _drop(self, payload: Payload, reason: str) -> None:
        sequences, stream = payload.sequences, payload.stream
        self._ledger.drop(self._name, "sink", reason, payload.records, sequences=sequences, stream=stream)
