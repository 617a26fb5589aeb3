"""Processes that reach into others, as the real probes tell of them."""

import ctypes
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from exporter.model import Value
from tests.e2e.agent import cgroup, enter
from tests.kernel import recorded
from tests.kernel.calls import call, in_child, refused, start_child
from tests.kernel.recorded import attributes, recording, settings
from tests.waiting import wait_for

pytestmark = pytest.mark.kernel

N = 23
NOBODY = 1000
CLONE_NEWNS, CLONE_NEWPID = 0x20000, 0x20000000
TRACEME, POKEDATA, CONT, ATTACH, DETACH, SEIZE, SETREGSET = 0, 5, 7, 16, 17, 0x4206, 0x4205
ABSENT = 2**22 - 1  # a process id that is never given: pid_max is the next one

Told = dict[str, Value]


def sleep_until_killed() -> None:
    """What a target does."""
    while True:
        signal.pause()


@contextmanager
def target(work: Callable[[], object] = sleep_until_killed) -> Iterator[int]:
    """A child to which things are done, in the block."""
    pid = start_child(work)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def told(events: recorded.Told, kind: str, pid: int) -> list[Told]:
    """What is told of one process, without its thread."""
    found = [attributes(event) for event in events.of(kind) if event.pid == pid]
    assert {event.pop("podwitness.process.thread.id") for event in found} <= {pid}
    return found


def start_ticks(pid: int) -> int:
    """When a process began, in ticks after boot."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_23_processes_that_are_traced_are_23_events_with_who_they_are(tmp_path: Path) -> None:
    with target() as pid, recording(tmp_path, settings("privilege.ptrace")) as finish:
        began = start_ticks(pid)

        def work() -> None:
            for _ in range(N):
                call("ptrace", SEIZE, pid, 0, 0)
                call("ptrace", 0x4207, pid, 0, 0)  # INTERRUPT: not told
                os.waitpid(pid, 0x40000000)  # __WALL
                call("ptrace", DETACH, pid, 0, 0)  # nor this

        tracer = in_child(work)
        events = finish()
        assert (
            told(events, "privilege.ptrace", tracer)
            == [{"podwitness.ptrace.request": "PTRACE_SEIZE", "podwitness.target.process.pid": pid}] * N
        )
        for event in events.events:
            if event.kind.name == "privilege.ptrace" and event.pid == tracer:
                assert event.facts is not None
                assert int(str(event.facts["target.start_time"])) // 10_000_000 == began
                assert event.facts["target.comm"] == Path(f"/proc/{pid}/comm").read_text().strip()
                assert event.facts["target.cgroup"] == event.cgroup  # it is our child, and so is the tracer


def test_each_request_that_changes_a_traced_process_is_told(tmp_path: Path) -> None:
    word = ctypes.c_long(23)

    with target() as pid, recording(tmp_path, settings("privilege.ptrace")) as finish:

        def work() -> None:
            call("ptrace", ATTACH, pid, 0, 0)
            os.waitpid(pid, 0x40000000)
            for _ in range(N):
                call("ptrace", POKEDATA, pid, ctypes.addressof(word), 23)  # the child has what we have
            call("ptrace", 2, pid, ctypes.addressof(word), ctypes.addressof(word))  # PEEKDATA: not told
            refused(OSError, "ptrace", SETREGSET, pid, 1, 0)
            call("ptrace", DETACH, pid, 0, 0)

        tracer = in_child(work)
        child = in_child(lambda: call("ptrace", TRACEME, 0, 0, 0))
        events = finish()
    requests = [event["podwitness.ptrace.request"] for event in told(events, "privilege.ptrace", tracer)]
    assert requests == ["PTRACE_ATTACH", *["PTRACE_POKEDATA"] * N, "PTRACE_SETREGSET"]
    assert told(events, "privilege.ptrace", child) == [
        {"podwitness.ptrace.request": "PTRACE_TRACEME", "podwitness.target.process.pid": child}
    ]


def test_23_refused_attempts_to_trace_say_why_and_whom(tmp_path: Path) -> None:
    with target() as pid, recording(tmp_path, settings("privilege.ptrace")) as finish:

        def work() -> None:
            call("setresuid", NOBODY, NOBODY, NOBODY)
            for _ in range(N):
                refused(PermissionError, "ptrace", ATTACH, pid, 0, 0)
            refused(ProcessLookupError, "ptrace", ATTACH, ABSENT, 0, 0)

        tracer = in_child(work)
        events = told(finish(), "privilege.ptrace", tracer)
    assert events == [
        {
            "podwitness.ptrace.request": "PTRACE_ATTACH",
            "podwitness.target.process.pid": pid,
            "error.type": "EPERM",
        }
    ] * N + [{"podwitness.ptrace.request": "PTRACE_ATTACH", "error.type": "ESRCH"}]


@pytest.mark.parametrize("name", ["process_vm_readv", "process_vm_writev"])
def test_23_looks_into_the_memory_of_another_say_how_much(tmp_path: Path, name: str) -> None:
    memory = ctypes.create_string_buffer(b"x" * 4096, 4096)
    vector = (ctypes.c_ulong * 2)(ctypes.addressof(memory), 4096)
    address = ctypes.addressof(vector)

    with target() as pid, recording(tmp_path, settings("privilege.vm_access")) as finish:

        def work() -> None:
            for _ in range(N):
                assert call(name, pid, address, 1, address, 1, 0) == 4096
            refused(ProcessLookupError, name, ABSENT, address, 1, address, 1, 0)
            call("setresuid", NOBODY, NOBODY, NOBODY)
            for _ in range(N):
                refused(PermissionError, name, pid, address, 1, address, 1, 0)

        who = in_child(work)
        events = told(finish(), "privilege.vm_access", who)
    of_target = {"podwitness.syscall.name": name, "podwitness.target.process.pid": pid}
    assert (
        events
        == [{**of_target, "podwitness.vm_access.bytes": 4096}] * N
        + [{"podwitness.syscall.name": name, "podwitness.vm_access.bytes": 0, "error.type": "ESRCH"}]
        + [{**of_target, "podwitness.vm_access.bytes": 0, "error.type": "EPERM"}] * N
    )


def first_of_another_namespace(report: int) -> None:
    """A process that begins a pid namespace with a child, tells its id, and ends when that does."""
    call("unshare", CLONE_NEWPID)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    child = start_child(sleep_until_killed)
    os.write(report, str(child).encode())
    os.waitpid(child, 0)


@contextmanager
def other_init() -> Iterator[int]:
    """The first process of another pid namespace: its id in ours."""
    ours, theirs = os.pipe()
    with target(partial(first_of_another_namespace, theirs)):
        pid = int(os.read(ours, 16))
        os.close(ours)
        os.close(theirs)
        try:
            wait_for(lambda: takes(pid, signal.SIGUSR1), "it has its handler")
            yield pid
        finally:
            os.kill(pid, signal.SIGKILL)


def takes(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for this signal."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def test_23_signals_to_the_first_process_of_another_pid_namespace(tmp_path: Path) -> None:
    with other_init() as pid, recording(tmp_path, settings("privilege.signal")) as finish:

        def work() -> None:
            for _ in range(N):
                os.kill(pid, signal.SIGUSR1)
            call("tgkill", pid, pid, signal.SIGUSR1)
            call("tkill", pid, signal.SIGURG)  # nobody waits for it
            descriptor = os.pidfd_open(pid)
            signal.pidfd_send_signal(descriptor, signal.SIGUSR1)
            call("setresuid", NOBODY, NOBODY, NOBODY)
            for _ in range(N):
                refused(PermissionError, "kill", pid, signal.SIGTERM)

        sender = in_child(work)
        events = told(finish(), "privilege.signal", sender)
    of_target = {"podwitness.target.process.pid": pid}
    sent = {**of_target, "podwitness.signal.name": "SIGUSR1"}
    assert (
        events
        == [{**sent, "podwitness.syscall.name": "kill"}] * N
        + [
            {**sent, "podwitness.syscall.name": "tgkill"},
            {
                **of_target,
                "podwitness.signal.name": "SIGURG",
                "podwitness.signal.ignored": True,
                "podwitness.syscall.name": "tkill",
            },
            {**sent, "podwitness.syscall.name": "pidfd_send_signal"},
        ]
        + [
            {
                **of_target,
                "podwitness.signal.name": "SIGTERM",
                "podwitness.syscall.name": "kill",
                "error.type": "EPERM",
            }
        ]
        * N
    )


def in_mounts_of_its_own(folder: Path) -> None:
    """What a container of the host's pid namespace is: another cgroup, other mounts."""
    enter(folder)
    call("unshare", CLONE_NEWNS)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    sleep_until_killed()


