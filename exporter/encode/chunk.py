"""A chunk: encoded entries one after the other, in the order they came, bounded in records and bytes.

The encoders whose format is a plain sequence (Fluent's packed entries, lines of text) fill one for each tag.
"""

from exporter.config import Batch
from exporter.model import Payload


class Chunk:
    """The chunk being filled for one tag."""

    def __init__(self, limits: Batch, tag: str = "") -> None:
        self.pending = 0
        self._max_records, self._max_bytes = limits.max_records, limits.max_bytes
        self._tag = tag
        self._entries: list[bytes] = []
        self._size = 0

    def add(self, entry: bytes) -> Payload | None:
        """Add an entry; gives the chunk that this filled, if it did.

        An entry that is too large by itself goes alone: the receiver may take it.
        """
        full = None
        if self._size + len(entry) > self._max_bytes and self._entries:
            full = self.take()
        self._entries.append(entry)
        self._size += len(entry)
        self.pending += 1
        # Not both: with room for one record only, nothing was pending.
        return self.take() if self.pending >= self._max_records else full

    def take(self) -> Payload | None:
        """What is pending, if anything is."""
        if not self.pending:
            return None
        payload = Payload("logs", b"".join(self._entries), self.pending, self._tag)
        self._entries.clear()
        self._size = self.pending = 0
        return payload
