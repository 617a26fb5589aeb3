"""Memory that can be executed, and files that only memory has, as the real probes tell of them."""

import ctypes
import errno
import mmap
import os
import threading
from pathlib import Path

import pytest

from tests.kernel.recorded import Told, attributes, recording, settings
from tests.kernel.stated import Attributes, of_file

pytestmark = pytest.mark.kernel

N = 23
MAPPED, MEMORY = settings("file.mmap"), settings("file.memfd")
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
LIBC.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
PAGE = mmap.PAGESIZE
READ, WRITE, EXEC = mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_EXEC
MAP_FAILED, MAP_SHARED_VALIDATE = 2**64 - 1, 3
MEMFD_SECRET = 447


def mapped(told: Told) -> list[Attributes]:
    """What was told of our memory."""
    return [attributes(event) for event in told.of("file.mmap") if event.pid == os.getpid()]


def test_23_executable_mappings_of_a_file_are_23_events_with_what_the_process_sees(tmp_path: Path) -> None:
    path = tmp_path / "code"
    path.write_bytes(bytes(2 * PAGE))
    addresses = []
    with path.open("rb") as file, recording(tmp_path, MAPPED) as finish:
        for _ in range(N):
            addresses.append(LIBC.mmap(None, 2 * PAGE, READ | EXEC, mmap.MAP_PRIVATE, file.fileno(), 0))
        LIBC.mmap(None, PAGE, READ, mmap.MAP_PRIVATE, file.fileno(), 0)  # not executable
        told = mapped(finish())
        maps = Path("/proc/self/maps").read_text()
    # Neighbours of the same file are told apart by their offsets: /proc has a line for each.
    for address in addresses:
        assert any(line.startswith(f"{address:x}-{address + 2 * PAGE:x} r-xp") for line in maps.splitlines())
    assert told == [
        {
            "file.path": str(path),
            **of_file(path),
            "podwitness.memory.address": f"{address:#x}",
            "podwitness.memory.length": 2 * PAGE,
            "podwitness.memory.prot": "PROT_READ|PROT_EXEC",
            "podwitness.memory.flags": "MAP_PRIVATE",
            "podwitness.syscall.name": "mmap",
        }
        for address in addresses
    ]


