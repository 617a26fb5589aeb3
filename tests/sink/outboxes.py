"""Outboxes with scripted transports and queues: what tests of the last stretch share."""

import threading
from collections import deque
from collections.abc import Callable, Iterable

from exporter import config
from exporter.model import Delivery, Loss, Payload
from exporter.sink.delivery import Clock, Outbox
from exporter.sink.queue import MemoryQueue, Queue
from exporter.telemetry import Ledger
from tests.waiting import wait_for

ACCEPTED = Delivery("accepted")
AGAIN = Delivery("retry", "come back later")
REFUSED = Delivery("refused", "no such tenant")
FAR_AWAY = Delivery("retry", "maintenance", delay=3000.0)
UNANSWERED = Delivery("unanswered", "no ack in time")
TOO_LARGE = Delivery("too_large", "HTTP 413")

Outcome = Delivery | Exception | Callable[[], Delivery]


class Scripted:
    """A transport that answers from a list, then accepts; `attempts` are the payloads it was given."""

    endpoint = "scripted"

    def __init__(self, outcomes: Iterable[Outcome] = (), *, gzip: bool = False) -> None:
        self.gzip = gzip
        self._outcomes = iter(outcomes)
        self.attempts: list[Payload] = []
        self.accepted: list[Payload] = []
        self.closed = threading.Event()

    def send(self, payload: Payload) -> Delivery:
        self.attempts.append(payload)
        outcome = next(self._outcomes, ACCEPTED)
        if isinstance(outcome, Exception):
            raise outcome
        delivery = outcome() if callable(outcome) else outcome
        if delivery.outcome == "accepted":
            self.accepted.append(payload)
        return delivery

    def close(self) -> None:
        assert not self.closed.is_set(), "closed twice"
        self.closed.set()


class Hanging:
    """An attempt that lasts until it is let go."""

    def __init__(self, then: Delivery) -> None:
        self.begun, self.let_go, self._then = threading.Event(), threading.Event(), then

    def __call__(self) -> Delivery:
        self.begun.set()
        assert self.let_go.wait(30)
        return self._then


def payload(records: int = 1, size: int = 10) -> Payload:
    return Payload("logs", bytes(size), records)


def queue(**changes: float) -> config.Queue:
    """Settings with waits that a test does not feel."""
    quick: dict[str, float] = {"retry_initial_seconds": 0.0001, "retry_max_seconds": 0.001}
    return config.Queue(**(quick | {"shutdown_seconds": 30.0} | changes))  # type: ignore[arg-type]


class Case:
    """An outbox with its ledger."""

    def __init__(
        self, transport: Scripted, held: Queue | None = None, clock: Clock | None = None, **changes: float
    ) -> None:
        self.transport, self.ledger = transport, Ledger()
        self.queue = held or MemoryQueue("loki", queue(**changes), self.ledger)
        self.outbox = Outbox(
            "loki", transport, self.queue, queue(**changes), self.ledger, wire="text", clock=clock or Clock()
        )

    def put(self, *payloads: Payload) -> None:
        for one in payloads:
            self.outbox.put(one)

    def run(self, *payloads: Payload) -> None:
        """The whole life with these."""
        self.outbox.start()
        self.put(*payloads)
        self.outbox.close()

    def deliver(self, *payloads: Payload) -> None:
        """Put these before the start and send them all; with a simulated clock nothing then depends on real time."""
        self.put(*payloads)
        self.outbox.start()
        wait_for(lambda: not self.queue.waiting, "all sent")
        self.outbox.close()

    @property
    def sent(self) -> int:
        return self.ledger.sent["loki"]

    def losses(self) -> dict[str, Loss]:
        return {loss.reason: loss for loss in self.ledger.losses()}

    @property
    def drops(self) -> dict[str, int]:
        assert all(d.sink == "loki" and d.stage == "sink" and not d.intentional for d in self.ledger.dropped)
        return {drop.reason: count for drop, count in self.ledger.dropped.items()}


class Spool:
    """Keeps what is not settled; what is put can be sent from its commit on."""

    def __init__(self) -> None:
        self.rows: deque[Payload] = deque()
        self.buffered: list[Payload] = []
        self.settled: list[str] = []

    @property
    def waiting(self) -> int:
        return sum(payload.records for payload in (*self.rows, *self.buffered))

    def put(self, payload: Payload) -> bool:
        self.buffered.append(payload)
        return False

    def commit(self) -> None:
        self.rows += self.buffered
        self.buffered.clear()

    def head(self) -> Payload | None:
        return self.rows[0] if self.rows else None

    def squeeze(self, share: float) -> None:
        """Memory is no matter here."""

    def settle(self, lost: str = "", *, partly: bool = False) -> None:
        self.rows.popleft()
        self.settled.append(lost)

    def close(self) -> int:
        return self.waiting


def lines(*names: str, first: int = 0) -> Payload:
    """A payload with one line for each name, numbered from `first`."""
    data = "".join(f"{name}\n" for name in names).encode()
    return Payload("logs", data, len(names), sequences=((first, first + len(names) - 1),) if first else ())
