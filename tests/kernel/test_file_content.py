"""What is written to files, as the real probes tell of it, against workloads whose truth the test knows."""

import ctypes
import errno
import fcntl
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.probes.file_content import FILE_WRITE
from tests.kernel import uring
from tests.kernel.recorded import Told, attributes, recording, settings
from tests.kernel.stated import Attributes, of_file

pytestmark = pytest.mark.kernel

N = 23
WRITTEN = settings("file.write")
LIBC = ctypes.CDLL(None, use_errno=True)
F_ADD_SEALS, F_SEAL_WRITE, MFD_ALLOW_SEALING = 1033, 8, 2


def written_to(path: Path, told: Told, pid: int | None = None) -> list[Attributes]:
    """What was told of writing to one file, by one process, but how long it took."""
    events = [(event, attributes(event)) for event in told.of("file.write") if pid in (None, event.pid)]
    found = [values for _event, values in events if values["file.path"] == str(path)]
    for values in found:
        assert ("podwitness.file.duration_ns" in values) == (values["podwitness.file.write.phase"] == "total")
        values.pop("podwitness.file.duration_ns", None)
    return found


def first(path: Path, size: int, call: str = "write") -> Attributes:
    """The event of a first write, after which the file has this size."""
    told: Attributes = {"file.path": str(path), **of_file(path), "podwitness.syscall.name": call}
    return {**told, "file.size": size, "podwitness.file.write.phase": "first"}


def total(path: Path, size: int, written: int, writes: int) -> Attributes:
    """The event of the end, by the process that began."""
    told: Attributes = {"file.path": str(path), **of_file(path), "file.size": size}
    told |= {"podwitness.file.bytes_written": written, "podwitness.file.writes": writes}
    return {**told, "podwitness.file.write.phase": "total"}


def test_a_file_opened_and_written_to_23_times_tells_of_each_beginning_and_each_sum(tmp_path: Path) -> None:
    path = tmp_path / "written"
    expected: list[Attributes] = []
    with recording(tmp_path, WRITTEN) as finish:
        for number in range(1, N + 1):  # the kernel uses the same struct file again and again
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
            for _ in range(number):
                os.write(file, b"0123456789")
            os.close(file)
            expected += [first(path, 10), total(path, 10 * number, 10 * number, number)]
        told = finish()
    assert written_to(path, told, os.getpid()) == expected


def test_what_is_opened_and_not_written_to_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "untouched"
    path.write_bytes(b"old")
    with recording(tmp_path, WRITTEN) as finish:
        file = os.open(path, os.O_RDWR)
        os.write(file, b"")
        os.close(file)
        told = finish()
    assert written_to(path, told) == []


