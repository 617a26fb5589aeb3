"""Namespaces entered and left, as the real probes tell of them: the numbers are those that /proc shows beside."""

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.children import N, become_nobody, call, done, in_child
from tests.kernel.namespaces import (
    ALL,
    HOST,
    NEWIPC,
    NEWNET,
    NEWNS,
    NEWPID,
    NEWUTS,
    PIDFD_OPEN,
    SETNS,
    UNSHARE,
    number,
    opened,
    refused,
    told_of,
    without,
)
from tests.kernel.recorded import recording

pytestmark = pytest.mark.kernel


def back_and_forth() -> list[tuple[int, int]]:
    """23 times into another uts namespace; where from and where to."""
    home = opened("uts")
    done(UNSHARE, NEWUTS)
    away, ways = opened("uts"), []
    for turn in range(N):
        before = number("uts")
        done(SETNS, away if turn % 2 else home, 0)
        ways.append((before, number("uts")))
    return ways


def test_23_namespaces_entered_are_23_events_with_where_from_and_where_to(tmp_path: Path) -> None:
    with recording(tmp_path, ALL) as finish:
        child = in_child(back_and_forth)
        told = told_of(finish(), "namespace.setns", child.pid)
    assert told == [
        {
            "podwitness.namespace.types": ("uts",),
            "podwitness.namespace.old.uts": before,
            "podwitness.namespace.new.uts": after,
            "podwitness.namespace.asked": after,
            "podwitness.process.thread.id": child.pid,
            "podwitness.syscall.name": "setns",
        }
        for before, after in child.said
    ]
    assert len(told) == N


def follow() -> dict[str, Any]:
    """Into three namespaces of another process at once, by its pidfd."""
    reader, writer = os.pipe()
    other = os.fork()
    if other == 0:
        done(UNSHARE, NEWUTS | NEWIPC | NEWNET)
        os.write(writer, b"there")
        threading.Event().wait()
    os.read(reader, 5)
    before = {name: number(name) for name in ("uts", "ipc", "net")}
    done(SETNS, done(PIDFD_OPEN, other, 0), NEWUTS | NEWIPC | NEWNET)
    os.kill(other, 9)
    os.waitpid(other, 0)
    return {"old": before, "new": {name: number(name) for name in before}, "other": other}


def test_a_process_is_followed_into_several_namespaces_at_once(tmp_path: Path) -> None:
    with recording(tmp_path, ALL) as finish:
        child = in_child(follow)
        (told,) = told_of(finish(), "namespace.setns", child.pid)
    types = told["podwitness.namespace.types"]
    assert isinstance(types, tuple)
    assert set(types) == {"uts", "ipc", "net"}
    assert told["podwitness.target.process.pid"] == child.said["other"]
    for name in types:
        assert told[f"podwitness.namespace.new.{name}"] == child.said["new"][name]
        # Without a trampoline nobody has looked at this thread before.
        assert told.get(f"podwitness.namespace.old.{name}", child.said["old"][name]) == child.said["old"][name]
    assert not [name for name in told if name.endswith((".new.mnt", ".new.pid", ".new.user", ".asked"))]


def knock() -> dict[str, Any]:
    """Refused: without the right to, and into what is no namespace."""
    uts, null = opened("uts"), os.open("/dev/null", os.O_RDONLY)
    become_nobody()
    here = number("uts")
    return {"here": here, "results": [call(SETNS, uts, NEWUTS) for _ in range(N)] + [call(SETNS, null, NEWNET)]}


def test_23_refused_entries_say_why_and_what_they_were_for(tmp_path: Path) -> None:
    with recording(tmp_path, ALL) as finish:
        child = in_child(knock)
        *refused, wrong = told_of(finish(), "namespace.setns", child.pid)
    assert child.said["results"] == [-errno.EPERM] * N + [-errno.EINVAL]
    here = child.said["here"]
    common = {"podwitness.process.thread.id": child.pid, "podwitness.syscall.name": "setns"}
    assert (
        refused
        == [
            {
                "podwitness.namespace.types": ("uts",),
                "podwitness.namespace.old.uts": here,
                "podwitness.namespace.asked": here,
                "podwitness.namespace.asked_types": ("uts",),
                "error.type": "EPERM",
                **common,
            }
        ]
        * N
    )
    assert without(wrong, "podwitness.namespace.old.net") == {
        "podwitness.namespace.types": ("net",),
        "podwitness.namespace.asked_types": ("net",),
        "error.type": "EINVAL",
        **common,
    }


def split() -> list[dict[str, int]]:
    """23 times new uts and ipc namespaces."""
    seen = [{name: number(name) for name in ("uts", "ipc")}]
    for _ in range(N):
        done(UNSHARE, NEWUTS | NEWIPC)
        seen.append({name: number(name) for name in ("uts", "ipc")})
    return seen


