"""When to read: polls while events come, sleeps when none do, and is woken by the first.

A wake-up costs a tenth of a millisecond of CPU, so there are few of them: the kernel wakes for each 64 KiB, the
reader polls every 20 ms while something happens, and after some polls that found nothing it says in a word shared
with the probes (`struct reader` in bpf/ring.h) that it sleeps; the next event clears the word and wakes it. An event
that read the word just before it was set waits for the end of the sleep: at most a quarter of a second.
"""

import select
import time
from collections.abc import Sequence

from exporter.source.rings import RingReader
from exporter.source.words import Words

_QUIET_POLLS = 5  # that find nothing before it sleeps
_SLEEP_SECONDS = 0.25


class Bell:
    """Waits for the rings. `reader` is the `struct reader`, `poll_seconds` the interval while events come."""

    def __init__(self, reader: Words, rings: Sequence[RingReader], poll_seconds: float) -> None:
        self._reader, self._rings, self._poll_seconds = reader, rings, poll_seconds
        self._quiet = 0
        self._epoll = select.epoll()
        for ring in rings:
            self._epoll.register(ring.fd, select.EPOLLIN | select.EPOLLET)

    def rest(self) -> None:
        """One interval, whatever happens: for a reader that has no room for more."""
        time.sleep(self._poll_seconds)

    def wait(self, *, pending: bool) -> bool:
        """Until something may have happened; whether there is more to read. It does not sleep on what is `pending`."""
        if pending or self._quiet < _QUIET_POLLS:
            self._epoll.poll(self._poll_seconds)
        else:
            self._sleep()
        found = self._has_more()
        self._quiet = 0 if found else self._quiet + 1
        return found

    def _sleep(self) -> None:
        self._reader.set("asleep", 1)
        if not self._has_more():  # what came before the word was set has not seen it
            self._epoll.poll(_SLEEP_SECONDS)
        self._reader.set("asleep", 0)

    def _has_more(self) -> bool:
        return any(ring.has_more() for ring in self._rings)

    def close(self) -> None:
        """Let go of epoll."""
        self._epoll.close()
