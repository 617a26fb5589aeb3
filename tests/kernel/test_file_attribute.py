"""Modes, owners, sizes and extended attributes of files as the real probes tell of their change."""

# Each system call by its own name:
# ruff: noqa: PTH101, PTH116

import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.probes.words import SYSCALLS
from tests.kernel.changes import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_SYMLINK_NOFOLLOW,
    LIBC,
    Facts,
    N,
    expected,
    file_facts,
    ours,
    syscall,
    told_of,
)
from tests.kernel.hooks import is_noted
from tests.kernel.recorded import recording, settings

pytestmark = pytest.mark.kernel

NOBODY = 0xFFFFFFFF
ENTRIES = ((1, 6, NOBODY), (2, 4, 1234), (4, 4, NOBODY), (16, 4, NOBODY), (32, 4, NOBODY))
ACL = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in ENTRIES)
"""What `setfacl -m u:1234:r` sets (include/uapi/linux/posix_acl_xattr.h)."""
VALUE = b"1"
CLONE_NEWUSER = 0x10000000


@pytest.fixture(autouse=True)
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch(0o644)
    (tmp_path / "link").symlink_to("file")


def as_nobody(does: Callable[[], None]) -> int:
    """The pid of a child without rights that has done it."""
    child = os.fork()
    if not child:
        os.setgid(65534)
        os.setuid(65534)
        does()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return child


def test_23_chmods_have_the_new_mode_and_the_old_one(tmp_path: Path) -> None:
    modes = [0o600 + number for number in range(N)]

    def change() -> None:
        for mode in modes:
            os.chmod("link", mode)

    known = file_facts("file")
    told = told_of("file.chmod", tmp_path, change)
    for event, old, new in zip(told, [0o644, *modes], modes, strict=False):
        known |= {"podwitness.file.original.mode": f"{old:04o}"}
        mode: Facts = {"file.mode": f"{new:04o}"}
        resolved, asked = mode | {"file.path": f"{tmp_path}/file"}, mode | {"file.path": f"{tmp_path}/link"}
        assert event == expected("file.chmod", known, "chmod", resolved, asked)
    assert len(told) == N


def test_a_file_that_becomes_setuid_or_setgid_is_marked(tmp_path: Path) -> None:
    def change() -> None:
        fd = os.open("file", os.O_RDONLY)
        os.chmod("file", 0o4755)
        os.fchmod(fd, 0o6755)
        os.fchmod(fd, 0o6711)
        os.fchmod(fd, 0)
        os.close(fd)

    told = told_of("file.chmod", tmp_path, change)
    assert [event["file.mode"] for event in told] == ["4755", "6755", "6711", "0000"]
    assert [event["podwitness.syscall.name"] for event in told] == ["chmod"] + ["fchmod"] * 3
    marks = [event.get("podwitness.file.setuid", False) for event in told]
    # Without the old mode a file that was so before is taken for a new one.
    assert marks == [True, True, not is_noted("file.chmod"), False]
    assert [event["file.path"] for event in told] == [f"{tmp_path}/file"] * 4


def test_calls_by_descriptor_know_the_file_everywhere(tmp_path: Path) -> None:
    fd = os.open("file", os.O_RDWR)

    kinds = ("file.chmod", "file.chown", "file.truncate", "file.xattr")
    with recording(tmp_path, settings(*kinds)) as finish:
        os.fchmod(fd, 0o600)
        os.fchown(fd, 12, -1)
        os.ftruncate(fd, 4096)
        os.setxattr(fd, "trusted.told", VALUE)
        told = finish()
    for kind in kinds:
        (event,) = ours(told, kind)
        assert (event["file.path"], event["file.inode"]) == (f"{tmp_path}/file", str(os.fstat(fd).st_ino))
        assert "podwitness.file.path_unresolved" not in event
    os.close(fd)


@pytest.mark.parametrize("call", ["fchmodat", "fchmodat2"])
def test_a_mode_by_directory_and_by_an_empty_path(tmp_path: Path, call: str) -> None:
    directory, fd = os.open(".", os.O_RDONLY), os.open("file", os.O_RDONLY)
    results = []

    def change() -> None:
        results.append(syscall(SYSCALLS[call], directory, b"file", 0o640, 0))
        results.append(syscall(SYSCALLS[call], fd, b"", 0o604, AT_EMPTY_PATH))

    told = told_of("file.chmod", tmp_path, change)
    os.close(directory)
    os.close(fd)
    if results[0] == -38:
        pytest.skip("this kernel has no fchmodat2")
    assert [event["podwitness.syscall.name"] for event in told] == [call] * 2
    assert told[0]["file.path"] == f"{tmp_path}/file"
    if call == "fchmodat2":  # the other one has no flags
        assert results == [0, 0]
        assert told[1]["file.path"] == f"{tmp_path}/file"
        assert "podwitness.file.path_unresolved" not in told[1]
    else:
        assert told[1]["error.type"] == "ENOENT"


