"""Calls by the kernel's other tables, from a process of 64 bits: int 0x80, and the numbers of x32."""

import ctypes
import errno
import mmap
import os
from pathlib import Path

import pytest

from exporter.probes.words import SYSCALLS, SYSCALLS_I386
from tests.kernel.calls import call, in_child
from tests.kernel.changes import LIBC, Facts, N, ours, syscall, told_of
from tests.kernel.recorded import recording, settings
from tests.kernel.stated import of_file

pytestmark = pytest.mark.kernel

X32_BIT, NOBODY_16, MAP_32BIT = 0x40000000, 0xFFFF, 0x40
READ_EXEC, PRIVATE = mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE
PAGE = mmap.PAGESIZE
CLONE_NEWNS, MS_PRIVATE = 0x20000, 1 << 18 | 1 << 14
# The number and five arguments from where functions have them to eax, ebx, ecx, edx, esi, edi; ebp is 0.
INT80 = bytes.fromhex("53 55 31ed 89f8 89f3 87d1 4489c6 4489cf cd80 5d 5b c3")


class Low:
    """Memory below 4 GiB: the call, and what it is given by its address."""

    def __init__(self) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_32BIT
        self._memory = mmap.mmap(-1, PAGE, flags, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._at = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._memory[: len(INT80)] = INT80
        self._call = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_uint] * 6)(self._at)

    def put(self, data: bytes) -> int:
        """The address of a copy, good until the next one."""
        self._memory[1024 : 1024 + len(data) + 1] = data + b"\0"
        return self._at + 1024

    def call(self, name: str, *arguments: int) -> int:
        """What the kernel returns, minus errno where it refuses."""
        return int(self._call(SYSCALLS_I386[name], *arguments, *[0] * (5 - len(arguments))))


