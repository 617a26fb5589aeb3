"""Up to where each ring was read, and up to where it need not be read again."""

from collections import deque
from collections.abc import Mapping


class Positions:
    """By the ring's id: `read`, and what of that is `safe`."""

    def __init__(self) -> None:
        self.read: dict[int, int] = {}
        self.safe: dict[int, int] = {}
        self._unsafe: deque[tuple[dict[int, int], dict[str, int]]] = deque()

    def add(self, positions: Mapping[int, int]) -> None:
        """What a commit brings."""
        self.read.update(positions)

    def committed(self) -> None:
        """All of it is on disk."""
        self._unsafe.clear()
        self.safe.update(self.read)

    def settled(self, puts: Mapping[str, int], done: Mapping[str, int]) -> None:
        """The disk fails: positions are safe once the sinks are done with all that was put before them.

        By queue, how many puts there were, and up to which of them all is done with.
        """
        if self._unsafe and self._unsafe[-1][1] == puts:
            self._unsafe.pop()
        self._unsafe.append((dict(self.read), dict(puts)))
        while self._unsafe and all(done[name] >= put for name, put in self._unsafe[0][1].items()):
            self.safe.update(self._unsafe.popleft()[0])
