"""Bursts: what one process does again and again becomes one event with its count."""

import json
import os
import random
import socket
import string
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from exporter.source.recording import Recording
from tests.kernel.recorded import attributes, opens_only, recording, settings

pytestmark = pytest.mark.kernel

N = 23
COUNTED: dict[str, Any] = {"aggregate": {"types": ["file.open"], "milliseconds": 60_000}}


def count(event: dict[str, Any]) -> int:
    return int(event.get("podwitness.aggregate.count", 1))


def opens(tmp_path: Path, *paths: Path, observe: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """What is told when each of the paths is opened, and refused where it is not there."""
    with recording(tmp_path, opens_only(**(observe or COUNTED))) as finish:
        for path in paths:
            try:
                os.close(os.open(path, os.O_RDONLY))
            except OSError:
                continue
        told = [attributes(event) for event in finish().of("file.open") if event.pid == os.getpid()]
    return [event for event in told if str(event.get("file.path")) in map(str, paths)]


def test_23_opens_of_one_file_are_one_event_with_count_23(tmp_path: Path) -> None:
    path = tmp_path / "again"
    path.touch()
    (event,) = opens(tmp_path, *[path] * N)
    assert event["podwitness.aggregate.count"] == N
    assert int(str(event["podwitness.aggregate.duration_ns"])) > 0
    assert (event["file.path"], event["file.inode"]) == (str(path), str(path.stat().st_ino))


def test_opens_that_are_refused_are_counted_by_what_was_asked_for(tmp_path: Path) -> None:
    absent = [tmp_path / f"absent-{number}" for number in range(3)]
    told = opens(tmp_path, *absent * N)
    assert {(event["file.path"], event["error.type"], count(event)) for event in told} == {
        (str(path), "ENOENT", N) for path in absent
    }


def test_what_differs_in_file_flags_or_result_is_another_event(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.touch()
    other.touch()
    with recording(tmp_path, opens_only(**COUNTED)) as finish:
        for _ in range(N):
            os.close(os.open(one, os.O_RDONLY))
            os.close(os.open(one, os.O_WRONLY))
            os.close(os.open(other, os.O_RDONLY))
        told = [attributes(event) for event in finish().of("file.open") if event.pid == os.getpid()]
    ours = [event for event in told if str(event["file.path"]) in (str(one), str(other))]
    assert sorted((str(event["file.path"]), str(event["podwitness.file.flags"]), count(event)) for event in ours) == [
        (str(one), "O_RDONLY|O_CLOEXEC", N),
        (str(one), "O_WRONLY|O_CLOEXEC", N),
        (str(other), "O_RDONLY|O_CLOEXEC", N),
    ]


def test_two_processes_have_an_event_each(tmp_path: Path) -> None:
    script = f"import os\nfor _ in range({N}): os.close(os.open('/etc/passwd', os.O_RDONLY))"
    with recording(tmp_path, opens_only(**COUNTED)) as finish:
        pids = []
        for _ in range(2):
            process = subprocess.Popen([sys.executable, "-S", "-c", script])
            process.wait()
            pids.append(process.pid)
        told = finish().of("file.open")
    ours = [event for event in told if attributes(event).get("file.path") == "/etc/passwd" and event.pid in pids]
    assert [(event.pid, count(attributes(event))) for event in sorted(ours, key=lambda event: event.time)] == [
        (pid, N) for pid in pids
    ]


def test_a_path_that_a_rule_leaves_out_is_left_out_however_often(tmp_path: Path) -> None:
    left, told = tmp_path / "left", tmp_path / "told"
    left.touch()
    told.touch()
    rules = COUNTED | {"files": {"paths": {"exclude": [str(left)]}}}
    (event,) = opens(tmp_path, *[left, told] * N, observe=rules)
    assert (event["file.path"], count(event)) == (str(told), N)


def test_a_file_that_is_renamed_or_whose_directory_is_has_its_new_path(tmp_path: Path) -> None:
    """To the kernel it is the same name still, moved to another place."""
    for name in ("left", "told", "left/folder"):
        (tmp_path / name).mkdir()
    moved = [("left/file", "told/file"), ("left/folder", "told/folder")]
    rules = COUNTED | {"files": {"paths": {"include": [f"{tmp_path}/told/"]}}}
    with recording(tmp_path, opens_only(**rules)) as finish:
        for name in ("left/file", "left/folder/deep"):
            for _ in range(N):
                os.close(os.open(tmp_path / name, os.O_RDWR | os.O_CREAT))
        for before, after in moved:
            (tmp_path / before).rename(tmp_path / after)
        for name in ("told/file", "told/folder/deep"):
            for _ in range(N):
                os.close(os.open(tmp_path / name, os.O_RDWR | os.O_CREAT))
        told = [attributes(event) for event in finish().of("file.open") if event.pid == os.getpid()]
    assert [(event["file.path"], count(event)) for event in told] == [
        (str(tmp_path / "told" / "file"), N),
        (str(tmp_path / "told" / "folder" / "deep"), N),
    ]


def test_a_refused_name_is_another_path_in_another_directory(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    script = (
        "import os, sys\nfor folder in sys.argv[1:]:\n  os.chdir(folder); fd = os.open('.', 0)\n"
        f"  for _ in range({N}):\n    for at in (None, fd):\n"
        "      try: os.open('absent' if at is None else 'at', 0, dir_fd=at)\n"
        "      except FileNotFoundError: pass\n  os.close(fd)"
    )
    for folder in folders:
        folder.mkdir()
    with recording(tmp_path, opens_only(**COUNTED)) as finish:
        subprocess.run([sys.executable, "-S", "-c", script, *map(str, folders)], check=True)
        told = [attributes(event) for event in finish().of("file.open")]
    ours = {
        (event["file.path"], count(event)) for event in told if str(event.get("file.path")).endswith(("absent", "/at"))
    }
    assert ours == {(str(folder / name), N) for folder in folders for name in ("absent", "at")}


_PRIME, _WORD = 0x100000001B3, (1 << 64) - 1


def _mixed(sample: bytes) -> int:
    """`hash_told` of bpf/burst.h, of whole words; what is behind the last of them is the same in both of ours."""
    found = 0xCBF29CE484222325
    for word in struct.unpack(f"<{len(sample) // 8}Q", sample):
        found = (found ^ word) * _PRIME & _WORD
        found ^= found >> 29
    return found


def _before(mixed: int) -> int:
    """What was multiplied to give this."""
    plain = mixed
    for _ in range(3):
        plain = mixed ^ plain >> 29
    return plain * pow(_PRIME, -1, 1 << 64) & _WORD


def _twin(sample: bytes, at: int) -> bytes:
    """Another name of the same number, for the 16 bytes of a name that begin at `at`."""
    sought = _before(_mixed(sample[: at + 16]))
    while True:
        first = "".join(random.choices(string.ascii_lowercase, k=8)).encode()
        second = (sought ^ _mixed(sample[:at] + first)).to_bytes(8, "little")
        if not set(b"/\0") & set(second):
            return first + second


def test_another_path_with_the_same_number_is_not_counted_with_it(tmp_path: Path) -> None:
    """Anybody can compute one: the decoy, opened first, must not hide the path that it is meant for."""
    target = os.fsencode(tmp_path / ("absent" * 10))
    with recording(tmp_path, opens_only(**COUNTED)) as finish:
        _refused(target)
        finish()
    told = Recording(tmp_path / "recording.jsonl")
    (sample,) = [one.data for line in told.lines() for one in line.samples if one.data.endswith(target)]
    told.close()
    (tmp_path / "recording.jsonl").unlink()
    start = len(sample) - len(target)
    at = len(os.fsencode(tmp_path)) + 8 & ~7  # within the name, where the kernel's words begin
    decoy = target[:at] + _twin(sample[64:], start - 64 + at) + target[at + 16 :]
    with recording(tmp_path, opens_only(**COUNTED)) as finish:
        _refused(decoy)
        for _ in range(N):
            _refused(target)
        events = [attributes(event) for event in finish().of("file.open") if event.pid == os.getpid()]
    assert sum(count(event) for event in events if event.get("file.path") == os.fsdecode(target)) == N


def _refused(path: bytes) -> None:
    with pytest.raises(FileNotFoundError):
        os.open(path, os.O_RDONLY)


def test_a_path_too_long_to_be_kept_is_told_each_time(tmp_path: Path) -> None:
    deep = tmp_path
    while len(str(deep)) < 600:
        deep /= "d" * 100
    deep.mkdir(parents=True)
    (deep / "file").touch()
    told = opens(tmp_path, *[deep / "file"] * N)
    assert [count(event) for event in told] == [1] * N


def test_none_is_lost_where_windows_end_all_the_time(tmp_path: Path) -> None:
    """The sum of all counts is what was done, whoever moved them to the ring meanwhile."""
    paths = [tmp_path / str(number) for number in range(5)]
    for path in paths:
        path.touch()
    settings = json.loads(opens_only())
    settings["observe"]["aggregate"] = {"types": ["file.open"], "milliseconds": 10}
    with recording(tmp_path, json.dumps(settings)) as finish:
        for _ in range(20_000):
            for path in paths:
                os.close(os.open(path, os.O_RDONLY))
        told = [attributes(event) for event in finish().of("file.open") if event.pid == os.getpid()]
    counted = [event for event in told if str(event["file.path"]) in map(str, paths)]
    assert sum(map(count, counted)) == 100_000
    assert len(paths) < len(counted) < 50_000


def test_23_connections_to_one_end_are_one_event_with_count_23_and_those_refused_another(tmp_path: Path) -> None:
    whole = json.loads(settings("network.connect"))
    whole["observe"]["aggregate"] = {"types": ["network.connect"], "milliseconds": 60_000}
    with closing(socket.create_server(("127.0.0.1", 0))) as server, closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        with recording(tmp_path, json.dumps(whole)) as finish:
            for _ in range(N):
                socket.create_connection(server.getsockname()).close()
                server.accept()[0].close()
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(closed.getsockname())
            told = [attributes(event) for event in finish().of("network.connect") if event.pid == os.getpid()]
        ports = server.getsockname()[1], closed.getsockname()[1]
    assert {(event["network.peer.port"], event.get("error.type"), count(event)) for event in told} == {
        (ports[0], None, N),
        (ports[1], "ECONNREFUSED", N),
    }
