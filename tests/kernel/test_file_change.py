"""Files whose names go, move and are added, as the real probes tell of it, against what the test did and sees."""

# Each system call by its own name:
# ruff: noqa: PTH103, PTH104, PTH106, PTH108, PTH211

import ctypes
import errno
import os
from pathlib import Path

import pytest

from exporter import probes
from tests.kernel.changes import AT_EMPTY_PATH, AT_FDCWD, LIBC, Facts, N, expected, file_facts, ours, told_of
from tests.kernel.hooks import is_noted
from tests.kernel.recorded import recording, settings

pytestmark = pytest.mark.kernel

NOREPLACE, EXCHANGE = 1, 2


@pytest.fixture(autouse=True)
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def renameat2(old: str, new: str, flags: int) -> int:
    return 0 if LIBC.renameat2(AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), flags) == 0 else ctypes.get_errno()


def test_23_files_deleted_are_23_events_that_say_which(tmp_path: Path) -> None:
    truths = []
    for number in range(N):
        Path(f"f{number}").touch(0o600 + number)
        truths.append(file_facts(f"f{number}"))

    def remove() -> None:
        for number in range(N):
            os.unlink(f"f{number}")

    told = told_of("file.delete", tmp_path, remove)
    assert told == [
        expected("file.delete", truths[number], "unlink", {"file.path": f"{tmp_path}/f{number}"}) for number in range(N)
    ]


def test_directories_are_deleted_by_rmdir_and_by_unlinkat_with_a_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for name in ("one", "two"):
        (tmp_path / "real" / name).mkdir()
    truths = [file_facts(f"real/{name}") for name in ("one", "two")]
    directory = os.open("link/../link", os.O_RDONLY)

    def remove() -> None:
        os.rmdir("link/./one")
        os.rmdir("two", dir_fd=directory)

    told = told_of("file.delete", tmp_path, remove)
    os.close(directory)
    one: Facts = {"file.path": f"{tmp_path}/real/one"}
    two: Facts = {"file.path": f"{tmp_path}/real/two"}
    of_type: Facts = {"podwitness.file.type": "dir"}
    assert told == [
        expected("file.delete", truths[0], "rmdir", one, {"file.path": f"{tmp_path}/link/one"} | of_type),
        expected("file.delete", truths[1], "unlinkat", two, two | of_type),  # a directory's path is the kernel's word
    ]


def test_23_deletions_that_are_refused_say_why_and_what_was_asked_for(tmp_path: Path) -> None:
    Path("held").mkdir()
    Path("held/file").touch()
    truth = file_facts("held")

    def fail() -> None:
        for number in range(N):
            with pytest.raises(FileNotFoundError):
                os.unlink(f"held/../absent{number}")
        with pytest.raises(OSError, match="not empty"):
            os.rmdir("held")

    told = told_of("file.delete", tmp_path, fail)
    assert told[:N] == [
        {
            "file.path": f"{tmp_path}/held/../absent{number}",
            "podwitness.file.path_unresolved": True,
            "podwitness.syscall.name": "unlink",
            "error.type": "ENOENT",
        }
        for number in range(N)
    ]
    held: Facts = {"file.path": f"{tmp_path}/held", "error.type": "ENOTEMPTY"}
    assert told[N:] == [expected("file.delete", truth, "rmdir", held)]


def test_names_are_any_bytes_and_paths_as_long_as_they_can_be(tmp_path: Path) -> None:
    strange = [b"two\nlines", b"not utf-8 \xff\xfe", b"n" * 255, "Grüße 👁".encode()]
    for name in strange:
        os.close(os.open(os.fsencode(tmp_path) + b"/" + name, os.O_CREAT))
    deep = str(tmp_path)
    while len(deep) + 201 < 4000:
        deep += "/" + "d" * 200
    os.makedirs(deep)
    deep += "/" + "f" * (4095 - len(deep) - 1)  # PATH_MAX has the NUL in it
    os.close(os.open(deep, os.O_CREAT))

    def remove() -> None:
        for name in strange:
            os.unlink(os.fsencode(tmp_path) + b"/" + name)
        os.unlink(deep)

    told = told_of("file.delete", tmp_path, remove)
    paths = [str(event["file.path"]) for event in told]
    assert paths[:-1] == [f"{tmp_path}/{name.decode('utf-8', 'backslashreplace')}" for name in strange]
    assert len(deep) == 4095
    if told[-1].get("podwitness.file.path_truncated"):
        assert deep.startswith(paths[-1])
        assert len(paths[-1]) >= 4096 - 512
    else:
        assert paths[-1] == deep


