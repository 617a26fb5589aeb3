"""Bursts: what the kernel collects for a window, moved into the ring when the window is over (bpf/burst.h).

`programs.py` calls `turn` as often as it looks at the rings. From map to ring nothing passes through user space, so a
kill loses nothing: what is in the map of pinned programs is there for the next agent.
"""

import struct
import time
from collections.abc import Mapping
from pathlib import Path

from exporter.config import Aggregate
from exporter.source import descriptors
from exporter.source.libbpf import Object
from exporter.source.losses import boot_now
from exporter.source.words import Words

OBJECT = "burst"
MAPS = ("bursts",)
_FLUSH = "flush_bursts"
_ALL = (1 << 63) - 1


def constants(aggregate: Aggregate, kinds: int) -> dict[str, bytes]:
    """`kinds` are those to be collected, a bit each."""
    return {
        "burst_window": struct.pack("<Q", aggregate.milliseconds * 10**6),
        "burst_kinds": struct.pack("<Q", kinds),
    }


class Bursts:
    """What one generation collects."""

    def __init__(self, path: Path, maps: Mapping[str, int], reader: Words, milliseconds: int) -> None:
        """`path` is the object that flushes, `maps` are those it shares with the generation's programs.

        Raises KernelError when it cannot be loaded.
        """
        self._reader, self._window = reader, milliseconds / 1000
        self._due = 0.0
        self._object = Object(path)
        try:
            self._object.share_all(maps)
            self._object.load()
        except BaseException:
            self._object.close()
            raise
        self._program = self._object.program_fds()[_FLUSH]

    def turn(self) -> None:
        """Send what began a window ago, once a window, where anything is collected at all."""
        now = time.monotonic()
        if now >= self._due and self._reader.get("bursts"):
            self._due = now + self._window / 2
            self._flush(max(0, boot_now() - int(self._window * 10**9)))  # the node may be younger than a window

    def flush(self) -> None:
        """Send all."""
        if self._reader.get("bursts"):
            self._flush(_ALL)

    def _flush(self, before: int) -> None:
        descriptors.run(self._program, struct.pack("<Q", before))

    def close(self) -> None:
        """Unload. Safe to call twice."""
        self._object.close()


def flush_all(path: Path, maps: Mapping[str, int], reader: Words) -> None:
    """Send all that the programs of another generation have collected. Raises KernelError where ours cannot read it."""
    collected = Bursts(path, maps, reader, 0)
    try:
        collected.flush()
    finally:
        collected.close()
