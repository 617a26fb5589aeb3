"""Mounts as the real probes tell of them, made in mount namespaces that end with their test (mounting.py)."""

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exporter.model import Value
from tests.kernel import mounting
from tests.kernel.recorded import Told, attributes, recording, settings

pytestmark = pytest.mark.kernel

N = mounting.N
ALL = settings("filesystem.*")
UNRESOLVED = "podwitness.mount.mountpoint_unresolved"
Attributes = dict[str, Value]


def run(workload: str, folder: Path) -> tuple[int, Any, Told]:
    """A workload under observation: its process, what it says is true, and what was told."""
    place = folder / "ground"
    place.mkdir()
    with recording(folder, ALL) as finish:
        done = subprocess.run(
            [sys.executable, "-S", mounting.__file__, workload, str(place)], check=True, capture_output=True
        )
        told = finish()
    said = json.loads(done.stdout)
    return said["pid"], said["truth"], told


def events(told: Told, kind: str, *pids: int) -> list[Attributes]:
    """What was told of these processes, without their beginning, which makes all mounts their own."""
    found = [attributes(event) for event in told.of(kind) if event.pid in pids]
    return [event for event in found if "MS_PRIVATE" not in str(event.get("podwitness.mount.flags"))]


def at(place: Path | str, asked: Path | str, event: Attributes) -> Attributes:
    """The place of a mount: where it is, or as it was asked for where this kernel's hooks do not tell more."""
    found: Attributes = {"system.filesystem.mountpoint": str(asked if UNRESOLVED in event else place)}
    return found | ({UNRESOLVED: True} if UNRESOLVED in event else {})


def test_23_mounts_are_23_events_with_the_places_that_the_kernel_has(tmp_path: Path) -> None:
    pid, places, told = run("mount", tmp_path)
    found = events(told, "filesystem.mount", pid)
    assert places == [f"{tmp_path}/ground/places/{number}" for number in range(N)]
    assert found == [
        {
            **at(place, f"{tmp_path}/ground/link/../link/{number}", event),
            "system.filesystem.type": "tmpfs",
            "system.device": "some device",
            "podwitness.mount.flags": "MS_RDONLY|MS_NOSUID",
            "podwitness.syscall.name": "mount",
        }
        for number, (place, event) in enumerate(zip(places, found, strict=True))
    ]


def test_23_file_systems_attached_by_the_newer_calls_are_23_events_and_always_with_their_places(
    tmp_path: Path,
) -> None:
    pid, places, told = run("attach", tmp_path)
    assert places == [f"{tmp_path}/ground/places/{number}" for number in range(N)]
    assert events(told, "filesystem.mount", pid) == [
        {
            "system.filesystem.mountpoint": place,
            "system.filesystem.type": "tmpfs",
            "system.device": "some device",
            "podwitness.mount.flags": "MS_NOSUID|MS_RELATIME",
            "podwitness.syscall.name": "move_mount",
        }
        for place in places
    ]


def test_a_clone_of_a_mount_is_a_mount_where_it_is_attached(tmp_path: Path) -> None:
    pid, (place,), told = run("clone", tmp_path)
    (found,) = events(told, "filesystem.mount", pid)
    assert (found["system.filesystem.mountpoint"], found["podwitness.syscall.name"]) == (place, "move_mount")
    assert UNRESOLVED not in found


def test_what_changes_a_mount_tells_its_flags(tmp_path: Path) -> None:
    pid, _nothing, told = run("change", tmp_path)
    place, asked = f"{tmp_path}/ground/places/0", f"{tmp_path}/ground/link/../link/0"
    found = events(told, "filesystem.mount", pid)
    assert found == [
        {
            **at(place, asked, found[0]),
            "system.device": f"{tmp_path}/ground",
            "podwitness.mount.flags": "MS_BIND",
            "podwitness.syscall.name": "mount",
        },
        {
            **at(place, asked, found[1]),
            "podwitness.mount.flags": "MS_RDONLY|MS_REMOUNT|MS_BIND",
            "podwitness.syscall.name": "mount",
        },
        {
            "system.filesystem.mountpoint": asked,
            UNRESOLVED: True,
            "podwitness.mount.attributes.set": "MOUNT_ATTR_NOSUID",
            "podwitness.mount.attributes.cleared": "MOUNT_ATTR_RDONLY",
            "podwitness.syscall.name": "mount_setattr",
        },
    ]