def test_23_renames_have_the_new_path_the_old_one_and_the_file(tmp_path: Path) -> None:
    Path("0").touch()
    truth = file_facts("0")

    def move() -> None:
        for number in range(N):
            os.rename(f"{number}", f"{number + 1}")

    told = told_of("file.rename", tmp_path, move)
    assert told == [
        expected(
            "file.rename",
            truth,
            "rename",
            {"file.path": f"{tmp_path}/{number + 1}", "podwitness.file.original.path": f"{tmp_path}/{number}"},
        )
        for number in range(N)
    ]


def test_the_flags_of_a_rename_are_words_and_a_refused_one_says_why(tmp_path: Path) -> None:
    Path("a").touch()
    Path("b").touch()
    (tmp_path / "d").mkdir()
    results = []

    def move() -> None:
        directory = os.open("d", os.O_RDONLY)
        results.extend([renameat2("a", "b", EXCHANGE), renameat2("a", "b", NOREPLACE), renameat2("a", "c", NOREPLACE)])
        results.append(renameat2("gone", "b", 0))
        os.rename("b", "../e", src_dir_fd=AT_FDCWD, dst_dir_fd=directory)
        os.close(directory)

    told = told_of("file.rename", tmp_path, move)
    assert results == [0, errno.EEXIST, 0, errno.ENOENT]
    flags = [event.get("podwitness.file.rename.flags") for event in told]
    assert flags == ["RENAME_EXCHANGE", "RENAME_NOREPLACE", "RENAME_NOREPLACE", None, None]
    assert [event.get("error.type") for event in told] == [None, "EEXIST", None, "ENOENT", None]
    calls = [event["podwitness.syscall.name"] for event in told]
    assert calls == ["renameat2"] * 3 + ["renameat"] * 2  # the C library knows that no flags need no renameat2
    assert told[4]["file.path"] == (f"{tmp_path}/e" if is_noted("file.rename") else f"{tmp_path}/d/../e")
    assert told[4]["podwitness.file.original.path"] == f"{tmp_path}/b"


def test_23_hard_links_have_both_paths_and_23_symbolic_links_what_they_point_to(tmp_path: Path) -> None:
    Path("file").touch()
    truth = file_facts("file")

    def link() -> None:
        for number in range(N):
            os.link("file", f"hard{number}")
        for number in range(N):
            os.symlink(f"../else/{number}", f"soft{number}")

    told = told_of("file.link", tmp_path, link)
    hard: list[Facts] = [
        {"file.path": f"{tmp_path}/hard{number}", "podwitness.file.original.path": f"{tmp_path}/file"}
        for number in range(N)
    ]
    assert told[:N] == [expected("file.link", truth, "link", one) for one in hard]
    soft: list[Facts] = [
        {
            "file.path": f"{tmp_path}/soft{number}",
            "file.symbolic_link.target_path": f"../else/{number}",
            "podwitness.file.type": "symlink",
        }
        for number in range(N)
    ]
    assert told[N:] == [expected("file.link", {}, "symlink", one) for one in soft]


def test_links_by_descriptor_and_links_that_are_refused(tmp_path: Path) -> None:
    Path("file").touch()
    truth = file_facts("file")

    def link() -> None:
        fd, here = os.open("file", os.O_RDONLY), os.open(".", os.O_RDONLY)
        assert LIBC.linkat(fd, b"", here, b"other", AT_EMPTY_PATH) == 0
        os.symlink("target", "soft", dir_fd=here)
        with pytest.raises(FileExistsError):
            os.symlink("target", "soft")
        with pytest.raises(FileExistsError):
            os.link("file", "other")
        os.close(fd)
        os.close(here)

    told = told_of("file.link", tmp_path, link)
    assert [event["podwitness.syscall.name"] for event in told] == ["linkat", "symlinkat", "symlink", "link"]
    assert [event.get("error.type") for event in told] == [None, None, "EEXIST", "EEXIST"]
    assert told[0]["podwitness.file.original.path"] == f"{tmp_path}/file"
    assert truth.items() <= told[0].items()  # the descriptor is enough to know the file
    assert [event["file.path"] for event in told] == [f"{tmp_path}/{n}" for n in ("other", "soft", "soft", "other")]


def test_a_path_is_the_one_the_process_sees_in_its_own_root(tmp_path: Path) -> None:
    (tmp_path / "jail" / "in").mkdir(parents=True)
    (tmp_path / "jail" / "in" / "file").touch()
    with recording(tmp_path, settings("file.delete")) as finish:
        child = os.fork()
        if not child:
            os.chroot("jail")
            os.chdir("/in")
            os.unlink("../in/file")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        (event,) = ours(finish(), "file.delete", child)
    assert event["file.path"] == ("/in/file" if is_noted("file.delete") else "/in/../in/file")


def test_no_kind_is_without_the_call_alone() -> None:
    """Kernels without trampolines and kprobes see it too."""
    for kind in probes.KINDS:
        if kind.program in ("path_change", "attribute", "xattr"):
            assert kind.hooks[-1].programs == ()
            assert {hook.calls for hook in kind.hooks} == {kind.hooks[-1].calls}
