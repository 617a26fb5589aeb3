"""Files below mounts: a path is the one by which the process reached the file, not where its bytes are."""

# Each system call by its own name:
# ruff: noqa: PTH101, PTH108

import ctypes
import mmap
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.changes import LIBC, N, ours
from tests.kernel.hooks import is_noted
from tests.kernel.recorded import Told, recording, settings

pytestmark = pytest.mark.kernel

CLONE_NEWNS, BIND, PRIVATE = 0x20000, 0x1000, 1 << 18 | 1 << 14
REFUSED = 77


def mount(source: str, target: Path, kind: str, flags: int = 0, options: str = "") -> None:
    arguments = (source.encode(), bytes(target), kind.encode(), ctypes.c_ulong(flags), options.encode())
    if LIBC.mount(*arguments) < 0:
        os._exit(REFUSED)


def told_of_child(folder: Path, prepare: Callable[[], None], does: Callable[[], None]) -> tuple[Told, int]:
    """What is told of a child with mounts of its own, which are gone with it."""
    with recording(folder, settings("file.delete", "file.chmod", "file.xattr", "file.mmap")) as finish:
        child = os.fork()
        if not child:
            assert LIBC.unshare(CLONE_NEWNS) == 0
            mount("none", Path("/"), "", PRIVATE)
            prepare()
            does()
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == REFUSED:
            pytest.skip("this kernel does not let us mount it")
        assert status == 0
        return finish(), child


def test_overlay_shows_the_merged_path_once(tmp_path: Path) -> None:
    base, merged = tmp_path / "base", tmp_path / "base" / "merged"
    base.mkdir()

    def prepare() -> None:
        mount("tmpfs", base, "tmpfs")
        for name in ("lower", "upper", "work", "merged"):
            (base / name).mkdir()
        for number in range(N):
            (base / "lower" / f"f{number}").touch()
        options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
        mount("overlay", merged, "overlay", 0, options)

    def change() -> None:
        for number in range(N):
            path = merged / f"f{number}"
            os.chmod(path, 0o600)  # copies it up
            os.setxattr(path, "trusted.told", b"1")
            os.removexattr(path, "trusted.told")
            with path.open("r+b") as file:
                os.truncate(file.fileno(), 1)
                mmap.mmap(file.fileno(), 1).close()  # of the layer below, to the kernel
            os.unlink(path)

    told, child = told_of_child(tmp_path, prepare, change)
    paths = [f"{merged}/f{number}" for number in range(N)]
    assert [event["file.path"] for event in ours(told, "file.chmod", child)] == paths
    assert [event["file.path"] for event in ours(told, "file.delete", child)] == paths
    assert [event["file.path"] for event in ours(told, "file.xattr", child)] == [p for p in paths for _ in range(2)]
    assert [event["file.path"] for event in ours(told, "file.mmap", child)] == paths
    for kind in ("file.chmod", "file.delete", "file.xattr"):
        marks = {event.get("podwitness.file.path_unresolved", False) for event in ours(told, kind, child)}
        assert marks == {not is_noted(kind)}


def test_a_file_reached_through_a_bind_mount_has_that_path(tmp_path: Path) -> None:
    real, bound = tmp_path / "real", tmp_path / "bound"
    real.mkdir()
    bound.mkdir()
    (real / "file").touch()

    def change() -> None:
        os.chdir(bound)
        os.chmod("file", 0o600)
        os.setxattr("file", "trusted.told", b"1")
        os.unlink("../bound/file")

    told, child = told_of_child(tmp_path, lambda: mount(str(real), bound, "", BIND), change)
    (mode,) = ours(told, "file.chmod", child)
    (attribute,) = ours(told, "file.xattr", child)
    (deleted,) = ours(told, "file.delete", child)
    assert mode["file.path"] == attribute["file.path"] == f"{bound}/file"
    assert deleted["file.path"] == (f"{bound}/file" if is_noted("file.delete") else f"{bound}/../bound/file")