def test_23_times_new_namespaces_for_oneself(tmp_path: Path) -> None:
    with recording(tmp_path, ALL) as finish:
        child = in_child(split)
        told = told_of(finish(), "namespace.unshare", child.pid)
    assert len(told) == N
    for at, event in enumerate(told):
        before, after = child.said[at : at + 2]
        types = event.pop("podwitness.namespace.types")
        assert isinstance(types, tuple)
        assert set(types) == {"uts", "ipc"}
        known = at > 0 or any(name.startswith("podwitness.namespace.old") for name in event)
        old = {f"podwitness.namespace.old.{name}": before[name] for name in before} if known else {}
        assert event == {
            **old,
            **{f"podwitness.namespace.new.{name}": after[name] for name in after},
            "podwitness.namespace.flags": "CLONE_NEWUTS|CLONE_NEWIPC",
            "podwitness.process.thread.id": child.pid,
            "podwitness.syscall.name": "unshare",
        }


def test_23_refused_splits_and_none_of_those_that_ask_for_no_namespace(tmp_path: Path) -> None:
    with recording(tmp_path, ALL) as finish:
        child = in_child(refused(lambda: call(UNSHARE, NEWNS | NEWNET)))
        other = in_child(lambda: [done(UNSHARE, 0x400) for _ in range(N)])
        told = finish()
    assert child.said == [-errno.EPERM] * N
    events = told_of(told, "namespace.unshare", child.pid)
    assert [event["podwitness.namespace.flags"] for event in events] == ["CLONE_NEWNS|CLONE_NEWNET"] * N
    assert [event["error.type"] for event in events] == ["EPERM"] * N
    assert not any(name.startswith("podwitness.namespace.new") for event in events for name in event)
    assert told_of(told, "namespace.unshare", other.pid) == []


def apart_together() -> dict[str, int]:
    """One thread goes into a namespace of its own, the others stay."""
    seen = {"home": number("uts")}

    def leave() -> None:
        done(UNSHARE, NEWUTS)
        seen.update(thread=threading.get_native_id(), away=number("uts"))

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    return seen | {"still": number("uts")}


def test_a_thread_that_leaves_is_told_apart_from_its_process(tmp_path: Path) -> None:
    with recording(tmp_path, ALL) as finish:
        child = in_child(apart_together)
        (told,) = told_of(finish(), "namespace.unshare", child.pid)
    assert child.said["still"] == child.said["home"]
    assert told["podwitness.process.thread.id"] == child.said["thread"] != child.pid
    assert told["podwitness.namespace.new.uts"] == child.said["away"]


def escape() -> list[int]:
    """Out of two namespaces of its own, back to where the machine's init is; and once more, from there."""
    homes = [opened(name) for name in HOST]
    done(UNSHARE, NEWUTS | NEWPID)
    return [done(SETNS, home, 0) for home in (*homes, *homes)]


def test_a_thread_that_comes_into_the_hosts_namespaces_is_told_of(tmp_path: Path) -> None:
    if {name: number(name) for name in HOST} != HOST:
        pytest.skip("the tests run in namespaces that are not those of this machine's init")
    with recording(tmp_path, ALL) as finish:
        child = in_child(escape)
        away = in_child(back_and_forth)
        told = finish()
    assert [without(event, *(f"podwitness.namespace.old.{name}" for name in HOST))
            for event in told_of(told, "namespace.escape", child.pid)] == [
        {
            "podwitness.namespace.types": (name,),
            f"podwitness.namespace.new.{name}": HOST[name],
            "podwitness.process.thread.id": child.pid,
            "podwitness.syscall.name": "setns",
        }
        for name in HOST
    ]  # fmt: skip
    assert len(told_of(told, "namespace.setns", child.pid)) == 4
    assert len(told_of(told, "namespace.escape", away.pid)) == (N + 1) // 2  # every second way leads home


def test_23_escapes_are_23_events(tmp_path: Path) -> None:
    def run() -> None:
        home = opened("uts")
        for _ in range(N):
            done(UNSHARE, NEWUTS)
            done(SETNS, home, NEWUTS)

    if number("uts") != HOST["uts"]:
        pytest.skip("the tests run in namespaces that are not those of this machine's init")
    with recording(tmp_path, ALL) as finish:
        child = in_child(run)
        told = told_of(finish(), "namespace.escape", child.pid)
    assert [event["podwitness.namespace.types"] for event in told] == [("uts",)] * N
    assert {event["podwitness.namespace.new.uts"] for event in told} == {HOST["uts"]}
    assert HOST["uts"] not in {event["podwitness.namespace.old.uts"] for event in told}
