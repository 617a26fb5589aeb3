"""Batches of encoded records or spans, grouped by Resource and bounded in records and bytes.

The OTLP encoders put (Resource fragment, record) pairs in and get Payloads out. Records of one Resource
stand together, however they came: 536 bytes an event instead of 1,408. Resources whose fragments are equal
are one group.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from exporter.config import Batch
from exporter.model import Payload, Signal, Stream

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
    """The batch being filled.

    `frame` may change while nothing is pending. Records are numbered by `stream`, each before the next is asked for;
    spans are in none.
    """

    def __init__(self, signal: Signal, frame: Frame, limits: Batch, stream: Stream | None = None) -> None:
        self.pending = 0
        self.frame = frame
        self._signal: Signal = signal
        self._limits = limits
        self._stream = stream
        self._first, self._id = 0, ""  # number of the oldest that is pending, and the stream's id then
        self._size = frame.envelope
        self._groups: dict[bytes, list[bytes]] = {}

    def pack(self, pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[Payload]:
        """Add them all, giving a Payload each time one is full; what does not fill one stays.

        A record that is too large by itself goes alone: the receiver may take it.
        """
        groups, around = self._groups, self.frame.record
        max_records, max_bytes = self._limits.max_records, self._limits.max_bytes
        for resource, record in pairs:
            group = groups.get(resource)
            size = self._size + len(record) + around
            if group is None:
                size += len(resource) + self.frame.group
            full = None
            if size > max_bytes and self.pending:
                full = self._take()
                group = self._open(resource)
                size = self._size + len(resource) + self.frame.group + len(record) + around
            elif group is None:
                group = self._open(resource)
            group.append(record)
            self._size = size
            self.pending += 1
            if full is not None:  # only now: a record that has its number must not depend on who follows the iterator
                yield full
            if self.pending >= max_records or size >= max_bytes:
                yield self._take()

    def flush(self) -> Iterator[Payload]:
        """What is pending, if anything is."""
        if self.pending:
            yield self._take()

    def _open(self, resource: bytes) -> list[bytes]:
        """The first record of a Resource comes, perhaps of the batch."""
        if not self.pending and self._stream is not None:
            self._first, self._id = self._stream.next - 1, self._stream.id
        group = self._groups[resource] = list[bytes]()
        return group

    def _take(self) -> Payload:
        numbers = ((self._first, self._first + self.pending - 1),) if self._stream is not None else ()
        data = self.frame.seal(self._groups)
        payload = Payload(self._signal, data, self.pending, sequences=numbers, stream=self._id)
        self._groups.clear()
        self._size, self.pending = self.frame.envelope, 0
        return payload
