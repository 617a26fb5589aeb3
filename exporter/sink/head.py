"""The payload at the head of a queue, on its way to the receiver: whole, or in the parts that it had to be split into.

Made by the `Outbox` for each head. What became of the parts is counted only when nothing of the head is left to be
sent: until then the queue keeps the whole, and a crash or the end sends all of it again.
"""

from collections import deque

from exporter.model import Payload, Ranges
from exporter.sink.queue import Queue
from exporter.sink.split import Wire, split
from exporter.telemetry import Ledger


class Head:
    """The parts of one payload that are still to be sent, in their order, and the fate of the others."""

    def __init__(self, payload: Payload, wire: Wire) -> None:
        self._parts, self._wire, self._stream = deque([payload]), wire, payload.stream
        self._sent = 0  # records
        self._lost: list[tuple[str, int, Ranges]] = []  # reason, records, and their numbers where they are known
        self._unanswered = 0  # attempts in a row with the first part

    @property
    def part(self) -> Payload | None:
        """What is to be sent next; None when nothing is left."""
        return self._parts[0] if self._parts else None

    def accept(self, rejected: int) -> int:
        """The receiver has the first part but for `rejected` records; returns how many those can be at most."""
        part = self._take()
        rejected = min(max(rejected, 0), part.records)  # a receiver can say anything
        self._sent += part.records - rejected
        if rejected:
            # Nobody knows which ones: so many of these.
            self._lost.append(("rejected_by_receiver", rejected, part.sequences))
        return rejected

    def lose(self, reason: str) -> None:
        """The first part will never arrive."""
        part = self._take()
        self._lost.append((reason, part.records, part.sequences))

    def doubt(self, resends: int) -> bool:
        """Nobody acknowledged the first part; whether that was so for the first attempt and all `resends`."""
        self._unanswered += 1
        return self._unanswered > resends

    def trust(self) -> None:
        """It was the receiver, or the way to it, that failed, and not the first part."""
        self._unanswered = 0

    def halve(self) -> bool:
        """Put the first part's halves in its place; False where it is a single record."""
        part = self._parts[0]
        if part.records < 2:
            return False
        halves = split(part, self._wire)
        self._take()
        self._parts.extendleft(reversed(halves))
        return True

    def settle(self, name: str, queue: Queue, ledger: Ledger) -> None:
        """Nothing is left: count what became of it for the sink `name`, and let the queue go on.

        A queue counts what is lost as a whole; of parts it knows nothing.
        """
        reasons = {reason for reason, _, _ in self._lost}
        if not self._sent and len(reasons) == 1:
            queue.settle(reasons.pop())
            return
        ledger.send(name, self._sent)
        for reason, records, sequences in self._lost:
            ledger.drop(name, "sink", reason, records, sequences=sequences, stream=self._stream)
        queue.settle(partly=bool(self._lost))

    def _take(self) -> Payload:
        self._unanswered = 0
        return self._parts.popleft()
