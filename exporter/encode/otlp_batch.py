"""Batches of encoded records or spans, grouped by Resource and bounded in records and bytes.

The OTLP encoders put (Resource fragment, record) pairs in and get Payloads out. Records of one Resource
stand together, however they came: 536 bytes an event instead of 1,408. Resources whose fragments are equal
are one group.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from exporter.config import Batch
from exporter.model import Payload, Signal

Groups = Mapping[bytes, list[bytes]]
"""Records by the fragment of their Resource."""


class Frame(NamedTuple):
    """What a wire format puts around records; sizes in bytes, never less than what it comes to.

    `envelope` surrounds the payload, `group` a Resource's records, `record` one record. `seal` joins them.
    """

    envelope: int
    group: int
    record: int
    seal: Callable[[Groups], bytes]


class Batches:
    """The batch being filled."""

    def __init__(self, signal: Signal, frame: Frame, limits: Batch) -> None:
        self.pending = 0
        self._signal: Signal = signal
        self._frame = frame
        self._limits = limits
        self._size = frame.envelope
        self._groups: dict[bytes, list[bytes]] = {}

    def pack(self, pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[Payload]:
        """Add them all, giving a Payload each time one is full; what does not fill one stays.

        A record that is too large by itself goes alone: the receiver may take it.
        """
        groups, around = self._groups, self._frame.record
        max_records, max_bytes = self._limits.max_records, self._limits.max_bytes
        for resource, record in pairs:
            group = groups.get(resource)
            size = self._size + len(record) + around
            if group is None:
                size += len(resource) + self._frame.group
            if size > max_bytes and self.pending:
                yield self._take()
                group = None
                size = self._size + len(resource) + self._frame.group + len(record) + around
            if group is None:
                group = groups[resource] = []
            group.append(record)
            self._size = size
            self.pending += 1
            if self.pending >= max_records or size >= max_bytes:
                yield self._take()

    def flush(self) -> Iterator[Payload]:
        """What is pending, if anything is."""
        if self.pending:
            yield self._take()

    def _take(self) -> Payload:
        payload = Payload(self._signal, self._frame.seal(self._groups), self.pending)
        self._groups.clear()
        self._size, self.pending = self._frame.envelope, 0
        return payload
