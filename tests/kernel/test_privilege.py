"""Rights as the real probes tell of them: who becomes somebody else, and with which capabilities."""

import os
import threading
from pathlib import Path

import pytest

from tests.kernel.calls import call, refused
from tests.kernel.rights import GROUPS, NOBODY, RAW, USERS, N, capset, ids, sets, status, told, without_thread

pytestmark = pytest.mark.kernel


def test_23_changes_of_user_ids_are_23_events_with_the_old_and_the_new(tmp_path: Path) -> None:
    def work() -> None:
        for number in range(N):
            call("setresuid", NOBODY + number, 0, 0)

    events = [without_thread(event) for _kind, event in told(tmp_path, work, "privilege.setuid")]
    before = [0, *range(NOBODY, NOBODY + N)]
    assert events == [
        {
            **ids("old", USERS, (before[number], 0, 0, 0)),
            **ids("new", USERS, (NOBODY + number, 0, 0, 0)),
            "podwitness.syscall.name": "setresuid",
        }
        for number in range(N)
    ]


def test_each_call_of_the_setuid_family_says_what_the_process_has_become(tmp_path: Path) -> None:
    def work() -> None:
        call("setfsuid", 7)
        call("setreuid", 5, 0)
        call("setresuid", -1, 6, -1)
        call("setuid", 5)
        call("setfsuid", 9)  # not allowed any more, which its result does not say

    events = [without_thread(event) for _kind, event in told(tmp_path, work, "privilege.setuid")]
    became = [(0, 0, 0, 7), (5, 0, 0, 0), (5, 6, 0, 6), (5, 5, 0, 5), (5, 5, 0, 5)]
    calls = ["setfsuid", "setreuid", "setresuid", "setuid", "setfsuid"]
    assert [event["podwitness.syscall.name"] for event in events] == calls
    for event, old, new in zip(events, [(0, 0, 0, 0), *became], became, strict=False):
        assert ids("old", USERS, old).items() <= event.items()
        assert ids("new", USERS, new).items() <= event.items()
        assert "error.type" not in event
    requested = [event.get("podwitness.cred.requested.fs_user.id") for event in events]
    assert requested == [7, None, None, None, 9]


def test_23_refused_changes_of_user_ids_say_why_and_what_was_asked_for(tmp_path: Path) -> None:
    def work() -> None:
        call("setresuid", NOBODY, NOBODY, NOBODY)
        for _ in range(N):
            refused(PermissionError, "setuid", 0)
        refused(PermissionError, "setreuid", -1, 0)
        refused(PermissionError, "setresuid", 1, 2, 3)

    events = [without_thread(event) for _kind, event in told(tmp_path, work, "privilege.setuid")]
    unchanged = {
        **ids("old", USERS, (NOBODY,) * 4),
        **ids("new", USERS, (NOBODY,) * 4),
        "error.type": "EPERM",
    }
    asked = "podwitness.cred.requested."
    assert events[1:] == [{**unchanged, f"{asked}user.id": 0, "podwitness.syscall.name": "setuid"}] * N + [
        {**unchanged, f"{asked}user.id": 0, "podwitness.syscall.name": "setreuid"}
    ] + [
        {
            **unchanged,
            f"{asked}real_user.id": 1,
            f"{asked}user.id": 2,
            f"{asked}saved_user.id": 3,
            "podwitness.syscall.name": "setresuid",
        }
    ]


def test_a_thread_that_changes_itself_alone_is_told_with_its_own_id(tmp_path: Path) -> None:
    def change(seen: list[int]) -> None:
        seen.append(threading.get_native_id())
        call("setresuid", NOBODY, NOBODY, NOBODY)

    threads: list[int] = []

    def work() -> None:
        thread = threading.Thread(target=change, args=(threads,))
        thread.start()
        thread.join()
        assert threads[0] != os.getpid()
        assert os.getresuid() == (0, 0, 0)
        call("setresuid", 0, 0, 0)

    (_, worker), (_, first) = told(tmp_path, work, "privilege.setuid")
    assert worker["podwitness.process.thread.id"] != first["podwitness.process.thread.id"]
    assert ids("old", USERS, (0,) * 4).items() <= worker.items()
    assert ids("new", USERS, (NOBODY,) * 4).items() <= worker.items()
    assert ids("old", USERS, (0,) * 4).items() <= first.items()


def test_23_changes_of_group_ids_and_of_supplementary_groups_are_46_events(tmp_path: Path) -> None:
    before = len(os.getgroups())

    def work() -> None:
        for number in range(N):
            call("setresgid", NOBODY + number, 0, 0)
            os.setgroups(range(number))
        call("setfsgid", 7)
        call("setregid", 5, 5)
        call("setgid", 6)

    events = [without_thread(event) for _kind, event in told(tmp_path, work, "privilege.setgid")]
    assert [event["podwitness.syscall.name"] for event in events] == ["setresgid", "setgroups"] * N + [
        "setfsgid",
        "setregid",
        "setgid",
    ]
    for number, event in enumerate(events[: 2 * N : 2]):
        assert ids("old", GROUPS, ((NOBODY + number - 1) if number else os.getgid(), 0, 0, 0)).items() <= event.items()
        assert ids("new", GROUPS, (NOBODY + number, 0, 0, 0)).items() <= event.items()
    counts = [before, *range(N)]
    for number, event in enumerate(events[1 : 2 * N : 2]):
        assert event["podwitness.cred.old.groups.count"] == counts[number]
        assert event["podwitness.cred.new.groups.count"] == number
    assert ids("new", GROUPS, (6,) * 4).items() <= events[-1].items()


