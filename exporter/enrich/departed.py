"""Images that have ended, kept until the last event of theirs must have come.

Rings are read in turn, so an event of an image can come one reading after its end. What the kernel collects for a while
(`observe.aggregate`) comes later still: such images stay for that long, counted on the events' own clock, so that a
node where nothing happens wakes nobody to forget.
"""

from collections import deque

from exporter.model import Process


class Departed:
    """Ended images in the order of their ends."""

    def __init__(self, linger: int) -> None:
        """`linger`: ns on the boot clock that an event may come after its image's end."""
        self._linger = linger
        self._now = 0
        self._ended: list[Process] = []  # since the last `leave`
        self._passed: list[Process] = []  # before it
        self._lingering: deque[Process] = deque()

    @property
    def pending(self) -> bool:
        """Whether `leave` has something to do, though nothing happens."""
        return bool(self._ended or self._passed)

    def see(self, time: int) -> None:
        """The clock of the events, boot ns."""
        self._now = max(self._now, time)

    def end(self, process: Process) -> None:
        """Its end was told."""
        self._ended.append(process)

    def leave(self) -> list[Process]:
        """Those nothing more can come of; once a reading of both rings."""
        gone, self._passed, self._ended = self._passed, self._ended, []
        if not self._linger:
            return gone
        self._lingering.extend(gone)
        gone = []
        while self._lingering and self._lingering[0].exited + self._linger < self._now:
            gone.append(self._lingering.popleft())
        return gone
