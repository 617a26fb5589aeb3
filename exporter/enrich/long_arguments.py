"""What is kept of arguments: all of them until the images' arguments together take too much, or memory is short.

The process table says which images it keeps and drops, and when an exec is told: that is in full.
"""

from collections import OrderedDict
from collections.abc import Mapping

from exporter.enrich.facts import texts
from exporter.enrich.journal import Journal, Key
from exporter.model import Process
from exporter.telemetry import Ledger

ARGUMENT_BYTES = 16 * 1024 * 1024
"""Of all images together; beyond it the oldest long arguments are shortened, once their exec has been told."""
LONG_ARGUMENTS = 1024


class LongArguments:
    """Shortens arguments where they take too much; each time is noted, and goes into the journal.

    Args:
        images: those that the process table holds.
        journal: is told of images that have changed.
        ledger: counts `process.arguments_shortened`.
    """

    def __init__(self, images: Mapping[Key, Process], journal: Journal, ledger: Ledger) -> None:
        self._images, self._journal, self._ledger = images, journal, ledger
        self._longest: int | None = None  # characters kept of each image while memory is short
        self._sizes: OrderedDict[Key, int] = OrderedDict()  # images with long arguments, oldest first
        self._total = 0
        self._untold: list[tuple[Key, Process]] = []  # kept since the last `told`, while memory is short

    def limit(self, longest: int | None) -> None:
        """Keep so many characters of each image, new ones too, once their exec is told; None: all."""
        self._longest = longest
        for key, process in self._images.items() if longest is not None else ():
            self._fit(key, process)

    def told(self) -> None:
        """The exec of all that was kept before is told."""
        for key, process in self._untold:
            self._fit(key, process)
        self._untold.clear()

    def keep(self, key: Key, process: Process) -> None:
        """The table holds the image now."""
        if self._longest is not None:
            self._untold.append((key, process))
        size = _size(process)
        if size <= LONG_ARGUMENTS:
            return
        self._total += size - self._sizes.get(key, 0)
        self._sizes[key] = size
        while self._total > ARGUMENT_BYTES:
            oldest, size = self._sizes.popitem(last=False)
            self._total -= size
            self._shorten(oldest, self._images[oldest], LONG_ARGUMENTS)

    def drop(self, key: Key) -> None:
        """The table holds it no more."""
        self._total -= self._sizes.pop(key, 0)

    def _fit(self, key: Key, process: Process) -> None:
        if self._longest is not None and _size(process) > self._longest:
            self._shorten(key, process, self._longest)
            process.fragments.clear()

    def _shorten(self, key: Key, process: Process, limit: int) -> None:
        shorten_arguments(process, limit)
        self._journal.write(key)
        self._ledger.note("process.arguments_shortened")


def shorten_arguments(process: Process, limit: int) -> None:
    """Keep the first `limit` characters of the arguments, and say so."""
    kept: list[str] = []
    for arg in texts(process.attributes, "process.command_args"):
        if limit <= 0:
            break
        kept.append(arg[:limit])
        limit -= len(kept[-1])
    process.attributes["process.command_args"] = tuple(kept)
    process.attributes["podwitness.process.args.truncated"] = True


def _size(process: Process) -> int:
    """Characters of its arguments."""
    return sum(map(len, texts(process.attributes, "process.command_args")))
