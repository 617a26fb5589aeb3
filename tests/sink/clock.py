"""A clock for outboxes that needs no time: whoever waits moves it on."""

import threading

from exporter.sink.delivery import Clock


class Simulated(Clock):
    """Seconds since the test began; `pass_by` moves it on."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now(self) -> float:
        return self._seconds

    def pass_by(self, seconds: float) -> None:
        self._seconds += seconds

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """A wait for nothing but time is over at once; one for a payload is a real one."""
        if seconds is None:
            condition.wait()
        else:
            self.pass_by(seconds)