def in_a_cgroup_of_its_own(folder: Path) -> None:
    """What a service of the host is."""
    enter(folder)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    sleep_until_killed()


@pytest.mark.parametrize(("work", "count"), [(in_mounts_of_its_own, N), (in_a_cgroup_of_its_own, 0)])
def test_23_signals_to_a_container_of_the_hosts_pid_namespace_are_told_and_to_a_service_none(
    tmp_path: Path, work: Callable[[Path], None], count: int
) -> None:
    with cgroup(f"podwitness-reach-{os.getpid()}") as folder, target(partial(work, folder)) as pid:
        wait_for(lambda: takes(pid, signal.SIGUSR1), "it has its handler")
        with recording(tmp_path, settings("privilege.signal")) as finish:

            def send() -> None:
                for _ in range(N):
                    os.kill(pid, signal.SIGUSR1)

            sender = in_child(send)
            events = told(finish(), "privilege.signal", sender)
    assert [event["podwitness.target.process.pid"] for event in events] == [pid] * count


def test_signals_within_a_container_are_not_told(tmp_path: Path) -> None:
    with target() as pid, recording(tmp_path, settings("privilege.signal")) as finish:

        def work() -> None:
            for _ in range(N):
                os.kill(pid, signal.SIGURG)
            os.kill(pid, 0)
            refused(ProcessLookupError, "kill", ABSENT, signal.SIGTERM)
            call("setresuid", NOBODY, NOBODY, NOBODY)
            refused(PermissionError, "kill", pid, signal.SIGTERM)

        sender = in_child(work)
        assert told(finish(), "privilege.signal", sender) == []
