"""Files as the real probes tell of them, against workloads whose truth the test knows."""

import os
from pathlib import Path

import pytest

from tests.kernel.recorded import attributes, recording, settings

pytestmark = pytest.mark.kernel

N = 23
OPENED = settings("file.open")


def test_23_opens_of_a_file_are_23_events_with_what_stat_says_of_it(tmp_path: Path) -> None:
    path = tmp_path / "opened"
    path.write_text("x")
    path.chmod(0o640)
    with recording(tmp_path, OPENED) as finish:
        for _ in range(N):
            os.close(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC))
        told = [attributes(event) for event in finish().of("file.open") if event.pid == os.getpid()]
    told = [event for event in told if event.get("file.path") == str(path)]
    truth = path.stat()
    assert (
        told
        == [
            {
                "file.path": str(path),
                "file.inode": str(truth.st_ino),
                "file.mode": "0640",
                "file.owner.id": str(truth.st_uid),
                "file.group.id": str(truth.st_gid),
                "podwitness.file.type": "file",
                "podwitness.file.device": f"{os.major(truth.st_dev)}:{os.minor(truth.st_dev)}",
                "podwitness.file.flags": "O_RDWR|O_APPEND|O_CLOEXEC",
                "podwitness.syscall.name": "openat",
            }
        ]
        * N
    )


def test_23_opens_that_are_refused_say_why_and_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with recording(tmp_path, OPENED) as finish:
        for number in range(N):
            with pytest.raises(FileNotFoundError):
                os.open(f"absent/../{number}", os.O_WRONLY)
        told = [attributes(event) for event in finish().of("file.open") if event.pid == os.getpid()]
    refused = [event for event in told if event.get("error.type")]
    assert refused == [
        {
            "file.path": f"{tmp_path}/absent/../{number}",
            "podwitness.file.path_unresolved": True,
            "podwitness.file.flags": "O_WRONLY|O_CLOEXEC",
            "podwitness.syscall.name": "openat",
            "error.type": "ENOENT",
        }
        for number in range(N)
    ]


def test_a_path_is_where_the_file_is_not_how_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").touch()
    (tmp_path / "link").symlink_to("real")
    directory = os.open(tmp_path, os.O_RDONLY)
    with recording(tmp_path, OPENED) as finish:
        os.close(os.open("link/../link/./file", os.O_RDONLY, dir_fd=directory))
        told = [attributes(event) for event in finish().of("file.open") if event.pid == os.getpid()]
    os.close(directory)
    assert [event["file.path"] for event in told if "real" in str(event["file.path"])] == [f"{tmp_path}/real/file"]
