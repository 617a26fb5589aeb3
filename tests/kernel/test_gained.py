"""Rights that a process comes to have, as the real probes tell of them: by a call, by an exec, in a user namespace."""

import json
import os
import shutil
import signal
import struct
from pathlib import Path

import pytest

from exporter.probes.names import capabilities
from tests.kernel.calls import call, in_child, refused
from tests.kernel.recorded import attributes, recording, settings
from tests.kernel.rights import NOBODY, RAW, USERS, N, capset, ids, status, told, without_thread

pytestmark = pytest.mark.kernel

CLONE_NEWUSER = 0x10000000
ALL = capabilities((1 << int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1) - 1)


def test_23_returns_to_root_gain_what_root_has(tmp_path: Path) -> None:
    def work() -> None:
        for _ in range(N):
            call("setresuid", NOBODY, NOBODY, 0)
            call("setresuid", 0, 0, 0)

    events = [without_thread(event) for _kind, event in told(tmp_path, work, "privilege.gained")]
    namespace = Path("/proc/self/ns/user").stat().st_ino
    assert (
        events
        == [
            {
                "podwitness.cred.capabilities.gained": status("CapEff"),
                "podwitness.cred.gained_by": "setuid",
                **ids("old", USERS[:2], (NOBODY, NOBODY)),
                **ids("new", USERS[:2], (0, 0)),
                "podwitness.cred.old.user_namespace": namespace,
                "podwitness.cred.new.user_namespace": namespace,
                "podwitness.syscall.name": "setresuid",
            }
        ]
        * N
    )


def program(folder: Path, mode: int, capability: int | None = None) -> int:
    """A descriptor of a program with these marks: it can be run by anybody who has it."""
    if os.statvfs(folder).f_flag & os.ST_NOSUID:
        pytest.skip("the file system of the tests gives no rights")
    path = folder / "program"
    shutil.copy("/bin/true", path)
    path.chmod(mode)
    if capability is not None:  # struct vfs_ns_cap_data: revision 2, effective
        os.setxattr(path, "security.capability", struct.pack("<5I", 0x02000001, 1 << capability, 0, 0, 0))
    return os.open(path, os.O_PATH)


@pytest.mark.parametrize(
    ("mode", "capability", "user", "by", "gained"),
    [
        (0o4755, None, NOBODY, "exec_setuid", None),
        (0o755, RAW, NOBODY, "exec_file_capabilities", ("CAP_NET_RAW",)),
        (0o755, None, 0, "exec_root", None),
        (0o755, None, NOBODY, None, None),
    ],
)
def test_23_execs_that_give_rights_say_which_and_how(
    tmp_path: Path, mode: int, capability: int | None, user: int, by: str | None, gained: tuple[str, ...] | None
) -> None:
    fd = program(tmp_path, mode, capability)

    def work() -> None:
        if user:
            call("setresuid", user, user, user)
        else:
            call("capset", *capset(0, 0, 0))
        os.execve(fd, ["program"], {})

    with recording(tmp_path, settings("privilege.gained")) as finish:
        pids = [in_child(work) for _ in range(N)]
        events = [event for event in finish().of("privilege.gained") if event.pid in pids]
    os.close(fd)
    assert [event.pid for event in events] == (pids if by else [])
    for event in map(attributes, events):
        assert event["podwitness.cred.gained_by"] == by
        assert event["podwitness.cred.capabilities.gained"] == (gained or status("CapBnd"))
        assert event["podwitness.cred.old.user.id"] == user
        assert event["podwitness.cred.new.user.id"] == (0 if by != "exec_file_capabilities" else user)


def user_namespace() -> int:
    """The number of ours."""
    return Path("/proc/self/ns/user").stat().st_ino


