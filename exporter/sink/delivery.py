"""The last stretch of the way: a thread and a transport for each sink, between its queue and its receiver.

The agent puts encoded payloads into an `Outbox` and never waits. The outbox's thread takes the queue's head, makes
one attempt at a time through a `Failover`, and does what the answer says (`Answers`): count it as sent, send the same
again later, or in halves, or drop it. How long it waits the Failover decides; by the monotonic clock alone. What is
refused and what a queue in memory still holds at the end is dropped and counted; what a spool holds stays there: in the
ledger offered = sent + dropped + kept once the outbox is closed.

Memory: the queue's, and the halves of one payload. Outboxes share nothing but the ledger and, with a spool, the disk.
"""

import logging
import threading
import time

import msgspec
from isal import igzip

from exporter import config
from exporter.model import Delivery, Payload
from exporter.sink.answers import Answers
from exporter.sink.failover import FAILURES, Failover, bounded
from exporter.sink.head import Head
from exporter.sink.queue import Queue
from exporter.sink.split import Wire
from exporter.sink.transport import Transport
from exporter.telemetry import Ledger

log = logging.getLogger("podwitness.sink")

GZIP_LEVEL = 1


class Clock:
    """Monotonic seconds, and waiting for them; tests have one that needs no time."""

    def now(self) -> float:
        """Seconds since some time in the past."""
        return time.monotonic()

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Until notified, or for so long."""
        condition.wait(seconds)


class Outbox:
    """The thread that empties the queue of one sink.

    Args:
        name: the sink's name in the settings and in the ledger.
        transport: the way to the receiver; the outbox closes it. Several receivers come as a `Failover`.
        queue: what waits; the outbox closes it.
        settings: resends, waits, patience at the end.
        ledger: where sent, dropped and kept are counted.
        wire: how payloads are written, to split them.
    """

    def __init__(
        self,
        name: str,
        transport: Transport,
        queue: Queue,
        settings: config.Queue,
        ledger: Ledger,
        *,
        wire: Wire,
        clock: Clock | None = None,
    ) -> None:
        self._name, self._queue, self._settings, self._ledger = name, queue, settings, ledger
        self._wire, self._clock = wire, clock or Clock()
        if not isinstance(transport, Failover):
            transport = Failover((transport,), settings, now=self._clock.now)
        self._transport = transport
        self._changed = threading.Condition()  # guards everything up to the blank line
        self._stirred = False  # something changed since the thread looked
        self._deadline: float | None = None  # monotonic: when to give up; set by close
        self._deserted = False  # nobody takes anything any more

        self._settling = threading.Lock()  # held while the queue is settled or closed
        self._over = False  # the queue is closed: an answer that comes now comes too late

        # The thread's own.
        self._head: Head | None = None
        self._not_before = 0.0  # monotonic: when the next attempt may be made
        self._hurried = False  # the end has been noticed
        self._answers = Answers(name, self._transport, settings, ledger)
        self._thread = threading.Thread(target=self._run, name=f"sink-{name}", daemon=True)

    @property
    def working(self) -> bool:
        """Whether the receiver accepted what it was sent last; any thread."""
        return self._transport.working

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def put(self, payload: Payload) -> None:
        """Queue `payload`, compressed where the receiver wants that; never blocks on the network."""
        with self._changed:
            gone = "closed" if self._deserted else "shutdown" if self._deadline is not None else ""
        if gone:
            sequences, stream = payload.sequences, payload.stream
            self._ledger.drop(self._name, "sink", gone, payload.records, sequences=sequences, stream=stream)
        elif self._queue.put(compressed(payload) if self._transport.gzip else payload):
            self.wake()

    def wake(self) -> None:
        """The queue may have something to send: a put or a commit."""
        with self._changed:
            self._stirred = True
            self._changed.notify()

    def squeeze(self, share: float) -> None:
        """Keep only this share of what may wait in memory."""
        self._queue.squeeze(share)

    def close(self) -> None:
        """Send what is queued for at most `shutdown_seconds`; close queue and transport.

        An attempt that outlasts the deadline is left alone: its payload counts as dropped or kept, although the
        receiver may have it, and the thread closes the transport when the attempt returns.
        """
        with self._changed:
            if self._deadline is not None:
                return
            self._deadline = self._clock.now() + self._settings.shutdown_seconds
        self.wake()
        if self._thread.ident is None:
            self._transport.close()
        else:
            self._thread.join(self._settings.shutdown_seconds)
        self._finish()

    def _finish(self) -> None:
        """What is still here is kept by the queue or dropped; what is in flight is not ours any more."""
        with self._settling:
            self._over = True
            left = self._queue.waiting
            kept = self._queue.close()
        self._ledger.keep(self._name, kept)
        if kept:
            log.info("%s: %d records stay in the spool for the next start", self._subject, kept)
        if left > kept:
            log.warning("%s: gave up %d records at shutdown", self._subject, left - kept)

    @property
    def _subject(self) -> str:
        return f"sink {self._name} ({self._transport.endpoint})"

    # What follows is called by the thread alone.

    def _run(self) -> None:
        try:
            while (part := self._next()) is not None:
                delivery = self._attempt(part)
                with self._settling:
                    if self._over or self._head is None:
                        return
                    self._judge(self._head, delivery)
        finally:
            self._transport.close()

    def _next(self) -> Payload | None:
        """What to send, once there is something and its time has come; None at the end."""
        while True:
            with self._changed:
                self._stirred = False
                ending = self._deadline is not None
            if ending and not self._hurried:
                self._hurried, self._not_before = True, 0.0
                self._transport.hurry()
            payload = self._queue.head()  # also while the head is known: the queue logs what it dropped
            if self._head is None and payload is not None:
                self._head = Head(payload, self._wire)
            with self._changed:
                if self._ended():
                    return None
                wait = self._not_before - self._clock.now()
                if self._head is not None and wait <= 0:
                    return self._head.part
                if not self._stirred:
                    self._clock.wait(self._changed, None if self._head is None else wait)

    def _ended(self) -> bool:
        """Whether nothing is left to do, or nothing that can be done before the deadline."""
        if self._deadline is None or not self._hurried:
            return False
        idle = self._head is None and not self._stirred
        return idle or max(self._not_before, self._clock.now()) >= self._deadline

    def _attempt(self, part: Payload) -> Delivery | None:
        """The receiver's answer; None where the transport broke its promise not to raise."""
        if self._deserted:
            return Delivery("closed")
        try:
            return self._transport.send(part)
        except Exception:
            # A bug of ours; it must cost this payload and not all that come after it.
            self._answers.raised(part)
            return None

    def _judge(self, head: Head, delivery: Delivery | None) -> None:
        """Do what the answer says, and let the queue go on where nothing of its head is left."""
        failed = delivery is not None and delivery.outcome in FAILURES
        self._not_before = self._clock.now() + bounded(delivery.delay) if delivery is not None and failed else 0.0
        self._answers.judge(head, delivery)
        if head.part is None:
            head.settle(self._name, self._queue, self._ledger)
            self._head = None
        if delivery is not None and delivery.outcome == "closed":
            self._desert()

    def _desert(self) -> None:
        """Drop all that waits or comes; where no sink is left, `run` ends."""
        with self._changed:
            self._deserted = True
        while self._queue.head() is not None:
            self._queue.settle("closed")
        self._ledger.close(self._name)


def compressed(payload: Payload) -> Payload:
    """The same in gzip."""
    if payload.gzip:
        return payload
    return msgspec.structs.replace(payload, data=igzip.compress(payload.data, GZIP_LEVEL), gzip=True)