def test_what_is_refused_says_what_was_asked_for(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    known = file_facts("file")

    def fail() -> None:
        for _ in range(N):
            with pytest.raises(PermissionError):
                os.chmod("link", 0o4777)
            with pytest.raises(PermissionError):
                os.chown("link", 5, 6)
        with pytest.raises(FileNotFoundError):
            os.chmod("absent", 0o777)

    with recording(tmp_path, settings("file.chmod", "file.chown")) as finish:
        pid = as_nobody(fail)
        told = finish()
    path: Facts = {"file.path": f"{tmp_path}/file"}
    asked: Facts = {"file.path": f"{tmp_path}/link", "error.type": "EPERM"}
    mode: Facts = {"file.mode": "4777"}
    original: Facts = {"podwitness.file.original.mode": "0644"}
    *modes, absent = ours(told, "file.chmod", pid)
    assert modes == [expected("file.chmod", known | original, "chmod", asked | path | mode, asked | mode)] * N
    assert absent == {
        "file.path": f"{tmp_path}/absent",
        "podwitness.file.path_unresolved": True,
        "file.mode": "0777",
        "podwitness.syscall.name": "chmod",
        "error.type": "ENOENT",
    }
    owner: Facts = {"file.owner.id": "5", "file.group.id": "6"}
    before: Facts = {"podwitness.file.original.owner.id": "0", "podwitness.file.original.group.id": "0"}
    owners = [expected("file.chown", known | before, "chown", asked | path | owner, asked | owner)] * N
    assert ours(told, "file.chown", pid) == owners


def test_23_chowns_have_the_new_owner_and_the_old_one(tmp_path: Path) -> None:
    def change() -> None:
        for number in range(N):
            os.chown("link", number + 1, -1)
        os.lchown("link", 7, 8)
        os.chown("link", -1, 9, dir_fd=os.open(".", os.O_RDONLY), follow_symlinks=False)

    known, link = file_facts("file"), file_facts("link")
    told = told_of("file.chown", tmp_path, change)
    path: Facts = {"file.path": f"{tmp_path}/file"}
    asked: Facts = {"file.path": f"{tmp_path}/link"}
    for number in range(N):
        owner: Facts = {"file.owner.id": str(number + 1)}
        old: Facts = {"podwitness.file.original.owner.id": str(number), "podwitness.file.original.group.id": "0"}
        assert told[number] == expected("file.chown", known | old, "chown", path | owner, asked | owner)
    both: Facts = {"file.owner.id": "7", "file.group.id": "8"}
    old = {"podwitness.file.original.owner.id": "0", "podwitness.file.original.group.id": "0"}
    assert told[N] == expected("file.chown", link | old, "lchown", asked | both)
    group: Facts = {"file.group.id": "9"}
    link |= {"file.owner.id": "7"}
    old = {"podwitness.file.original.owner.id": "7", "podwitness.file.original.group.id": "8"}
    assert told[N + 1] == expected("file.chown", link | old, "fchownat", asked | group)


def test_owners_are_ids_of_the_host_whatever_the_user_namespace(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o777)
    ready, go = os.pipe(), os.pipe()
    with recording(tmp_path, settings("file.chown")) as finish:
        child = os.fork()
        if not child:
            assert LIBC.unshare(CLONE_NEWUSER) == 0
            os.write(ready[1], b"x")
            os.read(go[0], 1)
            os.chown("file", 5, 6)
            os._exit(0)
        os.read(ready[0], 1)
        Path(f"/proc/{child}/uid_map").write_text("0 0 1\n1 100001 1000\n")
        Path(f"/proc/{child}/gid_map").write_text("0 0 1\n1 200001 1000\n")
        os.write(go[1], b"x")
        assert os.waitpid(child, 0)[1] == 0
        (event,) = ours(finish(), "file.chown", child)
    truth = os.stat("file")
    assert (event["file.owner.id"], event["file.group.id"]) == ("100005", "200006")
    assert (truth.st_uid, truth.st_gid) == (100005, 200006)
    assert "error.type" not in event


def test_23_truncations_have_the_size_that_was_asked_for(tmp_path: Path) -> None:
    def cut() -> None:
        for number in range(N):
            os.truncate("link", number)
        with pytest.raises(OSError, match="Invalid"):
            os.truncate("file", -5)
        with pytest.raises(IsADirectoryError):
            os.truncate(".", 0)

    known = file_facts("file")
    told = told_of("file.truncate", tmp_path, cut)
    for number in range(N):
        size: Facts = {"file.size": number}
        resolved, asked = size | {"file.path": f"{tmp_path}/file"}, size | {"file.path": f"{tmp_path}/link"}
        assert told[number] == expected("file.truncate", known, "truncate", resolved, asked)
    assert [(event["error.type"], event["file.size"]) for event in told[N:]] == [("EINVAL", -5), ("EISDIR", 0)]
    assert os.stat("file").st_size == N - 1


def test_23_extended_attributes_set_and_removed(tmp_path: Path) -> None:
    def change() -> None:
        for number in range(N):
            os.setxattr("link", f"trusted.told{number}", VALUE, os.XATTR_CREATE)
        with pytest.raises(FileExistsError):
            os.setxattr("link", "trusted.told0", VALUE, os.XATTR_CREATE)
        for number in range(N):
            os.removexattr("link", f"trusted.told{number}")
        os.setxattr("link", "trusted.of.link", VALUE, follow_symlinks=False)

    known, link = file_facts("file"), file_facts("link")
    told = told_of("file.xattr", tmp_path, change)
    path: Facts = {"file.path": f"{tmp_path}/file"}
    asked: Facts = {"file.path": f"{tmp_path}/link"}

    def one(name: str, call: str, operation: str, **more: str) -> Facts:
        of_name: Facts = {"podwitness.file.xattr.name": name, "podwitness.file.xattr.operation": operation}
        of_name |= {f"podwitness.file.xattr.{key}": value for key, value in more.items()}
        return expected("file.xattr", known, call, path | of_name, asked | of_name)

    create = "XATTR_CREATE"
    assert told[:N] == [one(f"trusted.told{number}", "setxattr", "set", flags=create) for number in range(N)]
    assert told[N] == one("trusted.told0", "setxattr", "set", flags=create) | {"error.type": "EEXIST"}
    assert told[N + 1 : -1] == [one(f"trusted.told{number}", "removexattr", "remove") for number in range(N)]
    known, path = link, asked
    assert told[-1] == one("trusted.of.link", "lsetxattr", "set")


def test_access_control_lists_are_attributes_too(tmp_path: Path) -> None:
    def change() -> None:
        for _ in range(N):
            os.setxattr("link", "system.posix_acl_access", ACL)
        os.removexattr("link", "system.posix_acl_access")

    told = told_of("file.xattr", tmp_path, change)
    told_names = [(event["podwitness.file.xattr.name"], event["podwitness.file.xattr.operation"]) for event in told]
    assert told_names == [("system.posix_acl_access", "set")] * N + [("system.posix_acl_access", "remove")]
    name = "file" if is_noted("file.xattr") else "link"
    assert {event["file.path"] for event in told} == {f"{tmp_path}/{name}"}
    assert all("error.type" not in event for event in told)


def test_attributes_by_directory(tmp_path: Path) -> None:
    """setxattrat() and removexattrat(), Linux 6.13."""
    value = ctypes.create_string_buffer(VALUE)
    args = struct.pack("<QII", ctypes.addressof(value), 1, os.XATTR_CREATE)
    fd = os.open("file", os.O_RDONLY)
    results = []

    def change() -> None:
        set_it, remove = SYSCALLS["setxattrat"], SYSCALLS["removexattrat"]
        results.append(syscall(set_it, AT_FDCWD, b"link", AT_SYMLINK_NOFOLLOW, b"trusted.told", args, len(args)))
        results.append(syscall(set_it, fd, b"", AT_EMPTY_PATH, b"trusted.told", args, len(args)))
        results.append(syscall(remove, fd, b"", AT_EMPTY_PATH, b"trusted.told"))

    told = told_of("file.xattr", tmp_path, change)
    os.close(fd)
    if results[0] == -38:
        pytest.skip("this kernel has no setxattrat")
    assert results == [0, 0, 0]
    assert [event["file.path"] for event in told] == [f"{tmp_path}/{name}" for name in ("link", "file", "file")]
    assert [event.get("podwitness.file.xattr.flags") for event in told] == ["XATTR_CREATE", "XATTR_CREATE", None]
    assert [event["podwitness.file.xattr.operation"] for event in told] == ["set", "set", "remove"]
    assert "podwitness.file.path_unresolved" not in told[1]
