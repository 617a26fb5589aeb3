"""The last stretch of the way: a queue, a thread and a transport for each sink.

The agent puts encoded payloads into an `Outbox` and never waits. The outbox's thread gives them to its
`Transport` oldest first, one attempt at a time, and does with each answer what `Delivery` says: count it as
sent, send the same again later, or drop it. What does not fit, what is refused and what is still here at the
end is dropped and counted, so that in the ledger offered = sent + dropped once the outbox is closed.

Memory: `Queue.max_bytes` of waiting payloads, and the one that is being sent.
"""

import logging
import random
import threading
import time
from collections import Counter, deque
from typing import Protocol

from exporter import config
from exporter.model import Delivery, Payload
from exporter.telemetry import Ledger

log = logging.getLogger("podwitness.sink")

LONGEST_WAIT = 3600.0
"""Seconds: a receiver's Retry-After is not believed beyond this."""


class Transport(Protocol):
    """One way to one receiver. All calls come from one thread."""

    @property
    def endpoint(self) -> str:
        """Where it sends to, for the log; without secrets."""

    def send(self, payload: Payload) -> Delivery:
        """Make one attempt; may block up to a timeout of its own, never raises for network or receiver."""

    def close(self) -> None:
        """Let go of connections and files."""


class Outbox:
    """The queue of one sink and the thread that empties it.

    Args:
        name: the sink's name in the settings and in the ledger.
        transport: the way to the receiver; the outbox closes it.
        settings: size of the queue, waits between attempts, patience at the end.
        ledger: where sent and dropped are counted.
    """

    def __init__(self, name: str, transport: Transport, settings: config.Queue, ledger: Ledger) -> None:
        self._name, self._transport, self._settings, self._ledger = name, transport, settings, ledger
        self._changed = threading.Condition()  # guards everything up to the blank line
        self._waiting: deque[Payload] = deque()
        self._bytes = 0  # of those waiting
        self._in_flight: Payload | None = None
        self._not_before = 0.0  # monotonic: when the next attempt may be made
        self._deadline: float | None = None  # monotonic: when to give up; set by close
        self._attempts = 0  # failed ones in a row
        self._lost: Counter[str] = Counter()  # dropped by `put`, still to be logged
        self._closed = False  # nobody takes anything any more

        self._failing = False
        self._warnings = _Warnings(f"sink {name} ({transport.endpoint})")
        self._thread = threading.Thread(target=self._run, name=f"sink-{name}", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def put(self, payload: Payload) -> None:
        """Queue `payload`; never blocks. What no longer fits is dropped, oldest first."""
        with self._changed:
            if self._deadline is not None:
                self._drop(payload, "shutdown")
            elif self._closed:
                self._drop(payload, "closed")
            elif len(payload.data) > self._settings.max_bytes:
                self._lose(payload, "too_large_for_queue")
            else:
                self._waiting.append(payload)
                self._bytes += len(payload.data)
                self._trim()
            self._changed.notify()

    def close(self) -> None:
        """Send what is queued for at most `shutdown_seconds`, drop and count the rest, close the transport.

        An attempt that outlasts the deadline is left alone: its payload counts as dropped, although the
        receiver may have it, and the thread closes the transport when the attempt returns.
        """
        with self._changed:
            if self._deadline is not None:
                return
            self._deadline = time.monotonic() + self._settings.shutdown_seconds
            self._not_before, self._attempts = 0.0, 0
            self._changed.notify()
        if self._thread.ident is None:
            self._transport.close()
        else:
            self._thread.join(self._settings.shutdown_seconds)
        self._abandon()

    def _abandon(self) -> None:
        """Drop all that is still here; what is in flight is not ours any more."""
        with self._changed:
            left = [*([self._in_flight] if self._in_flight else ()), *self._waiting]
            self._in_flight, self._bytes = None, 0
            self._waiting.clear()
            for payload in left:
                self._drop(payload, "shutdown")
        if left:
            records = sum(payload.records for payload in left)
            log.warning("sink %s (%s): gave up %d records at shutdown", self._name, self._transport.endpoint, records)

    def _run(self) -> None:
        try:
            while (payload := self._take()) is not None:
                self._settle(payload, self._attempt(payload))
        finally:
            self._transport.close()

    def _take(self) -> Payload | None:
        """The next payload to send, once there is one and its time has come; None at the end."""
        with self._changed:
            while not self._ended():
                wait = self._not_before - time.monotonic()
                if self._waiting and wait <= 0:
                    self._in_flight = self._waiting.popleft()
                    self._bytes -= len(self._in_flight.data)
                    return self._in_flight
                self._changed.wait(wait if self._waiting else None)
            return None

    def _ended(self) -> bool:
        """Whether nothing is left to do, or nothing that can be done before the deadline."""
        if self._deadline is None:
            return False
        return not self._waiting or max(self._not_before, time.monotonic()) >= self._deadline

    def _attempt(self, payload: Payload) -> Delivery | None:
        """The receiver's answer; None where the transport broke its promise not to raise."""
        try:
            return self._transport.send(payload)
        except Exception:
            # A bug of ours; it must cost this payload and not all that come after it.
            self._warnings.say("internal error", "dropped %d records", payload.records, traceback=True)
            return None

    def _settle(self, payload: Payload, delivery: Delivery | None) -> None:
        """Do what the answer says, unless `close` has already given this payload up."""
        with self._changed:
            if self._in_flight is payload:
                self._in_flight = None
                self._count(payload, delivery)
            lost, self._lost = self._lost, Counter()
        for reason, records in lost.items():
            self._warnings.say(reason, "dropped %d records: %s", records, reason)
        if delivery is not None:
            self._report(delivery)

    def _count(self, payload: Payload, delivery: Delivery | None) -> None:
        if delivery is None:
            self._drop(payload, "internal_error")
        elif delivery.outcome == "retry":
            self._put_back(payload, delivery.delay)
            return
        elif delivery.outcome == "closed":
            self._desert(payload)
        elif delivery.outcome == "refused":
            self._drop(payload, "refused")
        else:
            rejected = min(max(delivery.rejected, 0), payload.records)  # a receiver can say anything
            self._ledger.send(self._name, payload.records - rejected)
            self._ledger.drop(self._name, "sink", "rejected_by_receiver", rejected)
        self._attempts = 0

    def _desert(self, payload: Payload) -> None:
        """Drop this and all that waits or comes; where no sink is left, `run` ends."""
        self._closed = True
        for one in (payload, *self._waiting):
            self._drop(one, "closed")
        self._waiting.clear()
        self._bytes = 0
        self._ledger.close(self._name)

    def _put_back(self, payload: Payload, delay: float | None) -> None:
        """To the head of the queue; it is the oldest, so it goes first if others took its place meanwhile."""
        self._ledger.note(f"retry.{self._name}")
        self._waiting.appendleft(payload)
        self._bytes += len(payload.data)
        self._trim()
        # A receiver that says "at once" (or a date in the past) each time would be asked without a pause.
        wait = max(self._backoff(), min(delay or 0.0, LONGEST_WAIT))
        self._not_before = time.monotonic() + wait
        self._attempts += 1

    def _backoff(self) -> float:
        """Exponential with full jitter: agents on many nodes must not come back in step."""
        # 2**64 initial waits are beyond any maximum; an unbounded power would overflow after days.
        ceiling = self._settings.retry_initial_seconds * 2.0 ** min(self._attempts, 64)
        return random.uniform(0, min(ceiling, self._settings.retry_max_seconds))  # noqa: S311  # no secret

    def _trim(self) -> None:
        while self._bytes > self._settings.max_bytes:
            oldest = self._waiting.popleft()
            self._bytes -= len(oldest.data)
            self._lose(oldest, "queue_full")

    def _lose(self, payload: Payload, reason: str) -> None:
        """Drop, and leave the log line to the thread: writing one can block."""
        self._drop(payload, reason)
        self._lost[reason] += payload.records

    def _drop(self, payload: Payload, reason: str) -> None:
        self._ledger.drop(self._name, "sink", reason, payload.records)

    def _report(self, delivery: Delivery) -> None:
        """Log the answer: each change between failing and not, and losses now and then."""
        if delivery.outcome == "retry":
            if not self._failing:
                log.warning(
                    "sink %s (%s) fails, will try again: %s",
                    self._name,
                    self._transport.endpoint,
                    delivery.reason,
                )
            self._failing = True
            return
        if self._failing:
            log.warning("sink %s (%s) answers again", self._name, self._transport.endpoint)
            self._failing = False
        if delivery.outcome == "closed":
            log.warning("sink %s: %s; nothing more goes there", self._name, delivery.reason)
        elif delivery.outcome == "refused":
            self._warnings.say("refused", "refused, dropped: %s", delivery.reason)
        elif delivery.rejected > 0:
            self._warnings.say("rejected", "rejected %d records: %s", delivery.rejected, delivery.reason)
        elif delivery.reason:
            self._warnings.say("accepted", "accepted with a warning: %s", delivery.reason)


class _Warnings:
    """Log lines about single payloads: one a minute of each sort, saying how many were left out."""

    INTERVAL = 60.0

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._next: dict[str, float] = {}
        self._left_out: Counter[str] = Counter()

    def say(self, sort: str, message: str, *args: object, traceback: bool = False) -> None:
        now = time.monotonic()
        if now < self._next.get(sort, 0.0):
            self._left_out[sort] += 1
            return
        self._next[sort] = now + self.INTERVAL
        more = self._left_out.pop(sort, 0)
        text = f"%s: {message}" + (" (and %d more like it)" if more else "")
        log.warning(text, self._subject, *args, *((more,) if more else ()), exc_info=traceback)
