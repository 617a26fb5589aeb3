"""What a process can do without end does not push out what matters: who did it, and what came about."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel.children import N
from tests.kernel.recorded import Told, args, recording, settings

pytestmark = pytest.mark.kernel

NEWUTS, MARK, TRUE = 0x04000000, "what matters", "/bin/true"
REFUSED = "while True: syscall(272, -1)"  # unshare() of nothing that there is
UNCHANGED = "while True: syscall(117, -1, -1, -1)"  # setresuid() to what one is
DONE = f"while True: syscall(272, {NEWUTS})"
LOOP = "import ctypes\nsyscall = ctypes.CDLL(None).syscall\n{}"
SMALL = 32 * 1024


def small_rings(*types: str) -> str:
    whole = json.loads(settings(*types))
    return json.dumps(whole | {"kernel": {"lifecycle_ring_bytes": SMALL, "activity_ring_bytes": SMALL}})


@contextmanager
def flood(script: str) -> Iterator[int]:
    """A process that makes one call as often as it can, which no reader keeps up with; its process id."""
    process = subprocess.Popen([sys.executable, "-c", LOOP.format(script)])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def what_matters() -> list[int]:
    """23 programs, each in a UTS namespace of its own: their process ids."""
    started = []
    for _ in range(N):
        process = subprocess.Popen(["unshare", "--uts", TRUE, MARK])
        assert process.wait() == 0
        started.append(process.pid)
    return started


def lives(told: Told) -> list[int]:
    return [event.pid for event in told.of("process.exec") if args(event) == (TRUE, MARK)]


@pytest.mark.parametrize(
    ("flooding", "types"), [(REFUSED, ("namespace.unshare",)), (UNCHANGED, ("namespace.unshare", "privilege.setuid"))]
)
def test_calls_that_are_refused_or_change_nothing_push_out_nothing(
    tmp_path: Path, flooding: str, types: tuple[str, ...]
) -> None:
    with recording(tmp_path, small_rings(*types)) as finish:
        with flood(flooding) as other:
            started = what_matters()
        told = finish()
    assert lives(told) == started
    assert [event.pid for event in told.of("namespace.unshare") if event.pid != other] == started
    assert sum(event.pid == other for event in told.events) > N


def test_calls_that_succeed_push_out_no_life(tmp_path: Path) -> None:
    with recording(tmp_path, small_rings("namespace.unshare")) as finish:
        with flood(DONE) as other:
            started = what_matters()
        told = finish()
    assert lives(told) == started
    assert sum(event.pid == other for event in told.of("namespace.unshare")) > N
