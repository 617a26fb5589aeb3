"""Which of a sink's receivers gets the next payload, and when: order of preference, waits, circuit breakers.

An `Outbox` sends through a `Failover`, also where there is one receiver only. Every wait of the sink is decided here,
so that none comes on top of another: a receiver that failed rests for an exponential backoff with full jitter, after
`breaker_failures` in a row for half of `retry_max_seconds` to all of it (its breaker is open), then it is asked with
one request (half open), which closes the breaker or opens it again. A receiver's own Retry-After makes its rest longer.
While one rests the next in order is used; when its time has come the preferred one is asked first again.
"""

import random
import time
from collections.abc import Callable, Sequence

from exporter import config
from exporter.model import Delivery, Payload
from exporter.sink.notices import Notices
from exporter.sink.transport import Transport

LONGEST_WAIT = 3600.0
"""Seconds: a receiver's Retry-After is not believed beyond this."""

FAILURES = frozenset({"retry", "unanswered"})
"""Outcomes that are no answer: the receiver is in trouble, or the way to it."""


class Failover:
    """Several transports of one sink as one; all calls come from one thread, `working` and `endpoint` are for any.

    Args:
        transports: at least one, the preferred first; closed with this.
        settings: waits, and failures until a breaker opens.
        now: seconds on a clock that never jumps.
    """

    def __init__(
        self, transports: Sequence[Transport], settings: config.Queue, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = now
        self._ways = [_Way(transport, settings) for transport in transports]
        self._used = self._ways[0]
        self._notices = Notices(lambda: self.endpoint)
        self.working = False
        """Whether the last payload was accepted; for readiness."""

    @property
    def endpoint(self) -> str:
        """The one in use."""
        return self._used.transport.endpoint

    @property
    def gzip(self) -> bool:
        """Whether payloads should come compressed: the receivers of one sink have the same settings."""
        return self._ways[0].transport.gzip

    def send(self, payload: Payload) -> Delivery:
        """One attempt with each receiver that does not rest, until one answers.

        `retry` and `unanswered` come back with the time to the next attempt that is possible.
        """
        try:
            delivery = self._deliver(payload)
        except Exception:  # the transport broke its promise not to raise
            self.working = False
            raise
        if delivery.outcome != "too_large":  # that says nothing yet: its halves will
            self.working = delivery.outcome == "accepted"
        return delivery

    def _deliver(self, payload: Payload) -> Delivery:
        failed = Delivery("retry", "every endpoint rests")
        for way in self._ways:
            if way.not_before > self._now():
                continue
            delivery = way.transport.send(payload)
            way.learn(delivery, self._now())
            if delivery.outcome not in FAILURES:
                self._use(way, failed)
                return delivery
            failed = delivery
            if failed.outcome == "unanswered":
                break  # it may be what no receiver can take: not handed to all of them in one go
        delay = max(0.0, min(way.not_before for way in self._ways) - self._now())
        return Delivery(failed.outcome, failed.reason, delay=delay)

    def hurry(self) -> None:
        """The end is near: forget what failed, so that each receiver is asked once more without a wait."""
        for way in self._ways:
            way.failures, way.not_before = 0, 0.0

    def close(self) -> None:
        """Close all transports."""
        for way in self._ways:
            way.transport.close()

    def _use(self, way: "_Way", failed: Delivery) -> None:
        """`way` answered; say so where it is not the one that was used before."""
        if way is self._used:
            return
        before, self._used = self._used.transport.endpoint, way
        if way is self._ways[0]:
            self._notices.say("again", "answers again and is used")
        else:
            self._notices.say(self.endpoint, "is used instead of %s, which fails: %s", before, failed.reason)


class _Way:
    """One receiver and its circuit breaker."""

    def __init__(self, transport: Transport, settings: config.Queue) -> None:
        self.transport, self._settings = transport, settings
        self.failures = 0  # in a row
        self.not_before = 0.0  # monotonic: when it may be asked again

    def learn(self, delivery: Delivery, now: float) -> None:
        """Any answer that is one closes the breaker; what is none makes the receiver rest."""
        if delivery.outcome not in FAILURES:
            self.failures, self.not_before = 0, 0.0
            return
        self.failures += 1
        # A receiver that says "at once" (or a date in the past) each time would be asked without a pause.
        self.not_before = now + max(self._rest(), bounded(delivery.delay))

    def _rest(self) -> float:
        """Seconds; random, because agents on many nodes must not come back in step."""
        shortest, longest = 0.0, self._settings.retry_max_seconds
        if self.failures >= self._settings.breaker_failures:
            shortest = longest / 2
        else:
            # 2**64 initial waits are beyond any maximum; an unbounded power would overflow.
            longest = min(longest, self._settings.retry_initial_seconds * 2.0 ** min(self.failures - 1, 64))
        return random.uniform(shortest, longest)  # noqa: S311  # spreads the nodes, no secret; tests repeat it by a seed


def bounded(delay: float | None) -> float:
    """The wait that a receiver asked for, as far as it is believed; 0 where it is none, or not a number."""
    return min(delay, LONGEST_WAIT) if delay is not None and delay > 0 else 0.0