@pytest.fixture
def low(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Low:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(bytes(PAGE))
    low = Low()
    if low.call("getpid") != os.getpid():
        pytest.skip("this kernel has no 32-bit table")
    return low


def test_a_length_of_two_registers_is_told_whole(tmp_path: Path, low: Low) -> None:
    length = (1 << 32) + 1
    file = os.open("file", os.O_RDWR)

    def truncate() -> None:
        for _ in range(N):
            assert low.call("truncate64", low.put(b"file"), length & 0xFFFFFFFF, length >> 32) == 0
            assert low.call("ftruncate64", file, length & 0xFFFFFFFF, length >> 32) == 0

    told = told_of("file.truncate", tmp_path, truncate)
    assert os.fstat(file).st_size == length
    os.close(file)
    assert [event["file.size"] for event in told] == [length] * 2 * N


def test_ids_of_16_bits_have_one_too_that_changes_nothing(tmp_path: Path, low: Low) -> None:
    file = os.open("file", os.O_RDWR)

    def chown() -> None:
        path = low.put(b"file")
        for name, what in (("chown", path), ("lchown", path), ("fchown", file)):
            assert low.call(name, what, NOBODY_16, NOBODY_16) == 0
            assert low.call(name, what, 0, NOBODY_16) == 0
        assert low.call("chown32", path, NOBODY_16, 0) == 0

    told = told_of("file.chown", tmp_path, chown)
    os.close(file)
    owners = [event.get("file.owner.id", "0") for event in told]
    assert owners == ["0", "0"] * 3 + [str(NOBODY_16)]
    assert {event.get("file.group.id", "0") for event in told} == {"0"}


def test_ids_of_16_bits_that_a_process_asks_for_are_told_as_wide_ones(tmp_path: Path, low: Low) -> None:
    def ask() -> None:
        call("setresuid", 1, 1, 1)
        for _ in range(N):
            assert low.call("setreuid", NOBODY_16, 0) == -errno.EPERM

    with recording(tmp_path, settings("privilege.setuid")) as finish:
        child = in_child(ask)
        told = ours(finish(), "privilege.setuid", child)
    asked = "podwitness.cred.requested."
    assert [{name: event[name] for name in event if name.startswith(asked)} for event in told[1:]] == [
        {f"{asked}user.id": 0}
    ] * N


def test_umount_without_flags_is_umount2(tmp_path: Path, low: Low) -> None:
    place = tmp_path / "place"
    place.mkdir()

    def unmount() -> None:
        assert LIBC.unshare(CLONE_NEWNS) == 0
        assert LIBC.mount(b"none", b"/", b"", ctypes.c_ulong(MS_PRIVATE), None) == 0
        for _ in range(N):
            assert LIBC.mount(b"none", bytes(place), b"tmpfs", ctypes.c_ulong(0), None) == 0
            assert low.call("umount", low.put(bytes(place)), 0xFFFF) == 0  # the second is not looked at

    with recording(tmp_path, settings("filesystem.unmount")) as finish:
        child = in_child(unmount)
        told = ours(finish(), "filesystem.unmount", child)
    assert [event["podwitness.syscall.name"] for event in told] == ["umount2"] * N
    assert not any("error.type" in event or "podwitness.mount.unmount_flags" in event for event in told)


def test_sendfile64_writes_too(tmp_path: Path, low: Low) -> None:
    source, target = os.open("file", os.O_RDONLY), os.open("target", os.O_WRONLY | os.O_CREAT)
    told = told_of("file.write", tmp_path, lambda: _sent(low.call("sendfile64", target, source, 0, 10)))
    os.close(source)
    os.close(target)
    assert [event["podwitness.syscall.name"] for event in told if event["file.path"] == f"{tmp_path}/target"] == [
        "sendfile"
    ]


def _sent(written: int) -> None:
    assert written == 10


def test_both_calls_that_map_are_seen(tmp_path: Path, low: Low) -> None:
    file = os.open("file", os.O_RDONLY)
    addresses = []

    def map_it() -> None:
        for _ in range(N):
            addresses.append(low.call("mmap2", 0, PAGE, READ_EXEC, PRIVATE, file))
            words = [0, PAGE, READ_EXEC, PRIVATE, file, 0]
            addresses.append(low.call("mmap", low.put(b"".join(word.to_bytes(4, "little") for word in words))))

    told = told_of("file.mmap", tmp_path, map_it)
    known: Facts = {"file.path": f"{tmp_path}/file", **of_file(file), "podwitness.memory.length": PAGE}
    os.close(file)
    known |= {"podwitness.memory.prot": "PROT_READ|PROT_EXEC", "podwitness.memory.flags": "MAP_PRIVATE"}
    assert told == [
        known | {"podwitness.memory.address": f"{at & 0xFFFFFFFF:#x}", "podwitness.syscall.name": "mmap"}
        for at in addresses
    ]


def test_the_numbers_of_x32_are_those_of_64_bits_with_a_bit(tmp_path: Path, low: Low) -> None:
    results = []

    def open_it() -> None:
        for _ in range(N):
            results.append(syscall(X32_BIT | SYSCALLS["open"], b"file", os.O_RDONLY))

    told = [event for event in told_of("file.open", tmp_path, open_it) if str(event["file.path"]).endswith("/file")]
    for result in results:
        if result >= 0:
            os.close(result)
    assert set(results) == {-errno.ENOSYS} or min(results) >= 0  # most kernels are built without, or do not allow it
    assert [event.get("error.type") for event in told] == ["ENOSYS" if result < 0 else None for result in results]


IGNORED = 1 << 32  # the kernel takes the lower half of the register
AT_FDCWD, KEEPCAPS = -100, 8


def test_23_calls_whose_numbers_have_bits_that_the_kernel_ignores(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()

    def open_it() -> None:
        for _ in range(N):
            os.close(syscall(IGNORED | SYSCALLS["openat"], AT_FDCWD, str(path).encode(), os.O_RDONLY))

    told = [event for event in told_of("file.open", tmp_path, open_it) if event["file.path"] == str(path)]
    assert [event["podwitness.syscall.name"] for event in told] == ["openat"] * N


def test_23_options_of_prctl_that_have_bits_which_the_kernel_ignores(tmp_path: Path) -> None:
    def keep() -> None:
        for _ in range(N):
            assert syscall(SYSCALLS["prctl"], ctypes.c_long(IGNORED | KEEPCAPS), 0) == 0

    told = told_of("privilege.prctl", tmp_path, keep)
    assert [event["podwitness.prctl.option"] for event in told] == ["PR_SET_KEEPCAPS"] * N
