"""A generation: the rings and counters of programs loaded together, and how it is told from others.

Without pins there is one, as old as the agent. With them the next agent of the same build goes on with it; another
build makes its own beside it and reads what the old one left first. `identity` says what the same is; `kept.py` keeps
the objects, which have the layouts that it was written in.
"""

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from exporter.model import RawSample, Ring
from exporter.source import bursts, descriptors, destinations, filters
from exporter.source.btf import Types
from exporter.source.losses import Tally, in_words
from exporter.source.rings import RingReader
from exporter.source.words import Words

RINGS: tuple[Ring, ...] = ("lifecycle", "activity")
CALLS = "calls"
SHARED_MAPS = (*RINGS, "counts", "reader", CALLS, "last_rights", *filters.MAPS, *bursts.MAPS, *destinations.MAPS)
"""What the programs of a generation share, and what is pinned of it."""
_READ_LIMIT = 1024  # samples of one ring at a time: bounds what is in memory between read and encode
_HEX = 12
_LOSSES = (("lost", "ring_full"), ("unread", "no_reader"), ("shed", "shed_memory"))


def identity(objects: Collection[Path], constants: Mapping[str, bytes], sizes: Mapping[Ring, int]) -> str:
    """The name of what these objects become with these constants and ring sizes: 12 hex digits of a SHA-256."""
    digest = hashlib.sha256()
    parts = [part for path in sorted(objects) for part in (path.name.encode(), path.read_bytes())]
    parts += [part for name in sorted(constants) for part in (name.encode(), constants[name])]
    for part in (*parts, repr(sorted(sizes.items())).encode()):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:_HEX]


class Generation:
    """What one generation has written and counted."""

    def __init__(self, types: Mapping[str, Types], layouts: Types, maps: Mapping[str, int]) -> None:
        """`types` of its samples by program, `layouts` of its counters; `maps` are the fds of SHARED_MAPS.

        Raises KernelError when one of the maps is not what it should be.
        """
        self.types = types
        with ExitStack() as opened:
            self.rings = [_reader(ring, maps[ring], opened) for ring in RINGS]
            self._counts = Words(maps["counts"], layouts, "ring_counts")
            opened.callback(self._counts.close)
            self.reader = Words(maps["reader"], layouts, "reader")
            opened.callback(self.reader.close)
            self.destinations = os.dup(maps[destinations.MAPS[0]]) if destinations.MAPS[0] in maps else -1
            """Its map of that name, where it has one."""
            if self.destinations >= 0:
                opened.callback(os.close, self.destinations)
            self._opened = opened.pop_all()

    def read(self) -> list[RawSample]:
        """What the rings hold; lifecycle before and after activity, so that no activity precedes its process."""
        lifecycle, activity = self.rings
        before = lifecycle.read(_READ_LIMIT)
        happened = activity.read(_READ_LIMIT)
        return before + lifecycle.read(_READ_LIMIT) + happened if happened else before

    def is_empty(self) -> bool:
        """Whether all that was written is acknowledged."""
        return all(ring.acknowledged == ring.written for ring in self.rings)

    def tallies(self) -> Iterator[Tally]:
        """Its losses."""
        for at, ring in enumerate(self.rings):
            for member, reason in _LOSSES:
                key = f"{ring.ring_id}.{member}"
                yield in_words(self._counts, f"{member}.", at, key=key, ring=ring.ring, reason=reason)

    def close(self) -> None:
        """Unmap. Safe to call twice."""
        self._opened.close()


def _reader(ring: Ring, fd: int, opened: ExitStack) -> RingReader:
    reader = RingReader(ring, descriptors.map_id(fd), fd, descriptors.map_entries(fd))
    opened.callback(reader.close)
    return reader
