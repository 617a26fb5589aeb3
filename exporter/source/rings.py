"""A BPF ring buffer read by mmap: the bytes of each sample and where it stood.

The consumer page is mapped writable, the producer page and the data read-only; the data once, though the kernel
offers it twice in a row: mapped pages count as the agent's memory. Headers are read one by one with aligned 32-bit
loads, up to the first that is still being written, and only what lies before it is copied: copying first tears
records. The read cursor is our own; the consumer position is only the acknowledgement, stored with one aligned
8-byte store. Relies on x86-64's memory order: loads are not reordered with loads, nor stores with stores
(kernel/bpf/ringbuf.c has the acquire and release these pair with). Positions grow for as long as the ring exists.
"""

import mmap
import platform

from exporter.errors import KernelError
from exporter.model import RawSample, Ring

_PAGE = mmap.PAGESIZE
_BUSY, _DISCARDED = 1 << 31, 1 << 30
_LENGTH = ~(_BUSY | _DISCARDED) & 0xFFFFFFFF
_HEADER = 8
_READ_BYTES = 1024 * 1024


class RingReader:
    """Reads one ring from where its consumer position stands."""

    def __init__(self, ring: Ring, ring_id: int, fd: int, size: int) -> None:
        """`size` is the ring's data size in bytes. Raises KernelError on an architecture with another memory order."""
        if platform.machine() != "x86_64":
            raise KernelError(f"ring buffers cannot be read on {platform.machine()} yet", hint="use an x86-64 node")
        self.ring, self.ring_id, self.fd = ring, ring_id, fd
        self._mask = size - 1
        self._pages = (
            mmap.mmap(fd, _PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0),
            mmap.mmap(fd, _PAGE + size, mmap.MAP_SHARED, mmap.PROT_READ, offset=_PAGE),
        )
        self._consumer = memoryview(self._pages[0]).cast("Q")
        self._producer = memoryview(self._pages[1]).cast("Q")
        self._headers = memoryview(self._pages[1])[_PAGE:].cast("I")
        self._data = memoryview(self._pages[1])[_PAGE:]
        self.cursor = self._consumer[0]

    def has_more(self) -> bool:
        """Whether the producer is past the cursor; costs next to nothing."""
        return self._producer[0] > self.cursor

    def read(self, limit: int) -> list[RawSample]:
        """At most `limit` samples, about 4 MiB of them, that are complete, in the ring's order; never waits."""
        samples: list[RawSample] = []
        cursor, mask, size, headers, data = self.cursor, self._mask, self._mask + 1, self._headers, self._data
        ring, ring_id = self.ring, self.ring_id
        end = min(self._producer[0], cursor + _READ_BYTES)
        while cursor < end and len(samples) < limit:
            at = cursor & mask
            header = headers[at >> 2]
            if header & _BUSY:
                break
            length = header & _LENGTH
            if not header & _DISCARDED:
                start, stop = at + _HEADER, at + _HEADER + length
                # A record that reaches the end of the ring goes on at its beginning.
                whole = bytes(data[start:stop]) if stop <= size else bytes(data[start:]) + bytes(data[: stop - size])
                samples.append(RawSample(ring, ring_id, cursor, whole))
            cursor += (length + _HEADER + 7) & ~7
        self.cursor = cursor
        return samples

    @property
    def written(self) -> int:
        """Up to where producers have claimed room; what lies before it may still be in the making."""
        return int(self._producer[0])

    @property
    def acknowledged(self) -> int:
        """The consumer position: what lies before it may be overwritten."""
        return int(self._consumer[0])

    def acknowledge(self, position: int | None = None) -> None:
        """Give what lies before `position` back to the kernel (None: all that was read); never more than was read."""
        upto = self.cursor if position is None else min(position, self.cursor)
        self._consumer[0] = max(upto, self._consumer[0])

    def seek(self, position: int) -> None:
        """Go on from a position that was read up to before; one that the ring does not hold any more is ignored."""
        if self._consumer[0] <= position <= self._producer[0]:
            self.cursor = max(self.cursor, position)

    def close(self) -> None:
        """Unmap; the ring itself lives as long as someone holds its file descriptor."""
        for view in (self._consumer, self._producer, self._headers, self._data):
            view.release()
        for page in self._pages:
            page.close()