def test_23_user_namespaces_that_a_process_makes_for_itself_give_it_all_capabilities_there(tmp_path: Path) -> None:
    report = tmp_path / "namespace"

    def work() -> None:
        call("setresuid", NOBODY, NOBODY, NOBODY)
        call("unshare", CLONE_NEWUSER)
        os.write(out, f"{user_namespace()} ".encode())

    out = os.open(report, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    types = ("privilege.user_namespace", "privilege.gained")
    with recording(tmp_path, settings(*types)) as finish:
        pids = [in_child(work) for _ in range(N)]
        told_all = finish()
    os.close(out)
    inside = [int(number) for number in report.read_text().split()]
    made = [without_thread(attributes(event)) for event in told_all.of(types[0]) if event.pid in pids]
    gained = [without_thread(attributes(event)) for event in told_all.of(types[1]) if event.pid in pids]
    namespaces = [
        {"podwitness.cred.old.user_namespace": user_namespace(), "podwitness.cred.new.user_namespace": number}
        for number in inside
    ]
    call_told = {"podwitness.syscall.name": "unshare"}
    assert made == [{**one, **call_told, "podwitness.namespace.flags": "CLONE_NEWUSER"} for one in namespaces]
    assert gained == [
        {
            **one,
            **call_told,
            "podwitness.cred.gained_by": "user_namespace",
            "podwitness.cred.capabilities.gained": ALL,
            **ids("old", USERS[:2], (NOBODY, NOBODY)),
            **ids("new", USERS[:2], (NOBODY, NOBODY)),
        }
        for one in namespaces
    ]


def test_23_children_in_user_namespaces_of_their_own_are_told_with_their_parent_and_gain(tmp_path: Path) -> None:
    def work() -> None:
        call("setresuid", NOBODY, NOBODY, NOBODY)
        for _ in range(N):
            pid = call("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
            if not pid:
                os._exit(0)
            os.write(theirs, f"{pid} ".encode())
            os.waitpid(pid, 0)
        here = os.open("/proc/self/ns/user", os.O_RDONLY)
        for _ in range(N):
            refused(OSError, "setns", here, CLONE_NEWUSER)

    ours, theirs = os.pipe()
    types = ("privilege.user_namespace", "privilege.gained")
    with recording(tmp_path, settings(*types)) as finish:
        parent = in_child(work)
        told_all = finish()
    children = [int(number) for number in os.read(ours, 4096).split()]
    os.close(ours)
    os.close(theirs)
    events = [attributes(event) for event in told_all.of(types[0]) if event.pid == parent]
    assert [event["podwitness.target.process.pid"] for event in events[:N]] == children
    for event in events[:N]:
        assert event["podwitness.syscall.name"] == "clone"
        assert event["podwitness.namespace.flags"] == "CLONE_NEWUSER|SIGCHLD"
        assert event["podwitness.cred.old.user_namespace"] == user_namespace()
        assert event["podwitness.cred.new.user_namespace"] != user_namespace()
    gained = [event for event in told_all.of(types[1]) if event.pid in children]
    assert [event.pid for event in gained] == children
    assert {attributes(event)["podwitness.cred.gained_by"] for event in gained} == {"user_namespace"}
    assert [event["error.type"] for event in events[N:]] == ["EINVAL"] * N
    assert "podwitness.cred.new.user_namespace" not in events[-1]


@pytest.mark.parametrize("users", [{"include": [NOBODY]}, {"exclude": [0]}], ids=["include", "exclude"])
def test_23_escalations_are_told_by_rules_on_users_that_take_in_who_it_was_before(
    tmp_path: Path, users: dict[str, list[int]]
) -> None:
    """By an exec and by a call; what root does without becoming anybody is left out."""
    fd = program(tmp_path, 0o4755)

    def escalate() -> None:
        call("setresuid", NOBODY, NOBODY, NOBODY)
        os.execve(fd, ["program"], {})

    def come_back() -> None:
        for _ in range(N):
            call("setresuid", NOBODY, NOBODY, 0)
            call("setresuid", 0, 0, 0)
            call("setresuid", 0, 0, 0)

    ruled = json.loads(settings("privilege.gained", "privilege.setuid"))
    ruled["observe"]["users"] = users
    with recording(tmp_path, json.dumps(ruled)) as finish:
        pids = [in_child(escalate) for _ in range(N)]
        pid = in_child(come_back)
        told = finish()
    gained = [event.pid for event in told.of("privilege.gained")]
    assert [one for one in gained if one in pids] == pids
    assert gained.count(pid) == N
    assert len([event for event in told.of("privilege.setuid") if event.pid == pid]) == 2 * N