def test_memory_to_write_and_execute_at_once_needs_no_file(tmp_path: Path) -> None:
    with recording(tmp_path, MAPPED) as finish:
        address = LIBC.mmap(None, PAGE, READ | WRITE | EXEC, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        told = mapped(finish())
    LIBC.munmap(address, PAGE)
    assert told == [
        {
            "podwitness.memory.address": f"{address:#x}",
            "podwitness.memory.length": PAGE,
            "podwitness.memory.prot": "PROT_READ|PROT_WRITE|PROT_EXEC",
            "podwitness.memory.flags": "MAP_PRIVATE|MAP_ANONYMOUS",
            "podwitness.syscall.name": "mmap",
        }
    ]


@pytest.mark.parametrize("call", ["mprotect", "pkey_mprotect"])
def test_memory_that_is_written_first_and_executable_then_is_told_with_its_file(tmp_path: Path, call: str) -> None:
    path = tmp_path / "code"
    path.write_bytes(bytes(PAGE))
    number = {"mprotect": 10, "pkey_mprotect": 329}[call]
    with path.open("rb") as file, recording(tmp_path, MAPPED) as finish:
        clean, changed = (LIBC.mmap(None, PAGE, READ | WRITE, mmap.MAP_PRIVATE, file.fileno(), 0) for _ in range(2))
        ctypes.memset(changed, 1, 1)
        for address in (clean, changed):
            assert LIBC.syscall(number, ctypes.c_void_p(address), ctypes.c_size_t(PAGE), READ | EXEC, -1) == 0
        told = mapped(finish())
    for address in (clean, changed):
        LIBC.munmap(address, PAGE)
    said: Attributes = {
        "file.path": str(path),
        **of_file(path),
        "podwitness.memory.length": PAGE,
        "podwitness.memory.prot": "PROT_READ|PROT_EXEC",
        "podwitness.memory.flags": "MAP_PRIVATE",
        "podwitness.syscall.name": call,
    }
    assert told == [
        {**said, "podwitness.memory.address": f"{clean:#x}"},
        {**said, "podwitness.memory.address": f"{changed:#x}", "podwitness.memory.modified": True},
    ]


def test_a_mapping_that_is_refused_says_why(tmp_path: Path) -> None:
    path = tmp_path / "code"
    path.write_bytes(bytes(PAGE))
    with path.open("rb") as file, recording(tmp_path, MAPPED) as finish:
        for _ in range(N):
            refused = LIBC.mmap(None, PAGE, WRITE | EXEC, mmap.MAP_SHARED, file.fileno(), 0)
            assert (refused, ctypes.get_errno()) == (MAP_FAILED, errno.EACCES)
        told = mapped(finish())
    said: Attributes = {
        "file.path": str(path),
        **of_file(path),
        "podwitness.memory.length": PAGE,
        "podwitness.memory.prot": "PROT_WRITE|PROT_EXEC",
        "podwitness.memory.flags": "MAP_SHARED",
        "podwitness.syscall.name": "mmap",
        "error.type": "EACCES",
    }
    assert told == [said] * N


def shared(path: Path | int, call: str) -> Attributes:
    """What is told of a page of a file that is mapped to be written to."""
    return {
        **of_file(path),
        "podwitness.memory.length": PAGE,
        "podwitness.memory.prot": "PROT_READ|PROT_WRITE",
        "podwitness.memory.flags": "MAP_SHARED",
        "podwitness.syscall.name": call,
        **({"file.path": str(path)} if isinstance(path, Path) else {}),
    }


def test_23_files_that_are_mapped_to_be_written_to_are_told(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(PAGE))
    memory = os.memfd_create("data")
    os.ftruncate(memory, PAGE)
    mappings: list[tuple[int, int]] = []
    with path.open("r+b") as file, recording(tmp_path, MAPPED) as finish:
        for flags, one in ((mmap.MAP_SHARED, file.fileno()), (MAP_SHARED_VALIDATE, file.fileno())):
            mappings += ((LIBC.mmap(None, PAGE, READ | WRITE, flags, one, 0), flags) for _ in range(N))
        in_memory = LIBC.mmap(None, PAGE, READ | WRITE, mmap.MAP_SHARED, memory, 0)
        later = LIBC.mmap(None, PAGE, READ, mmap.MAP_SHARED, file.fileno(), 0)
        assert LIBC.mprotect(later, PAGE, READ | WRITE) == 0
        LIBC.mmap(None, PAGE, READ | WRITE, mmap.MAP_PRIVATE, file.fileno(), 0)  # nobody sees what is written here
        told = mapped(finish())
    names = {mmap.MAP_SHARED: "MAP_SHARED", MAP_SHARED_VALIDATE: "MAP_SHARED_VALIDATE"}
    assert told == [
        *(
            shared(path, "mmap") | {"podwitness.memory.address": f"{at:#x}", "podwitness.memory.flags": names[flags]}
            for at, flags in mappings
        ),
        shared(memory, "mmap") | {"podwitness.memory.address": f"{in_memory:#x}", "file.path": "/memfd:data"},
        shared(path, "mprotect") | {"podwitness.memory.address": f"{later:#x}"},
    ]
    os.close(memory)


def test_23_files_that_may_not_be_mapped_to_be_written_to_are_told_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(PAGE))
    with path.open("rb") as file, recording(tmp_path, MAPPED) as finish:
        for _ in range(N):
            assert LIBC.mmap(None, PAGE, READ | WRITE, mmap.MAP_SHARED, file.fileno(), 0) == MAP_FAILED
        at = LIBC.mmap(None, PAGE, READ, mmap.MAP_SHARED, file.fileno(), 0)
        assert LIBC.mprotect(at, PAGE, READ | WRITE) == -1
        told = mapped(finish())
    refused: Attributes = {"error.type": "EACCES"}
    assert told == [
        *([shared(path, "mmap") | refused] * N),
        shared(path, "mprotect") | refused | {"podwitness.memory.address": f"{at:#x}"},
    ]


