"""io_uring without liburing: one entry submitted, its completion waited for (include/uapi/linux/io_uring.h)."""

import ctypes
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from exporter.probes.words import IO_URING_OPCODE, SYSCALLS
from tests.kernel.changes import syscall

GETEVENTS, REGISTER_FILES = 1, 2
SQ_RING, SQES = 0, 0x10000000
OPENAT, WRITE = 18, 23
UNLINKAT, RENAMEAT, SYMLINKAT, LINKAT, FSETXATTR, SETXATTR, FTRUNCATE = 36, 35, 38, 39, 41, 42, 55
"""enum io_uring_op."""
OPERATIONS = {name: number for number, name in IO_URING_OPCODE.items()}
REGISTER_BUFFERS = 0


class Uring:
    """A ring of one entry. Raises OSError where the kernel has none, or refuses it to us."""

    def __init__(self) -> None:
        params = ctypes.create_string_buffer(120)  # struct io_uring_params
        self._fd = syscall(SYSCALLS["io_uring_setup"], 1, params)
        if self._fd < 0:
            raise OSError(-self._fd, "io_uring_setup")
        self._sq = struct.unpack_from("<9I", params, 40)  # head, tail, mask, entries, flags, dropped, array
        self._cq = struct.unpack_from("<9I", params, 80)  # head, tail, mask, entries, overflow, cqes
        size = max(self._sq[6] + 4, self._cq[5] + 2 * 16)
        self._ring = mmap.mmap(self._fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=SQ_RING)
        self._entries = mmap.mmap(self._fd, 64, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=SQES)

    def __enter__(self) -> "Uring":
        return self

    def __exit__(self, *_error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._ring.close()
        self._entries.close()
        os.close(self._fd)

    def _word(self, offset: int) -> int:
        return int(struct.unpack_from("<I", self._ring, offset)[0])

    def do(
        self,
        operation: int,
        fd: int,
        offset: int = 0,
        address: int = 0,
        length: int = 0,
        flags: int = 0,
        third: int = 0,
        *,
        other: int = 0,
    ) -> int:
        """What became of it: as the system call of that name returns it, errno as a negative number.

        `other`: the descriptor that a splice takes from; of an open that makes none, the slot of the ring's own table,
        counted from 1.
        """
        entry = struct.pack("<BBHiQQIIQQQ", operation, 0, 0, fd, offset, address, length, flags, 0, other << 32, third)
        self._entries[:64] = entry.ljust(64, b"\0")
        tail = self._word(self._sq[1])
        struct.pack_into("<I", self._ring, self._sq[6] + 4 * (tail & self._word(self._sq[2])), 0)
        struct.pack_into("<I", self._ring, self._sq[1], tail + 1)
        assert syscall(SYSCALLS["io_uring_enter"], self._fd, 1, 1, GETEVENTS, None, 0) == 1
        head = self._word(self._cq[0])
        at = self._cq[5] + 16 * (head & self._word(self._cq[2]))
        result = int(struct.unpack_from("<i", self._ring, at + 8)[0])
        struct.pack_into("<I", self._ring, self._cq[0], head + 1)
        return result

    def register(self, vector: bytes) -> int:
        """Make the buffer of a struct iovec the ring's own first one."""
        return syscall(SYSCALLS["io_uring_register"], self._fd, REGISTER_BUFFERS, vector, 1)

    def make_slots(self, count: int) -> None:
        """Places for files that have no descriptor."""
        empty = (ctypes.c_int * count)(*[-1] * count)
        assert syscall(SYSCALLS["io_uring_register"], self._fd, REGISTER_FILES, empty, count) == 0

    def write(self, fd: int, data: bytes) -> int:
        """Bytes at the position that the file is at, like the system call of that name."""
        held = ctypes.create_string_buffer(data, len(data))
        return self.do(WRITE, fd, offset=(1 << 64) - 1, address=address(held), length=len(data))


@contextmanager
def ring() -> Iterator[Uring | None]:
    """A ring, or None where the kernel has none or refuses it to us."""
    try:
        opened = Uring()
    except OSError:
        opened = None
    if opened is None:
        yield None
        return
    with opened:
        yield opened


def address(buffer: "ctypes.Array[ctypes.c_char]") -> int:
    """Of a buffer that lives as long as the operation."""
    return ctypes.addressof(buffer)