def test_each_call_that_writes_is_seen_and_counted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"0123456789")
    calls = ["write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "splice"]
    assert {*calls, "fallocate"} == set(FILE_WRITE.hooks[0].calls)
    with recording(tmp_path, WRITTEN) as finish:
        reader = os.open(source, os.O_RDONLY)
        for call in calls:
            file = os.open(tmp_path / call, os.O_RDWR | os.O_CREAT)
            os.lseek(reader, 0, os.SEEK_SET)
            assert _write_by(call, file, reader) == 10
            os.close(file)
        os.close(reader)
        told = finish()
    for call in calls:
        path = tmp_path / call
        assert written_to(path, told) == [first(path, 10, call), total(path, 10, 10, 1)]


def _write_by(call: str, file: int, reader: int) -> int:
    data = b"0123456789"
    if call == "splice":
        readable, writable = os.pipe()
        os.write(writable, data)
        os.close(writable)
        moved = os.splice(readable, file, 10)
        os.close(readable)
        return moved
    if call == "pwritev":  # the C library has pwritev2() for os.pwritev()
        vector = (ctypes.c_void_p * 2)(ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value, 10)
        return int(LIBC.syscall(296, file, vector, 1, 0, 0))
    ways: dict[str, Callable[[], int]] = {
        "write": lambda: os.write(file, data),
        "pwrite64": lambda: os.pwrite(file, data, 0),
        "writev": lambda: os.writev(file, [data[:4], data[4:]]),
        "pwritev2": lambda: os.pwritev(file, [data], 0, os.RWF_DSYNC),
        "sendfile": lambda: os.sendfile(file, reader, 0, 10),
        "copy_file_range": lambda: os.copy_file_range(reader, file, 10),
    }
    return ways[call]()


def test_23_writes_by_io_uring_are_seen_like_others(tmp_path: Path) -> None:
    with uring.ring() as ring:
        if ring is None:
            pytest.skip("this kernel has no io_uring, or does not allow it")
        with recording(tmp_path, WRITTEN) as finish:
            for number in range(N):
                file = os.open(tmp_path / str(number), os.O_WRONLY | os.O_CREAT)
                assert ring.write(file, b"0123456789") == 10
                os.close(file)
            told = finish()
    for number in range(N):
        path = tmp_path / str(number)
        assert written_to(path, told) == [first(path, 10, "io_uring_enter"), total(path, 10, 10, 1)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A block device of 1 MiB that nobody needs."""
    image = tmp_path / "disk"
    image.write_bytes(bytes(1 << 20))
    attached = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=False)
    if attached.returncode:
        pytest.skip(f"no loop device is to be had here: {attached.stderr}")
    yield Path(attached.stdout.strip())
    subprocess.run(["losetup", "--detach", attached.stdout.strip()], check=True)


def test_23_writes_to_a_disk_itself_are_told_without_a_size(tmp_path: Path, disk: Path) -> None:
    with recording(tmp_path, WRITTEN) as finish:
        for _ in range(N):
            file = os.open(disk, os.O_WRONLY)
            os.write(file, b"0123456789")
            os.close(file)
        told = written_to(disk, finish(), os.getpid())
    assert [event["podwitness.file.write.phase"] for event in told] == ["first", "total"] * N
    assert {event["podwitness.file.type"] for event in told} == {"block"}
    assert [event["podwitness.file.bytes_written"] for event in told[1::2]] == [10] * N
    assert not any("file.size" in event for event in told)


def test_the_sum_comes_with_the_last_descriptor_however_that_is_closed(tmp_path: Path) -> None:
    spare = os.open(os.devnull, os.O_RDONLY)
    closings: dict[str, Callable[[int], object]] = {
        "close": os.close,
        "dup2": lambda file: os.dup2(spare, file),
        "close_range": lambda file: LIBC.syscall(436, file, file, 0),
    }
    with recording(tmp_path, WRITTEN) as finish:
        for name, close in closings.items():
            file = os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT)
            os.write(file, b"0123456789")
            another = os.dup(file)
            close(file)
            os.write(another, b"0123456789")
            close(another)
        told = finish()
    os.close(spare)
    for name in closings:
        path = tmp_path / name
        assert written_to(path, told) == [first(path, 10), total(path, 20, 20, 2)]


def test_the_sum_of_23_processes_that_leave_their_files_to_the_kernel_comes_too(tmp_path: Path) -> None:
    with recording(tmp_path, WRITTEN) as finish:
        for number in range(N):  # two descriptors of one file, as `> file 2>&1` makes them
            with (tmp_path / str(number)).open("wb") as file:
                subprocess.run(["/bin/echo", "0123456789"], stdout=file, stderr=file, check=True)
                os.fsync(file.fileno())
        for number in range(N):
            command = f"exec >{tmp_path}/own{number} 2>&1; echo 0123456789"
            subprocess.run(["/bin/sh", "-c", command], check=True)
        told = finish()
    for number in range(N):
        inherited, own = tmp_path / str(number), tmp_path / f"own{number}"
        assert written_to(own, told) == [first(own, 11), total(own, 11, 11, 1)]
        begun, ended = written_to(inherited, told)
        assert begun == first(inherited, 11)
        assert ended.pop("podwitness.file.writer.pid") not in (None, os.getpid())
        assert ended == total(inherited, 11, 11, 1)


def test_a_write_that_is_refused_says_why_once_for_each_opening(tmp_path: Path) -> None:
    path = tmp_path / "limited"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    command = f"""
import os, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, {limit[1]}))
for number in range({N}):
    file = os.open({str(path)!r}, os.O_WRONLY | os.O_CREAT)
    for _ in range(3):
        try:
            os.write(file, b"x")
        except OSError as error:
            assert error.errno == {errno.EFBIG}
    os.close(file)
"""
    with recording(tmp_path, WRITTEN) as finish:
        subprocess.run([sys.executable, "-S", "-c", command], check=True)
        told = finish()
    assert written_to(path, told) == [{**first(path, 0), "error.type": "EFBIG"}] * N


def test_pipes_terminals_and_files_of_proc_are_no_regular_files(tmp_path: Path) -> None:
    readable, writable = os.pipe()
    master, terminal = os.openpty()
    with recording(tmp_path, WRITTEN) as finish:
        os.write(writable, b"x")
        os.write(terminal, b"x")
        Path("/proc/self/comm").write_text("pytest")
        told = finish()
    for file in (readable, writable, master, terminal):
        os.close(file)
    assert [event for event in told.of("file.write") if event.pid == os.getpid()] == []


def test_a_sealed_file_in_memory_refuses_a_write(tmp_path: Path) -> None:
    file = os.memfd_create("sealed", MFD_ALLOW_SEALING)
    fcntl.fcntl(file, F_ADD_SEALS, F_SEAL_WRITE)
    with recording(tmp_path, WRITTEN) as finish:
        with pytest.raises(PermissionError):
            os.write(file, b"x")
        os.close(file)
        told = [attributes(event) for event in finish().of("file.write") if event.pid == os.getpid()]
    assert [(event["file.path"], event["error.type"]) for event in told] == [("/memfd:sealed", "EPERM")]