def test_23_moves_of_a_mount_are_23_events(tmp_path: Path) -> None:
    pid, places, told = run("wander", tmp_path)
    found = events(told, "filesystem.move_mount", pid)
    there, asked = (tmp_path / "ground/places", tmp_path / "ground/link/../link")
    assert places == [str(there / "1")]
    ends = [(f"{there}/{1 - n % 2}", f"{asked}/{1 - n % 2}") for n in range(N)]
    assert [event["system.filesystem.mountpoint"] for event in found] == [
        placed["system.filesystem.mountpoint"]
        for placed in (at(*end, event) for end, event in zip(ends, found, strict=True))
    ]
    assert [event["podwitness.mount.original.mountpoint"] for event in found] == [f"{asked}/{n % 2}" for n in range(N)]


def test_a_mount_that_moves_tells_from_where_to_where(tmp_path: Path) -> None:
    pid, places, told = run("move", tmp_path)
    _one, two, three, four = (f"{tmp_path}/ground/places/{number}" for number in range(4))
    asked = [f"{tmp_path}/ground/link/../link/{number}" for number in range(4)]
    by_mount, by_descriptor, by_path = events(told, "filesystem.move_mount", pid)
    assert places == [four]
    original, unresolved = "podwitness.mount.original.mountpoint", "podwitness.mount.original.mountpoint_unresolved"
    assert by_mount == {
        **at(two, asked[1], by_mount),
        original: asked[0],  # mount() has the kernel look for it only after its check
        unresolved: True,
        "podwitness.syscall.name": "mount",
    }
    seen = unresolved not in by_descriptor
    assert by_descriptor == {
        "system.filesystem.mountpoint": three,  # its descriptor is where it is now
        **({original: two} if seen else {unresolved: True}),
        "podwitness.mount.move_flags": "MOVE_MOUNT_F_EMPTY_PATH",
        "podwitness.syscall.name": "move_mount",
    }
    assert by_path == {
        **at(four, asked[3], by_path),
        original: three if seen else asked[2],
        **({} if seen else {unresolved: True}),
        "podwitness.syscall.name": "move_mount",
    }


def test_23_mounts_taken_away_are_23_events(tmp_path: Path) -> None:
    pid, places, told = run("unmount", tmp_path)
    found = events(told, "filesystem.unmount", pid)
    assert found == [
        {
            **at(place, f"{tmp_path}/ground/link/{number}", event),
            **({} if UNRESOLVED in event else {"system.filesystem.type": "tmpfs", "system.device": "some device"}),
            "podwitness.mount.unmount_flags": "MNT_DETACH",
            "podwitness.syscall.name": "umount2",
        }
        for number, (place, event) in enumerate(zip(places, found, strict=True))
    ]


def test_23_processes_that_change_the_root_are_23_events(tmp_path: Path) -> None:
    _pid, children, told = run("pivot", tmp_path)
    found = events(told, "filesystem.pivot_root", *children)
    place, asked = f"{tmp_path}/ground/places/0", f"{tmp_path}/ground/link/../link/0"
    assert len(set(children)) == N
    assert found == [
        {
            "podwitness.mount.new_root": asked if UNRESOLVED in event else place,
            "podwitness.mount.put_old": f"{asked if UNRESOLVED in event else place}/old",
            **({UNRESOLVED: True} if UNRESOLVED in event else {}),
            "podwitness.syscall.name": "pivot_root",
        }
        for event in found
    ]
    assert len(found) == N


def test_what_is_refused_says_why_and_what_was_asked_for(tmp_path: Path) -> None:
    pid, results, told = run("refused", tmp_path)
    ground, absent = f"{tmp_path}/ground", f"{tmp_path}/ground/absent"
    mounts, unmounts = events(told, "filesystem.mount", pid), events(told, "filesystem.unmount", pid)
    pivots, moves = events(told, "filesystem.pivot_root", pid), events(told, "filesystem.move_mount", pid)
    why = [errno.errorcode[-result] for result in results]
    assert [event["error.type"] for event in (*mounts, *unmounts, *pivots, *moves)] == why
    assert [event["system.filesystem.mountpoint"] for event in (*mounts, *unmounts)] == [absent, ground, absent, ground]
    assert [event["system.filesystem.type"] for event in mounts] == ["tmpfs", "no such type"]
    assert [event["podwitness.mount.new_root"] for event in pivots] == [absent, ground]
    assert [event["podwitness.mount.original.mountpoint"] for event in moves] == [absent]
    assert all(events[0][UNRESOLVED] for events in (mounts, unmounts, pivots, moves))