def test_23_refused_changes_of_group_ids_say_why(tmp_path: Path) -> None:
    def work() -> None:
        call("setresuid", NOBODY, NOBODY, NOBODY)
        for _ in range(N):
            refused(PermissionError, "setgid", 5)
        refused(PermissionError, "setgroups", 0, 0)

    events = [event for _kind, event in told(tmp_path, work, "privilege.setgid")]
    assert [event["error.type"] for event in events] == ["EPERM"] * (N + 1)
    assert [event.get("podwitness.cred.requested.group.id") for event in events] == [5] * N + [None]


def test_23_times_a_capability_is_given_up_and_taken_again(tmp_path: Path) -> None:
    raw = 1 << RAW

    def work() -> None:
        effective, permitted, _ = sets()
        for _ in range(N):
            call("capset", *capset(effective & ~raw, permitted, 0))
            call("capset", *capset(effective, permitted, 0))

    events = told(tmp_path, work, "privilege.capset", "privilege.gained")
    given_up = [event for kind, event in events if "podwitness.cred.capabilities.lost" in event]
    taken = [event for kind, event in events if kind == "privilege.capset" and event not in given_up]
    gained = [event for kind, event in events if kind == "privilege.gained"]
    assert (len(given_up), len(taken), len(gained)) == (N, N, N)
    whole, permitted = status("CapEff"), status("CapPrm")
    less = tuple(name for name in whole if name != "CAP_NET_RAW")
    assert without_thread(given_up[0]) == {
        "podwitness.cred.old.capabilities.effective": whole,
        "podwitness.cred.old.capabilities.permitted": permitted,
        "podwitness.cred.old.capabilities.inheritable": status("CapInh"),
        "podwitness.cred.new.capabilities.effective": less,
        "podwitness.cred.new.capabilities.permitted": permitted,
        "podwitness.cred.new.capabilities.inheritable": (),
        "podwitness.cred.requested.capabilities.effective": less,
        "podwitness.cred.requested.capabilities.permitted": permitted,
        "podwitness.cred.requested.capabilities.inheritable": (),
        "podwitness.cred.capabilities.lost": ("CAP_NET_RAW",),
    }
    assert {event["podwitness.cred.capabilities.gained"] for event in taken + gained} == {("CAP_NET_RAW",)}
    assert {event["podwitness.cred.gained_by"] for event in gained} == {"capset"}


def test_23_capabilities_that_are_refused_say_why_and_which(tmp_path: Path) -> None:
    def work() -> None:
        call("setresuid", NOBODY, NOBODY, NOBODY)
        for _ in range(N):
            refused(PermissionError, "capset", *capset(1 << RAW, 1 << RAW, 0))

    events = [event for _kind, event in told(tmp_path, work, "privilege.capset")]
    assert len(events) == N
    for event in events:
        assert event["error.type"] == "EPERM"
        assert event["podwitness.cred.requested.capabilities.permitted"] == ("CAP_NET_RAW",)
        assert event["podwitness.cred.new.capabilities.permitted"] == ()
        assert "podwitness.cred.capabilities.gained" not in event


def test_23_options_of_each_kind_that_change_what_a_process_may_become(tmp_path: Path) -> None:
    def work() -> None:
        call("capset", *capset(sets()[0], sets()[1], 1 << RAW))
        for _ in range(N):
            call("prctl", 4, 1, 0, 0, 0)
            call("prctl", 8, 1, 0, 0, 0)
            call("prctl", 28, 0b1010000, 0, 0, 0)
            call("prctl", 38, 1, 0, 0, 0)
            call("prctl", 28, 0b10000, 0, 0, 0)
            call("prctl", 47, 2, RAW, 0, 0)
            call("prctl", 47, 1, RAW, 0, 0)  # a question
            call("prctl", 47, 3, RAW, 0, 0)
            call("prctl", 47, 4, 0, 0, 0)
            call("prctl", 15, b"name", 0, 0, 0)  # a name
            refused(OSError, "prctl", 38, 0, 0, 0, 0)

    events = [without_thread(event) for _kind, event in told(tmp_path, work, "privilege.prctl")]
    option = "podwitness.prctl."
    ambient = {f"{option}option": "PR_CAP_AMBIENT"}
    assert (
        events
        == [
            {f"{option}option": "PR_SET_DUMPABLE", f"{option}value": 1},
            {f"{option}option": "PR_SET_KEEPCAPS", f"{option}value": 1},
            {
                f"{option}option": "PR_SET_SECUREBITS",
                f"{option}value": 0b1010000,
                f"{option}securebits": "SECBIT_KEEP_CAPS|SECBIT_NO_CAP_AMBIENT_RAISE",
            },
            {f"{option}option": "PR_SET_NO_NEW_PRIVS", f"{option}value": 1},
            {
                f"{option}option": "PR_SET_SECUREBITS",
                f"{option}value": 0b10000,
                f"{option}securebits": "SECBIT_KEEP_CAPS",
            },
            {
                **ambient,
                f"{option}value": 2,
                f"{option}ambient": "PR_CAP_AMBIENT_RAISE",
                f"{option}capability": "CAP_NET_RAW",
            },
            {
                **ambient,
                f"{option}value": 3,
                f"{option}ambient": "PR_CAP_AMBIENT_LOWER",
                f"{option}capability": "CAP_NET_RAW",
            },
            {**ambient, f"{option}value": 4, f"{option}ambient": "PR_CAP_AMBIENT_CLEAR_ALL"},
            {f"{option}option": "PR_SET_NO_NEW_PRIVS", f"{option}value": 0, "error.type": "EINVAL"},
        ]
        * N
    )
