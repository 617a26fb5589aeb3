"""Ways round the observation of opens, each tried: what is told all the same, and what is not."""

import ctypes
import errno
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.probes.words import SYSCALLS
from tests.kernel import uring
from tests.kernel.changes import AT_FDCWD, Facts, ours, syscall, told_of
from tests.kernel.recorded import opens_only, recording
from tests.waiting import wait_for

pytestmark = pytest.mark.kernel

N = 23
RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH = 0x04, 0x08


def opens(folder: Path, does: Callable[[], None], name: str) -> list[Facts]:
    """What is told of the opens of a file called so."""
    return [event for event in told_of("file.open", folder, does) if str(event.get("file.path", "")).endswith(name)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "watched"
    path.touch()
    return path


@pytest.mark.parametrize("resolve", [0, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH])
def test_openat2_is_seen_whatever_it_is_told_to_resolve(tmp_path: Path, file: Path, resolve: int) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    how = ctypes.create_string_buffer(struct.pack("<QQQ", os.O_WRONLY | os.O_CLOEXEC, 0, resolve), 24)

    def open_them() -> None:
        for _ in range(N):
            os.close(syscall(SYSCALLS["openat2"], directory, file.name.encode(), how, 24))

    told = opens(tmp_path, open_them, "/watched")
    os.close(directory)
    assert [(event["file.path"], event["podwitness.file.flags"]) for event in told] == [
        (str(file), "O_WRONLY|O_CLOEXEC")
    ] * N
    assert {event["podwitness.syscall.name"] for event in told} == {"openat2"}


def test_an_open_that_resolve_forbids_is_refused_and_told(tmp_path: Path, file: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    how = ctypes.create_string_buffer(struct.pack("<QQQ", os.O_RDONLY, 0, RESOLVE_BENEATH), 24)
    results = []

    def open_it() -> None:
        results.append(syscall(SYSCALLS["openat2"], directory, str(file).encode(), how, 24))

    told = [event for event in opens(tmp_path, open_it, "/watched") if "error.type" in event]
    os.close(directory)
    assert results == [-18]
    assert [event["error.type"] for event in told] == ["EXDEV"]


def test_flags_that_are_rewritten_behind_an_open_are_the_files_own(tmp_path: Path) -> None:
    """Opening a pipe for writing waits for its reader: time enough to make it look as if it had been for reading."""
    pipe = tmp_path / "watched"
    os.mkfifo(pipe)
    writes = opens_only(files={"access": ["write"], "paths": {"include": [str(pipe)]}})
    with recording(tmp_path, writes) as finish:
        for _ in range(N):
            how = ctypes.create_string_buffer(struct.pack("<QQQ", os.O_WRONLY | os.O_CLOEXEC, 0, 0), 24)
            opened: list[int] = []
            thread = threading.Thread(target=lambda: opened.append(_openat2(pipe, how)))  # noqa: B023 (joined here)
            thread.start()
            wait_for(lambda: _call_of(thread) == SYSCALLS["openat2"], "the open waits")  # noqa: B023
            struct.pack_into("<Q", how, 0, os.O_RDONLY)
            os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
            thread.join()
            os.close(*opened)
        told = ours(finish(), "file.open")
    assert [(event["file.path"], event["podwitness.file.flags"]) for event in told] == [(str(pipe), "O_WRONLY")] * N


def _openat2(path: Path, how: object) -> int:
    return syscall(SYSCALLS["openat2"], AT_FDCWD, str(path).encode(), how, 24)


def _call_of(thread: threading.Thread) -> int:
    """The number of the system call that a thread waits in; -1 where it does not wait."""
    word = Path(f"/proc/self/task/{thread.native_id}/syscall").read_text().split()[0]
    return int(word) if word.isdigit() else -1


def test_an_open_by_handle_has_the_path_of_its_file(tmp_path: Path, file: Path) -> None:
    handle = ctypes.create_string_buffer(struct.pack("<Ii", 128, 0), 136)  # struct file_handle
    mount = ctypes.c_int()
    directory = os.open(tmp_path, os.O_RDONLY)
    found = syscall(SYSCALLS["name_to_handle_at"], AT_FDCWD, str(file).encode(), handle, ctypes.byref(mount), 0)
    if found < 0:
        pytest.skip(f"this file system gives no handles: {os.strerror(-found)}")

    def open_them() -> None:
        for _ in range(N):
            os.close(syscall(SYSCALLS["open_by_handle_at"], directory, handle, os.O_RDONLY))

    told = opens(tmp_path, open_them, "/watched")
    os.close(directory)
    assert [event["podwitness.syscall.name"] for event in told] == ["open_by_handle_at"] * N
    assert {event["file.path"] for event in told} == {str(file)}


def test_an_open_by_io_uring_has_the_path_of_its_file(tmp_path: Path, file: Path) -> None:
    path = ctypes.create_string_buffer(str(file).encode())
    with uring.ring() as ring:
        if ring is None:
            pytest.skip("this kernel has no io_uring for us")

        def open_them() -> None:
            for _ in range(N):
                fd = ring.do(uring.OPENAT, AT_FDCWD, address=uring.address(path), flags=os.O_RDWR)
                assert fd >= 0
                os.close(fd)

        told = opens(tmp_path, open_them, "/watched")
    assert [event["podwitness.syscall.name"] for event in told] == ["io_uring_enter"] * N
    assert {(event["file.path"], event["podwitness.file.flags"]) for event in told} == {(str(file), "O_RDWR")}
    assert {event["file.inode"] for event in told} == {str(file.stat().st_ino)}


def test_an_open_that_io_uring_is_refused_is_told_with_its_reason(tmp_path: Path) -> None:
    path = ctypes.create_string_buffer(str(tmp_path / "absent").encode())
    with uring.ring() as ring:
        if ring is None:
            pytest.skip("this kernel has no io_uring for us")

        def open_them() -> None:
            for _ in range(N):
                assert ring.do(uring.OPENAT, AT_FDCWD, address=uring.address(path)) == -errno.ENOENT

        told = told_of("file.open", tmp_path, open_them)
    refused = [event for event in told if event["podwitness.syscall.name"] == "io_uring_enter"]
    assert [event.get("error.type") for event in refused] == ["ENOENT"] * N


@pytest.mark.parametrize(("name", "slot"), [("watched", 1), ("absent", 0)])
def test_an_open_by_io_uring_whose_path_is_not_known_passes_rules_on_paths(
    tmp_path: Path, file: Path, name: str, slot: int
) -> None:
    """One without a descriptor, or one that is refused: only where do_filp_open() is seen have these a path."""
    path = ctypes.create_string_buffer(str(file.with_name(name)).encode())
    rules = opens_only(files={"paths": {"include": [f"{tmp_path}/"]}})
    with uring.ring() as ring:
        if ring is None:
            pytest.skip("this kernel has no io_uring for us")
        ring.make_slots(1)
        with recording(tmp_path, rules) as finish:
            for _ in range(N):
                ring.do(uring.OPENAT, AT_FDCWD, address=uring.address(path), other=slot)
            told = ours(finish(), "file.open")
    by_ring = [event for event in told if event["podwitness.syscall.name"] == "io_uring_enter"]
    assert [event.get("file.path", path.value.decode()) for event in by_ring] == [path.value.decode()] * N


def test_a_symbolic_link_that_is_swapped_all_the_time_does_not_hide_which_file_it_was(tmp_path: Path) -> None:
    """The path is the opened file's own: each event's path and inode are of the same file, whichever it was."""
    files = [tmp_path / "one", tmp_path / "other"]
    for path in files:
        path.touch()
    link, new = tmp_path / "link", tmp_path / "new"
    link.symlink_to("one")
    ended = threading.Event()

    def swap() -> None:
        for turn in range(1_000_000):
            new.symlink_to(files[turn % 2].name)
            new.rename(link)
            if ended.is_set():
                return

    def open_them() -> None:
        swapper = threading.Thread(target=swap)
        swapper.start()
        for _ in range(2_000):
            os.close(os.open(link, os.O_RDONLY))
        ended.set()
        swapper.join()

    truth = {str(path.stat().st_ino): str(path) for path in files}
    told = [event for event in told_of("file.open", tmp_path, open_them) if event.get("file.inode") in truth]
    assert len(told) == 2_000
    assert all(truth[str(event["file.inode"])] == event["file.path"] for event in told)


def test_a_path_that_is_changed_behind_a_refusal_is_marked_as_what_was_asked_for(tmp_path: Path) -> None:
    told = told_of("file.open", tmp_path, lambda: _refused(tmp_path / "no" / ".." / "watched"))
    (refused,) = [event for event in told if event.get("error.type") == "ENOENT" and "/no/" in str(event["file.path"])]
    assert refused["podwitness.file.path_unresolved"] is True


def _refused(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        os.open(path, os.O_RDONLY)