def test_shared_memory_of_no_file_is_told_only_where_it_is_executable_and_then_without_one(tmp_path: Path) -> None:
    zero = os.open("/dev/zero", os.O_RDWR)
    with recording(tmp_path, MAPPED) as finish:
        for flags, file in ((mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, -1), (mmap.MAP_SHARED, zero)):
            at = LIBC.mmap(None, PAGE, READ | WRITE, flags, file, 0)
            assert LIBC.mprotect(at, PAGE, READ) == LIBC.mprotect(at, PAGE, READ | WRITE) == 0
            assert LIBC.mprotect(at, PAGE, READ | EXEC) == 0
        told = mapped(finish())
    os.close(zero)
    assert [event["podwitness.memory.prot"] for event in told] == ["PROT_READ|PROT_EXEC"] * 2
    assert [event["podwitness.memory.flags"] for event in told] == ["MAP_SHARED|MAP_ANONYMOUS"] * 2
    assert not any("file.path" in event for event in told)


def test_a_descriptor_that_is_exchanged_while_it_is_mapped_blames_nobody_else(tmp_path: Path) -> None:
    code, decoy = tmp_path / "code", tmp_path / "decoy"
    size = 128 << 20
    for path in (code, decoy):
        path.touch()
        os.truncate(path, size)
    over, exchanged = threading.Event(), list[bool]()

    def exchange(file: int, other: int) -> None:
        while str(code) not in Path("/proc/self/maps").read_text():
            pass
        os.dup2(other, file)
        exchanged.append(not over.is_set())

    with recording(tmp_path, MAPPED) as finish:
        file, other = os.open(code, os.O_RDONLY), os.open(decoy, os.O_RDONLY)
        exchanger = threading.Thread(target=exchange, args=(file, other))
        exchanger.start()
        at = LIBC.mmap(None, size, READ | EXEC, mmap.MAP_PRIVATE | mmap.MAP_POPULATE, file, 0)
        over.set()
        exchanger.join()
        told = mapped(finish())
    LIBC.munmap(at, size)
    os.close(file)
    os.close(other)
    assert exchanged == [True]
    assert [event["file.path"] for event in told] == [str(code)]


def test_23_files_in_memory_are_23_events_with_their_names(tmp_path: Path) -> None:
    files, expected = [], []
    with recording(tmp_path, MEMORY) as finish:
        for number in range(N):
            file = os.memfd_create(f"payload {number}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            files.append(file)
            expected.append(
                {
                    "file.path": f"/memfd:payload {number}",
                    "podwitness.memfd.name": f"payload {number}",
                    **of_file(file),
                    "podwitness.memfd.flags": "MFD_CLOEXEC|MFD_ALLOW_SEALING",
                    "podwitness.syscall.name": "memfd_create",
                }
            )
        told = [attributes(event) for event in finish().of("file.memfd") if event.pid == os.getpid()]
    for file in files:
        os.close(file)
    assert told == expected


def test_a_file_in_memory_that_is_refused_tells_what_was_asked_for(tmp_path: Path) -> None:
    with recording(tmp_path, MEMORY) as finish:
        for _ in range(N):
            with pytest.raises(OSError, match="Invalid argument"):
                os.memfd_create("payload", 0x800)
        told = [attributes(event) for event in finish().of("file.memfd") if event.pid == os.getpid()]
    said: Attributes = {
        "podwitness.memfd.name": "payload",
        "podwitness.memfd.flags": "0x800",
        "podwitness.syscall.name": "memfd_create",
        "error.type": "EINVAL",
    }
    assert told == [said] * N


def test_secret_memory_is_told_or_why_the_kernel_has_none(tmp_path: Path) -> None:
    with recording(tmp_path, MEMORY) as finish:
        file = LIBC.syscall(MEMFD_SECRET, os.O_CLOEXEC)
        refused = errno.errorcode[ctypes.get_errno()] if file < 0 else None
        told = [attributes(event) for event in finish().of("file.memfd") if event.pid == os.getpid()]
    if file >= 0:
        os.close(file)
    assert [(event["podwitness.syscall.name"], event["podwitness.memfd.flags"]) for event in told] == [
        ("memfd_secret", "MFD_CLOEXEC")
    ]
    assert told[0].get("error.type") == refused
    assert ("file.path" in told[0]) == (refused is None)
