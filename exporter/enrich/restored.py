"""The state of the process table out of the entries of its journal, as a restarted agent finds them.

`processes.py` calls `read` once at start. Entries are of an agent that may have been another version, on a disk that
may be damaged: what cannot be read is skipped, and what refers to it is as if it was not known.
"""

from collections.abc import Sequence
from typing import cast

import msgspec

from exporter.enrich.image import LINEAGE
from exporter.enrich.journal import FORMAT, Entry, Image, Key, State
from exporter.enrich.traces import Open
from exporter.model import Attributes, Process, Resource


class Known(msgspec.Struct):
    """What a journal tells: images, least recently used first, the newest one of each pid, Resources by cgroup."""

    images: dict[Key, Process]
    current: dict[int, Key]
    resources: dict[int, Resource]
    traces: list[Open]
    damaged: int


_decode = msgspec.msgpack.Decoder(Entry).decode
_UNKNOWN = Resource({})


def read(entries: Sequence[bytes]) -> Known:
    """The state after all `entries`; what cannot be read is skipped and counted as damaged."""
    reader = _Reader()
    for data in entries:
        try:
            entry = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            reader.damaged += 1
            continue
        if entry.format == FORMAT:
            reader.take(entry)
        else:
            reader.damaged += 1
    return reader.known()


class _Reader:
    """Entries, one after the other; processes are made of what is left in the end."""

    def __init__(self) -> None:
        self._shapes: dict[int, tuple[str, ...]] = {}
        self._resources: dict[int, Resource] = {}
        self._places: dict[int, int] = {}
        self._images: dict[Key, Image] = {}
        self._exited: dict[Key, int] = {}
        self._current: dict[int, Key] = {}
        self._traces: list[Open] = []
        self.damaged = 0

    def take(self, entry: Entry) -> None:
        self._shapes |= entry.shapes
        self._resources |= {number: Resource(cast(Attributes, known)) for number, known in entry.resources.items()}
        self._places |= entry.places
        self._traces += entry.traces
        for key in entry.dropped:
            self._images.pop(key, None)
            if self._current.get(key[0]) == key:
                del self._current[key[0]]
        for state in entry.states:
            self._stand(state)

    def _stand(self, state: State) -> None:
        key, pid = state.key, state.key[0]
        image = state.image or self._images.get(key)
        if image is None:  # it was told in an entry that could not be read
            return
        if state.moved:
            self._images.pop(key, None)
        self._images[key] = image
        self._exited[key] = state.exited
        if state.current:
            self._current[pid] = key
        elif self._current.get(pid) == key:
            del self._current[pid]

    def known(self) -> Known:
        resources = {
            cgroup: self._resources[number] for cgroup, number in self._places.items() if number in self._resources
        }
        images: dict[Key, Process] = {}
        for key, image in self._images.items():
            names = self._shapes.get(image.shape, ())
            if len(names) != len(image.values):
                self.damaged += 1
                continue
            attributes = cast(Attributes, dict(zip(names, image.values, strict=True)))
            resource = resources.get(image.cgroup) or _UNKNOWN
            images[key] = _process(key, image, attributes, resource, self._exited[key])
        current = {pid: key for pid, key in self._current.items() if key in images}
        return Known(images, current, resources, self._traces, self.damaged)


def _process(key: Key, image: Image, attributes: Attributes, resource: Resource, exited: int) -> Process:
    pid, start_time, exec_id = key
    return Process(
        pid=pid,
        start_time=start_time,
        exec_id=exec_id,
        number=image.number,
        started=image.started,
        entity_id=image.entity_id,
        trace_id=image.trace_id,
        span_id=image.span_id,
        parent_span_id=image.parent_span_id,
        lineage={name: attributes[name] for name in LINEAGE if name in attributes},
        cgroup=image.cgroup,
        attributes=attributes,
        resource=resource,
        forked_as=image.forked_as,
        init=image.init,
        links=image.links,
        exited=exited,
    )
