"""A chunk: encoded entries one after the other, in the order they came, bounded in records and bytes.

It knows the numbers of its entries in the stream: those of other tags lie between.

The encoders whose format is a plain sequence (Fluent's packed entries, lines of text) fill one for each tag.
"""

from exporter.config import Batch
from exporter.model import Payload, Stream


class Chunk:
    """The chunk being filled for one tag, of records in `stream`."""

    def __init__(self, limits: Batch, stream: Stream, tag: str = "") -> None:
        self.pending = 0
        self._max_records, self._max_bytes = limits.max_records, limits.max_bytes
        self._stream, self._tag = stream, tag
        self._id = ""  # the stream's when the first of what is pending came
        self._entries: list[bytes] = []
        self._size = 0
        self._numbers: list[tuple[int, int]] = []  # ranges that are closed
        self._first = self._next = 0  # the open one: where it began, what would continue it

    def add(self, entry: bytes, number: int) -> Payload | None:
        """Add the entry that is `number` in the stream; gives the chunk that this filled, if it did.

        An entry that is too large by itself goes alone: the receiver may take it.
        """
        full = None
        if self._size + len(entry) > self._max_bytes and self._entries:
            full = self.take()
        if not self._entries:
            self._id = self._stream.id
        if number != self._next or not self._entries:
            self._open(number)
        self._next = number + 1
        self._entries.append(entry)
        self._size += len(entry)
        self.pending += 1
        # Not both: with room for one record only, nothing was pending.
        return self.take() if self.pending >= self._max_records else full

    def take(self) -> Payload | None:
        """What is pending, if anything is."""
        if not self.pending:
            return None
        numbers = (*self._numbers, (self._first, self._next - 1))
        payload = Payload("logs", b"".join(self._entries), self.pending, self._tag, numbers, stream=self._id)
        self._entries.clear()
        self._numbers.clear()
        self._size = self.pending = 0
        return payload

    def _open(self, number: int) -> None:
        """A range of numbers begins; the one before it, if there is one, ends."""
        if self._entries:
            self._numbers.append((self._first, self._next - 1))
        self._first = number
