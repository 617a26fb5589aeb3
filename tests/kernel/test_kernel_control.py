"""Reboots, clocks and rings, as the real probes tell of them; nothing here changes this machine's state."""

import ctypes
import errno
import os
import signal
import struct
import time
from pathlib import Path

import pytest

from exporter.model import Value
from tests.kernel.children import Argument, N, as_nobody, call, done, in_child
from tests.kernel.recorded import recording
from tests.kernel.surface import KERNEL, told_of, word

pytestmark = pytest.mark.kernel

ADJTIMEX, SETTIMEOFDAY, REBOOT = 159, 164, 169
CLOCK_SETTIME, CLOCK_ADJTIME, IO_URING_SETUP = 227, 305, 425

MAGIC, MAGIC2, CAD_ON, WRONG = 0xFEE1DEAD, 672274793, 0x89ABCDEF, 0x1234


def test_23_reboots_with_the_wrong_magic_and_23_without_the_right(tmp_path: Path) -> None:
    # Never one that could come true: what is asked for is what Ctrl-Alt-Del does.
    with recording(tmp_path, KERNEL) as finish:
        wrong = in_child(lambda: [call(REBOOT, WRONG, MAGIC2, CAD_ON, 0) for _ in range(N)])
        refused = in_child(as_nobody(REBOOT, MAGIC, MAGIC2, CAD_ON, 0))
        told = finish()
    command = {"podwitness.reboot.command": "LINUX_REBOOT_CMD_CAD_ON", "podwitness.syscall.name": "reboot"}
    assert wrong.said == [-errno.EINVAL] * N
    assert (
        told_of(told, "kernel.reboot", wrong.pid)
        == [{**command, "podwitness.reboot.wrong_magic": True, "error.type": "EINVAL"}] * N
    )
    assert refused.said == [-errno.EPERM] * N
    assert told_of(told, "kernel.reboot", refused.pid) == [{**command, "error.type": "EPERM"}] * N


CLONE, NEWPID, RESTART = 56, 0x20000000, 0x01234567


def end_namespace() -> int:
    """A pid namespace whose init asks for a restart: the kernel ends that init, and nothing else. Its process id."""
    child = done(CLONE, NEWPID | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        if os.getpid() == 1:
            call(REBOOT, MAGIC, MAGIC2, RESTART, 0)
        os._exit(1)
    _pid, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGHUP
    return child


def test_23_pid_namespaces_that_end_themselves(tmp_path: Path) -> None:
    if "PODWITNESS_MACHINE" not in os.environ:
        pytest.skip("only where a mistake would restart a machine that is there to be thrown away")
    with recording(tmp_path, KERNEL) as finish:
        parent = in_child(lambda: [end_namespace() for _ in range(N)])
        told = finish()
    expected = {"podwitness.reboot.command": "LINUX_REBOOT_CMD_RESTART", "podwitness.syscall.name": "reboot"}
    assert [told_of(told, "kernel.reboot", child) for child in parent.said] == [[expected]] * N


def test_23_clocks_that_may_not_be_set(tmp_path: Path) -> None:
    second, fraction = 1_600_000_000, 500
    when = ctypes.create_string_buffer(struct.pack("<qq", second, fraction))
    steered = ctypes.create_string_buffer(struct.pack("<I", 2).ljust(208, b"\0"), 208)
    asking = ctypes.create_string_buffer(208)
    asked: dict[str, tuple[Argument, ...]] = {
        "settimeofday": (SETTIMEOFDAY, when, None),
        "clock_settime": (CLOCK_SETTIME, 1, when),
        "adjtimex": (ADJTIMEX, steered),
        "clock_adjtime": (CLOCK_ADJTIME, 0, steered),
    }
    with recording(tmp_path, KERNEL) as finish:
        refused = {name: in_child(as_nobody(*arguments)) for name, arguments in asked.items()}
        quiet = in_child(lambda: [call(CLOCK_ADJTIME, 0, asking) for _ in range(N)])
        told = finish()
    at = second * 10**9
    expected: dict[str, dict[str, Value]] = {
        "settimeofday": {"podwitness.clock.id": "CLOCK_REALTIME", "podwitness.clock.time_ns": at + fraction * 1000},
        "clock_settime": {"podwitness.clock.id": "CLOCK_MONOTONIC", "podwitness.clock.time_ns": at + fraction},
        "adjtimex": {"podwitness.clock.id": "CLOCK_REALTIME", "podwitness.clock.adjustments": "ADJ_FREQUENCY"},
        "clock_adjtime": {"podwitness.clock.id": "CLOCK_REALTIME", "podwitness.clock.adjustments": "ADJ_FREQUENCY"},
    }
    for name, child in refused.items():
        assert told_of(told, "kernel.settime", child.pid) == [
            {**expected[name], "podwitness.syscall.name": name, "error.type": word(result)} for result in child.said
        ]
    assert min(quiet.said) >= 0
    assert told_of(told, "kernel.settime", quiet.pid) == []


def test_23_clocks_that_are_set_where_nobody_minds(tmp_path: Path) -> None:
    if "PODWITNESS_MACHINE" not in os.environ:
        pytest.skip("this machine's clock is not the tests' to set")

    def run() -> list[int]:
        seen = []
        for _ in range(N):
            now = time.time_ns()
            done(CLOCK_SETTIME, 0, ctypes.create_string_buffer(struct.pack("<qq", *divmod(now, 10**9))))
            seen.append(now)
        return seen

    with recording(tmp_path, KERNEL) as finish:
        child = in_child(run)
        told = told_of(finish(), "kernel.settime", child.pid)
    assert told == [
        {
            "podwitness.clock.id": "CLOCK_REALTIME",
            "podwitness.clock.time_ns": at,
            "podwitness.syscall.name": "clock_settime",
        }
        for at in child.said
    ]


def test_23_rings_for_calls_that_do_not_show(tmp_path: Path) -> None:
    clamp, sq_aff = 1 << 4, 1 << 2

    def run() -> list[int]:
        results = []
        for _ in range(N):
            parameters = ctypes.create_string_buffer(struct.pack("<III", 0, 0, clamp).ljust(120, b"\0"), 120)
            ring = call(IO_URING_SETUP, 4, parameters)
            results.append(min(ring, 0))
            if ring >= 0:
                os.close(ring)
        wrong = ctypes.create_string_buffer(struct.pack("<III", 0, 0, clamp | sq_aff).ljust(120, b"\0"), 120)
        return [*results, call(IO_URING_SETUP, 4, wrong)]

    with recording(tmp_path, KERNEL) as finish:
        child = in_child(run)
        *told, wrong = told_of(finish(), "kernel.io_uring_setup", child.pid)
    if child.said[0] < 0:
        pytest.skip(f"io_uring is turned off here ({word(child.said[0])})")
    common = {"podwitness.io_uring.entries": 4, "podwitness.syscall.name": "io_uring_setup"}
    assert told == [{"podwitness.io_uring.flags": "IORING_SETUP_CLAMP", **common}] * N
    assert wrong == {
        "podwitness.io_uring.flags": "IORING_SETUP_SQ_AFF|IORING_SETUP_CLAMP",
        "error.type": word(child.said[-1]),
        **common,
    }
