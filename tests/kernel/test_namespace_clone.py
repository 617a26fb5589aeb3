"""Children begun in namespaces of their own, as the real probes tell of them."""

import ctypes
import errno
import json
import os
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.children import N, call, done, in_child
from tests.kernel.namespaces import ALL, CLONE, CLONE3, NEWNET, NEWPID, NEWUTS, SIGCHLD, number, refused, told_of
from tests.kernel.recorded import recording

pytestmark = pytest.mark.kernel


def begin_apart(flags: int, third: bool = False) -> tuple[int, dict[str, int]]:
    """A child in namespaces of its own: its pid, and what it says its namespaces are. `third`: by clone3()."""
    reader, writer = os.pipe()
    asked = struct.pack("<11Q", flags, 0, 0, 0, SIGCHLD, *[0] * 6)
    child = done(CLONE3, ctypes.create_string_buffer(asked), 88) if third else done(CLONE, flags | SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os.write(writer, " ".join(str(number(name)) for name in ("uts", "pid", "net")).encode())
        os._exit(0)
    os.waitpid(child, 0)
    said = os.read(reader, 100).decode().split()
    os.close(reader)
    os.close(writer)
    return child, dict(zip(("uts", "pid", "net"), map(int, said), strict=True))


@pytest.mark.parametrize("third", [False, True], ids=["clone", "clone3"])
def test_23_children_in_namespaces_of_their_own(tmp_path: Path, third: bool) -> None:
    def start() -> dict[str, Any]:
        here = {name: number(name) for name in ("uts", "pid", "net")}
        return {"here": here, "children": [begin_apart(NEWUTS | NEWPID | NEWNET, third) for _ in range(N)]}

    with recording(tmp_path, ALL) as finish:
        parent = in_child(start)
        told = told_of(finish(), "namespace.clone", parent.pid)
    assert len(told) == N
    for event, (child, apart) in zip(told, parent.said["children"], strict=True):
        types = event.pop("podwitness.namespace.types")
        assert isinstance(types, tuple)
        assert set(types) == {"uts", "pid", "net"}
        assert event == {
            **{f"podwitness.namespace.old.{name}": inum for name, inum in parent.said["here"].items()},
            **{f"podwitness.namespace.new.{name}": inum for name, inum in apart.items()},
            "podwitness.namespace.flags": "CLONE_NEWUTS|CLONE_NEWPID|CLONE_NEWNET" + ("" if third else "|SIGCHLD"),
            "podwitness.target.process.pid": child,
            "podwitness.process.thread.id": parent.pid,
            "podwitness.syscall.name": "clone3" if third else "clone",
        }


def test_23_refused_children_and_none_of_ordinary_ones(tmp_path: Path) -> None:
    def ordinary() -> None:
        for _ in range(N):
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)

    with recording(tmp_path, ALL) as finish:
        child = in_child(refused(lambda: call(CLONE, NEWUTS | SIGCHLD, 0, 0, 0, 0)))
        other = in_child(ordinary)
        told = finish()
    assert child.said == [-errno.EPERM] * N
    events = told_of(told, "namespace.clone", child.pid)
    assert [event["podwitness.namespace.types"] for event in events] == [("uts",)] * N
    assert [event["error.type"] for event in events] == ["EPERM"] * N
    assert not any("podwitness.target.process.pid" in event for event in events)
    assert told_of(told, "namespace.clone", other.pid) == []


def deeper(levels: int) -> list[dict[str, int]]:
    """Pid namespaces in each other; each level says who it is to the host: /proc is still the host's."""
    here = {"pid": int(Path("/proc/self").readlink().name), "ns": number("pid")}
    if not levels:
        return [here]
    reader, writer = os.pipe()
    child = done(CLONE, NEWPID | NEWUTS | SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os.write(writer, json.dumps(deeper(levels - 1)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        below = stream.read()
    os.waitpid(child, 0)
    return [here, *json.loads(below)]


def test_namespaces_three_deep_have_the_hosts_process_ids_at_each_level(tmp_path: Path) -> None:
    with recording(tmp_path, ALL) as finish:
        child = in_child(lambda: deeper(3))
        told = finish()
    levels = child.said
    assert levels[0]["pid"] == child.pid
    for above, below in pairwise(levels):
        (event,) = told_of(told, "namespace.clone", above["pid"])
        assert event["podwitness.target.process.pid"] == below["pid"]
        assert event["podwitness.namespace.old.pid"] == above["ns"]
        assert event["podwitness.namespace.new.pid"] == below["ns"]
    assert len({level["ns"] for level in levels}) == 4
