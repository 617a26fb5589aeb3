"""Files changed by io_uring: no system call of that name ends, so only hooks in the middle see it."""

import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import uring
from tests.kernel.changes import AT_FDCWD, Facts, N, file_facts, ours, told_of
from tests.kernel.hooks import is_noted
from tests.kernel.recorded import recording, settings

pytestmark = pytest.mark.kernel

SEEN: Facts = {"podwitness.io_uring": True}


def text(value: str) -> "ctypes.Array[ctypes.c_char]":
    return ctypes.create_string_buffer(value.encode())


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[uring.Uring]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    try:
        opened = uring.Uring()
    except OSError as error:
        pytest.skip(f"this kernel lets us have no io_uring: {error}")
    with opened:
        yield opened


def names(ring: uring.Uring, operation: int, old: str, new: str) -> int:
    """Operations with two paths."""
    first, second = text(old), text(new)
    return ring.do(operation, AT_FDCWD, uring.address(second), uring.address(first), AT_FDCWD & 0xFFFFFFFF)


def test_23_deletions_by_io_uring_are_told_without_a_result(tmp_path: Path, ring: uring.Uring) -> None:
    for number in range(N):
        (tmp_path / f"f{number}").touch()
    truths = [file_facts(f"f{number}") for number in range(N)]

    def remove() -> None:
        for number in range(N):
            path = text(f"f{number}")
            assert ring.do(uring.UNLINKAT, AT_FDCWD, address=uring.address(path)) == 0

    told = told_of("file.delete", tmp_path, remove)
    assert not list(tmp_path.glob("f[0-9]*"))
    if is_noted("file.delete"):
        assert told == [truths[number] | SEEN | {"file.path": f"{tmp_path}/f{number}"} for number in range(N)]
    else:
        assert told == []


def test_renames_and_links_by_io_uring(tmp_path: Path, ring: uring.Uring) -> None:
    truth = file_facts("file")
    with recording(tmp_path, settings("file.rename", "file.link")) as finish:
        assert names(ring, uring.RENAMEAT, "file", "moved") == 0
        assert names(ring, uring.LINKAT, "moved", "hard") == 0
        target, path = text("../else"), text("soft")
        assert ring.do(uring.SYMLINKAT, AT_FDCWD, uring.address(path), uring.address(target)) == 0
        told = finish()
    if not is_noted("file.rename"):
        assert ours(told, "file.rename") == ours(told, "file.link") == []
        return
    moved: Facts = {"file.path": f"{tmp_path}/moved", "podwitness.file.original.path": f"{tmp_path}/file"}
    assert ours(told, "file.rename") == [truth | SEEN | moved]
    hard: Facts = {"file.path": f"{tmp_path}/hard", "podwitness.file.original.path": f"{tmp_path}/moved"}
    soft: Facts = {"file.path": f"{tmp_path}/soft", "file.symbolic_link.target_path": "../else"}
    assert ours(told, "file.link") == [truth | SEEN | hard, SEEN | soft | {"podwitness.file.type": "symlink"}]


def test_attributes_and_sizes_by_io_uring(tmp_path: Path, ring: uring.Uring) -> None:
    truth = file_facts("file")
    fd = os.open("file", os.O_RDWR)
    name, value, path = text("trusted.told"), text("1"), text("file")
    with recording(tmp_path, settings("file.xattr", "file.truncate")) as finish:
        attribute = (uring.address(value), uring.address(name), 1)
        assert ring.do(uring.FSETXATTR, fd, *attribute, os.XATTR_CREATE) == 0
        assert ring.do(uring.SETXATTR, fd, *attribute, os.XATTR_REPLACE, uring.address(path)) == 0
        results = [ring.do(uring.FTRUNCATE, fd, 77)]
        told = finish()
    os.close(fd)
    assert results[0] in (0, -errno.EINVAL)  # 6.9 has it
    if not is_noted("file.xattr"):
        assert ours(told, "file.xattr") == ours(told, "file.truncate") == []
        return
    expected = [
        truth
        | SEEN
        | {
            "file.path": f"{tmp_path}/file",
            "podwitness.file.xattr.name": "trusted.told",
            "podwitness.file.xattr.operation": "set",
            "podwitness.file.xattr.flags": flags,
        }
        for flags in ("XATTR_CREATE", "XATTR_REPLACE")
    ]
    assert ours(told, "file.xattr") == expected
    size: Facts = {"file.path": f"{tmp_path}/file", "file.size": 77}
    assert ours(told, "file.truncate") == ([truth | SEEN | size] if results[0] == 0 else [])
