"""What the process table knows, as entries of a journal: a restarted agent goes on with it.

The table notes here which images were begun, changed or moved; `entry` packs their state of now, once a commit, so that
a process which came and went since the last one costs next to nothing. The first entry, and one whenever the others
have outgrown it, is a checkpoint: it replaces all before it. MessagePack; attribute names, and the attributes of a
Resource, are in it once a checkpoint, and referred to by number. `restored.py` reads it.
"""

from collections.abc import Mapping

import msgspec

from exporter.enrich.resources import Resources
from exporter.enrich.traces import Open, Traces
from exporter.model import Process, Resource

Key = tuple[int, int, int]
"""An image: pid, start time, exec_id."""

FORMAT = 1
LEAST = 4 * 1024 * 1024
"""Bytes of entries after a checkpoint before there is another, however small it was."""

Plain = str | int | bool | float
Stored = Plain | tuple[Plain, ...]
"""A Value as it is read: an array comes back as a tuple."""


class Image(msgspec.Struct, array_like=True, frozen=True):
    """What never changes in an image; `values` are its attributes, `shape` the number of the list of their names."""

    number: int
    started: int
    entity_id: str
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    links: tuple[tuple[bytes, bytes], ...]
    cgroup: int
    forked_as: int
    init: bool
    shape: int
    values: tuple[Stored, ...]


class State(msgspec.Struct, array_like=True, frozen=True):
    """How an image stands: `current` is the newest of its pid, `moved` the one used last. `image` None: as told."""

    key: Key
    current: bool
    moved: bool
    exited: int
    image: Image | None


class Entry(msgspec.Struct, array_like=True):
    """What is other than after the entry before it; `places` are Resources' numbers by cgroup."""

    format: int = FORMAT
    shapes: dict[int, tuple[str, ...]] = {}
    resources: dict[int, dict[str, Stored]] = {}
    places: dict[int, int] = {}
    states: list[State] = []
    dropped: list[Key] = []
    traces: list[Open] = []


_encode = msgspec.msgpack.Encoder().encode


class Journal:
    """Notes what the process table changes, and packs it."""

    def __init__(self, traces: Traces, resources: Resources) -> None:
        self._traces, self._resources = traces, resources
        self._noting = False  # until somebody asks for an entry there is no end to what would be noted
        self._written: set[Key] = set()  # images begun or changed
        self._marked: set[Key] = set()  # images that stand otherwise
        self._moved: dict[Key, None] = {}  # images used, the last one last
        self._checkpoint = self._since = 0  # bytes
        self._begin()

    def _begin(self) -> None:
        """What numbers stand for is told anew with each checkpoint."""
        self._shapes: dict[tuple[str, ...], int] = {}
        self._numbers: dict[Resource, int] = {}
        self._places: dict[int, Resource] = {}
        self._generation = self._resources.generation

    def write(self, key: Key) -> None:
        """An image is new or has changed."""
        if self._noting:
            self._written.add(key)

    def mark(self, key: Key) -> None:
        """An image has ended, has a follower or is gone."""
        if self._noting:
            self._marked.add(key)

    def move(self, key: Key) -> None:
        """An image was used."""
        if self._noting:
            self._moved.pop(key, None)
            self._moved[key] = None

    def entry(
        self, images: Mapping[Key, Process], current: Mapping[int, Process], *, whole: bool
    ) -> tuple[bytes, bool]:
        """What has changed since the last call (b"": nothing), or all; and whether it is all: a checkpoint."""
        whole = whole or not self._noting or self._since > max(LEAST, 2 * self._checkpoint)
        if whole:
            self._begin()
        entry = self._entry(images, current, whole=whole)
        data = _packed(entry) if whole or entry != _NOTHING else b""
        self._checkpoint, self._since = (len(data), 0) if whole else (self._checkpoint, self._since + len(data))
        self._noting = True
        self._written, self._marked, self._moved = set(), set(), {}
        return data, whole

    def _entry(self, images: Mapping[Key, Process], current: Mapping[int, Process], *, whole: bool) -> Entry:
        entry = Entry(traces=self._traces.news(everything=whole))
        used_last = ((self._written | self._marked) - self._moved.keys(), self._moved)
        for key in images if whole else (key for keys in used_last for key in keys):
            process = images.get(key)
            if process is None:
                entry.dropped.append(key)
                continue
            image = self._image(process, entry) if whole or key in self._written else None
            is_current = current.get(process.pid) is process
            entry.states.append(State(key, is_current, whole or key in self._moved, process.exited, image))
        if self._generation != self._resources.generation:  # pods have changed
            self._generation = self._resources.generation
            for cgroup in list(self._places):
                self._place(cgroup, entry)
        return entry

    def _image(self, process: Process, entry: Entry) -> Image:
        self._place(process.cgroup, entry)
        names = tuple(process.attributes)
        shape = self._shapes.get(names)
        if shape is None:
            shape = self._shapes[names] = len(self._shapes)
            entry.shapes[shape] = names
        return Image(
            number=process.number,
            started=process.started,
            entity_id=process.entity_id,
            trace_id=process.trace_id,
            span_id=process.span_id,
            parent_span_id=process.parent_span_id,
            links=process.links,
            cgroup=process.cgroup,
            forked_as=process.forked_as,
            init=process.init,
            shape=shape,
            values=tuple(process.attributes.values()),
        )

    def _place(self, cgroup: int, entry: Entry) -> None:
        """Tell which Resource the cgroup has, where that is news."""
        resource = self._resources.of(cgroup)
        if self._places.get(cgroup) is resource:
            return
        number = self._numbers.get(resource)
        if number is None:
            number = self._numbers[resource] = len(self._numbers)
            entry.resources[number] = dict[str, Stored](resource.attributes)
        self._places[cgroup] = resource
        entry.places[cgroup] = number


_NOTHING = Entry()


def _packed(entry: Entry) -> bytes:
    """The entry; what MessagePack cannot hold (text that is no UTF-8) is left out: it is as if it was not known."""
    try:
        return _encode(entry)
    except (UnicodeEncodeError, OverflowError):
        entry.states = [state for state in entry.states if _fits(state)]
        entry.resources = {number: known for number, known in entry.resources.items() if _fits(known)}
        return _encode(entry)


def _fits(part: object) -> bool:
    try:
        _encode(part)
    except (UnicodeEncodeError, OverflowError):
        return False
    return True
