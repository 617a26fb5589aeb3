"""Kernels with kprobes and without trampolines note changes to files by kprobes: the same, at a higher price."""

# Each system call by its own name:
# ruff: noqa: PTH101, PTH104, PTH106, PTH116

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.source.features import Features
from exporter.source.programs import objects_directory
from tests.kernel import recorded
from tests.kernel.changes import N, ours, told_of
from tests.kernel.recorded import recording, settings

pytestmark = pytest.mark.kernel

WITHOUT_TRAMPOLINES = """#!{python}
import sys
from exporter.cli import main
from exporter.source.features import Features
obstacle = Features.obstacle
Features.obstacle = lambda self, section: "no" if section.startswith("fentry") else obstacle(self, section)
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def without_trampolines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if why := Features(objects_directory() / "feature.bpf.o").obstacle("kprobe/vfs_truncate"):
        pytest.skip(why)
    recorder = tmp_path / "recorder"
    recorder.write_text(WITHOUT_TRAMPOLINES.format(python=sys.executable))
    recorder.chmod(0o700)
    monkeypatch.setattr(recorded, "PODWITNESS", str(recorder))
    monkeypatch.chdir(tmp_path)
    for number in range(N):
        (tmp_path / f"f{number}").touch()
    (tmp_path / "link").symlink_to(".")


def attribute(path: str) -> None:
    os.setxattr(path, "trusted.told", b"1")


CHANGES: dict[str, Callable[[str], None]] = {
    "file.delete": os.unlink,
    "file.rename": lambda path: os.rename(path, f"{path}.new"),
    "file.link": lambda path: os.link(path, f"{path}.new"),
    "file.chmod": lambda path: os.chmod(path, 0o4700),
    "file.chown": lambda path: os.chown(path, 5, -1),
    "file.truncate": lambda path: os.truncate(path, 77),
    "file.xattr": attribute,
}


@pytest.mark.parametrize("kind", CHANGES)
def test_23_changes_have_the_kernels_path(tmp_path: Path, kind: str) -> None:
    def change() -> None:
        for number in range(N):
            CHANGES[kind](f"link/./f{number}")

    inodes = [str(os.stat(f"f{number}").st_ino) for number in range(N)]
    told = told_of(kind, tmp_path, change)
    end = ".new" if kind in ("file.rename", "file.link") else ""
    assert [event["file.path"] for event in told] == [f"{tmp_path}/f{number}{end}" for number in range(N)]
    assert [event["file.inode"] for event in told] == inodes
    assert not any("podwitness.file.path_unresolved" in event or "error.type" in event for event in told)


def test_directories_and_symbolic_links_too(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with recording(tmp_path, settings("file.delete", "file.link")) as finish:
        os.rmdir("link/directory")
        (tmp_path / "soft").symlink_to("target")
        told = finish()
    (deleted,), (linked,) = ours(told, "file.delete"), ours(told, "file.link")
    assert (deleted["file.path"], deleted["podwitness.file.type"]) == (f"{tmp_path}/directory", "dir")
    assert (linked["file.path"], linked["file.symbolic_link.target_path"]) == (f"{tmp_path}/soft", "target")
    assert "podwitness.file.path_unresolved" not in deleted | linked
