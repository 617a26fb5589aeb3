"""Receivers in trouble: asked seldom, resumed promptly, and in the end they have everything in order."""

import random
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest

from exporter import config
from exporter.model import Delivery, Payload, Ranges
from exporter.sink.delivery import Outbox
from exporter.sink.otlp_http import OtlpHttp
from exporter.sink.queue import MemoryQueue
from exporter.telemetry import Ledger
from tests.peers.proxy import Mode, Proxy
from tests.sink.clock import Simulated
from tests.sink.outboxes import AGAIN, UNANSWERED, Case, Hanging, Scripted, payload, queue
from tests.sink.receivers import Answer, HttpReceiver
from tests.waiting import wait_for


class Outage(Scripted):
    """Fails until a time on the clock, each attempt lasting `takes` seconds; then accepts."""

    def __init__(self, clock: Simulated, until: float, answer: Delivery, takes: float = 0.0) -> None:
        super().__init__()
        self._clock, self._until, self._answer, self._takes = clock, until, answer, takes
        self.times: list[float] = []

    def send(self, payload: Payload) -> Delivery:
        self.times.append(self._clock.now())
        if self._clock.now() >= self._until:
            return super().send(payload)
        self._clock.pass_by(self._takes)
        return self._answer


@pytest.mark.parametrize(
    ("answer", "takes", "gap"),
    [
        (Delivery("retry", "connection refused"), 0.0, 15.0),
        (Delivery("retry", "no answer: timed out"), 10.0, 25.0),
        (Delivery("retry", "HTTP 429", delay=20.0), 0.0, 20.0),
        (Delivery("retry", "HTTP 429", delay=0.0), 0.0, 15.0),
        (Delivery("retry", "HTTP 503"), 0.0, 15.0),
        (UNANSWERED, 10.0, 25.0),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_a_receiver_that_is_down_for_an_hour_is_asked_seldom_and_resumed_promptly(
    answer: Delivery, takes: float, gap: float, seed: int
) -> None:
    random.seed(seed)
    clock, hour = Simulated(), 3600.0
    outage = Outage(clock, hour, answer, takes)
    case = Case(outage, clock=clock, retry_initial_seconds=0.5, retry_max_seconds=30.0, max_resends=1000)
    case.deliver(*(payload() for _ in range(100)))
    during = [time for time in outage.times if time < hour]
    assert hour / (30.0 + takes) <= len(during) <= 5 + hour / gap
    assert all(later - earlier > gap - 0.001 for earlier, later in pairwise(during[5:]))
    assert outage.times[len(during)] <= hour + 30.0 + takes
    assert (case.sent, case.drops) == (100, {})
    assert len(outage.times) == len(during) + 100, "nothing but what is needed once it is back"


def test_a_dead_sink_does_not_touch_another() -> None:
    hanging = Hanging(AGAIN)
    dead, live = Case(Scripted([hanging])), Case(Scripted())
    for case in (dead, live):
        case.outbox.start()
        case.put(payload())
    assert hanging.begun.wait(30)
    live.put(*(payload() for _ in range(100)))
    live.outbox.close()
    assert (live.sent, dead.sent) == (101, 0)
    hanging.let_go.set()
    dead.outbox.close()


def otlp(port: int) -> OtlpHttp:
    settings = config.OtlpHttp(endpoint=f"http://127.0.0.1:{port}", timeout_seconds=0.3, compression="none")
    return OtlpHttp(settings, environ={}, version="test")


def numbered(count: int, size: int) -> Iterator[Payload]:
    for number in range(1, count + 1):
        yield Payload("logs", b"%04d" % number * (size // 4), 1, sequences=((number, number),))


def in_order(receiver: HttpReceiver) -> list[int]:
    """The payloads that arrived, without those that came again."""
    return list(dict.fromkeys(int(request.body[:4]) for request in receiver.requests))


def outbox(transport: OtlpHttp, ledger: Ledger) -> Outbox:
    short = queue(retry_initial_seconds=0.01, retry_max_seconds=0.05)
    return Outbox("main", transport, MemoryQueue("main", short, ledger), short, ledger, wire="otlp")


@pytest.mark.parametrize("mode", ["refuse", "reset", "hole"])
def test_all_arrives_in_order_over_a_network_that(mode: Mode) -> None:
    ledger = Ledger()
    with HttpReceiver() as receiver, Proxy(receiver.port) as proxy:
        sender = outbox(otlp(proxy.port), ledger)
        sender.start()
        payloads = numbered(20, 20_000)
        for _ in range(5):
            sender.put(next(payloads))
        wait_for(lambda: ledger.sent["main"] == 5, "some arrive")
        assert sender.working
        proxy.mode = mode
        proxy.cut()
        sender.put(next(payloads))
        wait_for(lambda: ledger.noted["retry.main"] >= 3, "it fails")
        assert not sender.working
        proxy.mode = "pass"
        proxy.cut()
        for one in payloads:
            sender.put(one)
        sender.close()
        assert in_order(receiver) == list(range(1, 21))
    assert (ledger.sent["main"], dict(ledger.dropped)) == (20, {})


def test_all_arrives_in_order_at_a_receiver_in_all_sorts_of_trouble() -> None:
    never, slowly = threading.Event(), threading.Event()
    busy = Answer(429, headers=(("retry-after", "0"),))
    torn = Answer(written=b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
    troubles = [
        Answer(),
        busy,
        Answer(503),
        Answer(hold=never),
        torn,
        Answer(drip=slowly),
        Answer(written=b""),
        Answer(),
    ]
    ledger = Ledger()
    with HttpReceiver(*troubles, Answer(413), Answer(400)) as receiver:
        sender = outbox(otlp(receiver.port), ledger)
        sender.start()
        for one in numbered(10, 400):
            sender.put(one)
        sender.close()
        assert in_order(receiver) == list(range(1, 11))
        never.set()
        slowly.set()
    reasons = {drop.reason: count for drop, count in ledger.dropped.items()}
    assert (ledger.sent["main"], reasons, ledger.noted["retry.main"]) == (8, {"too_large": 1, "refused": 1}, 6)
    lost: dict[str, Ranges] = {loss.reason: loss.sequences for loss in ledger.losses()}
    assert lost == {"too_large": ((3, 3),), "refused": ((4, 4),)}
