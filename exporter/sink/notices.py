"""Log lines about single payloads, which come by the thousand when a receiver is in trouble."""

import logging
import time
from collections import Counter
from collections.abc import Callable

log = logging.getLogger("podwitness.sink")


class Notices:
    """One line a minute of each sort, saying how many were left out. For one thread.

    Args:
        subject: whom the lines are about; asked for each line, because the endpoint in use changes.
    """

    INTERVAL = 60.0

    def __init__(self, subject: Callable[[], str]) -> None:
        self._subject = subject
        self._next: dict[str, float] = {}
        self._left_out: Counter[str] = Counter()

    def say(self, sort: str, message: str, *args: object, traceback: bool = False) -> None:
        """Log `message`, or count it where one of this `sort` was logged within the minute."""
        now = time.monotonic()
        if now < self._next.get(sort, 0.0):
            self._left_out[sort] += 1
            return
        self._next[sort] = now + self.INTERVAL
        more = self._left_out.pop(sort, 0)
        text = f"%s: {message}" + (" (and %d more like it)" if more else "")
        log.warning(text, self._subject(), *args, *((more,) if more else ()), exc_info=traceback)
