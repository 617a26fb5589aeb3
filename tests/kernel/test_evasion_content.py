"""Ways round the observation of writes, each tried: what is told all the same, and of which file."""

import ctypes
import errno
import os
import struct
import threading
from pathlib import Path

import pytest

from exporter.probes.words import SYSCALLS
from tests.kernel import uring
from tests.kernel.changes import syscall
from tests.kernel.children import N
from tests.kernel.recorded import recording
from tests.kernel.test_file_content import LIBC, WRITTEN, first, total, written_to

pytestmark = pytest.mark.kernel

PUNCH_HOLE, KEEP_SIZE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE = 2, 1, 8, 16, 32


@pytest.mark.parametrize("operation", ["WRITEV", "WRITE_FIXED", "SPLICE", "WRITEV_FIXED", "FALLOCATE"])
def test_each_operation_of_io_uring_that_writes_is_seen(tmp_path: Path, operation: str) -> None:
    path = tmp_path / "written"
    path.write_bytes(b"0123456789")
    buffer = ctypes.create_string_buffer(b"0123456789", 10)
    vector = struct.pack("<QQ", uring.address(buffer), 10)
    held = ctypes.create_string_buffer(vector, 16)
    readable, writable = os.pipe()
    os.write(writable, b"0123456789")
    ways: dict[str, dict[str, int]] = {
        "WRITEV": {"address": uring.address(held), "length": 1},
        "WRITE_FIXED": {"address": uring.address(buffer), "length": 10},
        "SPLICE": {"address": (1 << 64) - 1, "length": 10, "other": readable},
        "WRITEV_FIXED": {"address": uring.address(held), "length": 1},
        "FALLOCATE": {"address": 10, "length": PUNCH_HOLE | KEEP_SIZE},
    }
    with uring.ring() as ring:
        if ring is None:
            pytest.skip("this kernel has no io_uring, or does not allow it")
        assert ring.register(vector) == 0
        with recording(tmp_path, WRITTEN) as finish:
            file = os.open(path, os.O_WRONLY)
            result = ring.do(uring.OPERATIONS[f"IORING_OP_{operation}"], file, **ways[operation])
            os.close(file)
            told = finish()
    os.close(readable)
    os.close(writable)
    if result == -errno.EINVAL and operation == "WRITEV_FIXED":
        pytest.skip("this kernel does not know the operation: it is of 6.15")
    size = 0 if operation == "FALLOCATE" else 10
    assert result == size
    assert written_to(path, told) == [first(path, 10, "io_uring_enter"), total(path, 10, size, 1)]


def test_a_descriptor_that_is_exchanged_while_it_is_written_to_blames_nobody_else(tmp_path: Path) -> None:
    victim, decoy = tmp_path / "victim", tmp_path / "decoy"
    victim.touch()
    decoy.touch()
    content = bytes(64 << 20)
    sizes = []

    def exchange(file: int, other: int) -> None:
        while not (size := victim.stat().st_size):
            pass
        os.dup2(other, file)
        sizes.append(size)

    with recording(tmp_path, WRITTEN) as finish:
        file, other = os.open(victim, os.O_WRONLY), os.open(decoy, os.O_WRONLY)
        exchanger = threading.Thread(target=exchange, args=(file, other))
        exchanger.start()
        assert os.write(file, content) == len(content)
        exchanger.join()
        os.close(file)
        os.close(other)
        told = finish()
    assert sizes[0] < len(content)  # else the write was over before
    assert written_to(decoy, told) == []
    assert written_to(victim, told) == [first(victim, len(content)), total(victim, len(content), len(content), 1)]


@pytest.mark.parametrize("mode", [PUNCH_HOLE | KEEP_SIZE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE])
def test_what_fallocate_wipes_or_moves_is_a_write_of_no_bytes(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "wiped"
    path.write_bytes(b"x" * 3 * 4096)
    with recording(tmp_path, WRITTEN) as finish:
        file = os.open(path, os.O_RDWR)
        refused = LIBC.fallocate(file, mode, ctypes.c_long(4096), ctypes.c_long(4096)) and ctypes.get_errno()
        os.posix_fallocate(file, 0, 4096)  # it is there already: nothing is changed
        os.close(file)
        told = finish()
    size = path.stat().st_size
    if refused:  # not every file system can do it
        assert written_to(path, told) == [{**first(path, size, "fallocate"), "error.type": errno.errorcode[refused]}]
    else:
        assert written_to(path, told) == [first(path, size, "fallocate"), total(path, size, 0, 1)]


def test_character_devices_are_not_told(tmp_path: Path) -> None:
    with recording(tmp_path, WRITTEN) as finish:
        file = os.open("/dev/full", os.O_WRONLY)
        with pytest.raises(OSError, match="No space"):
            os.write(file, b"x")
        os.close(file)
        told = finish()
    assert written_to(Path("/dev/full"), told) == []


PWRITE = 1  # enum in include/uapi/linux/aio_abi.h


def test_23_writes_by_io_submit_are_not_seen(tmp_path: Path) -> None:
    path, buffer, queue = tmp_path / "written", ctypes.create_string_buffer(b"0123456789", 10), ctypes.c_ulong()
    path.touch()
    with recording(tmp_path, WRITTEN) as finish:
        file = os.open(path, os.O_WRONLY)
        assert syscall(SYSCALLS["io_setup"], 1, ctypes.byref(queue)) == 0
        for number in range(N):
            places = (file, uring.address(buffer), 10, 10 * number)
            held = ctypes.create_string_buffer(struct.pack("<QIIHhIQQqQII", 0, 0, 0, PWRITE, 0, *places, 0, 0, 0), 64)
            listed = ctypes.create_string_buffer(struct.pack("<Q", uring.address(held)), 8)
            done = ctypes.create_string_buffer(32)
            assert syscall(SYSCALLS["io_submit"], queue, 1, listed) == 1
            assert syscall(SYSCALLS["io_getevents"], queue, 1, 1, done, None) == 1
        assert syscall(SYSCALLS["io_destroy"], queue) == 0
        os.close(file)
        told = finish()
    assert path.stat().st_size == 10 * N
    assert written_to(path, told) == []
