"""What the agent shows of itself, found by looking for it as root does."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from exporter.source.hooks import Better, Probe
from exporter.status import Shown, Status, agents
from exporter.telemetry import Ledger

PROC = Path("/proc")
PROBES = (
    Probe("process.exec", "tp_btf/sched_process_exec", programs=("on_exec",)),
    Probe("file.open", "", "no such hook", (Better("fexit/do_filp_open", "no trampolines"),)),
)
NEW_USER, NEW_PID = 0x10000000, 0x20000000
IMPOSTOR = """
import ctypes, fcntl, os, sys
name, text, owner, size = "podwitness-status", sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
namespaces, capabilities, lock = int(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6])
if namespaces:
    ctypes.CDLL(None).unshare(namespaces)
    if namespaces == 0x20000000 and (child := os.fork()):
        print(child, flush=True)
        os.waitpid(child, 0)
        os._exit(0)
fd = os.memfd_create(name)
os.write(fd, text.encode())
os.ftruncate(fd, size or len(text.encode()))
if owner:
    os.fchown(fd, owner, -1)
if lock:
    fcntl.flock(fd, fcntl.LOCK_EX)
if not capabilities:  # capset(), version 3: none
    ctypes.CDLL(None).syscall(126, (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
print("ready" if namespaces == 0x20000000 else os.getpid(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def shown(tmp_path: Path, ledger: Ledger) -> Iterator[Shown]:
    shown = Shown(str(tmp_path / "a" / ".." / "config.yaml"), PROBES, {"on_exec": 7}, ledger)
    yield shown
    shown.close()


def ours(folder: Path) -> list[Status]:
    """Other agents may run on this machine."""
    return [status for status in agents(PROC).agents if status.settings == str(folder / "config.yaml")]


def test_an_agent_is_found_with_all_that_it_shows(tmp_path: Path, ledger: Ledger, shown: Shown) -> None:
    (status,) = ours(tmp_path)
    assert (status.pid, status.probes, status.programs) == (os.getpid(), PROBES, {"on_exec": 7})
    assert (status.events, status.lost) == ({}, {})
    ledger.see(["process.exec"] * 23)
    ledger.lose("activity", 4)
    shown.show()
    (status,) = ours(tmp_path)
    assert (status.events, status.lost) == ({"process.exec": 23}, {"activity": 4})


def test_an_agent_that_has_ended_is_not_found(tmp_path: Path, ledger: Ledger) -> None:
    Shown(str(tmp_path / "config.yaml"), PROBES, {}, ledger).close()
    assert ours(tmp_path) == []


def test_what_becomes_shorter_has_no_old_end(tmp_path: Path, ledger: Ledger, shown: Shown) -> None:
    ledger.see(["process.exec"] * 10**6)
    shown.show()
    ledger.seen.clear()
    shown.show()
    assert [status.events for status in ours(tmp_path)] == [{}]


def test_a_reader_that_never_ends_does_not_hold_up_the_agent(tmp_path: Path, ledger: Ledger, shown: Shown) -> None:
    with Path(f"/proc/self/fd/{shown._fd}").open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        ledger.see(["process.exec"])
        shown.show()
        assert [status.events for status in ours(tmp_path)] == [{}]
    shown.show()
    assert [status.events for status in ours(tmp_path)] == [{"process.exec": 1}]


@contextmanager
def impostor(
    text: str, *, owner: int = 0, size: int = 0, namespaces: int = 0, capabilities: bool = True, lock: bool = False
) -> Iterator[int]:
    """Another process with a file of that name; its pid."""
    arguments = [text, *(str(int(one)) for one in (owner, size, namespaces, capabilities, lock))]
    with subprocess.Popen(
        [sys.executable, "-c", IMPOSTOR, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        pid = int(other.stdout.readline())
        if namespaces == NEW_PID:
            assert other.stdout.readline() == "ready\n"
        yield pid


@pytest.fixture
def whole(tmp_path: Path, ledger: Ledger) -> str:
    """What an agent shows that runs no more."""
    shown = Shown(str(tmp_path / "config.yaml"), PROBES, {}, ledger)
    try:
        return os.pread(shown._fd, 1 << 20, 0).decode()
    finally:
        shown.close()


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be taken for an agent")


@only_root
def test_another_process_of_root_with_all_rights_is_believed(tmp_path: Path, whole: str) -> None:
    with impostor(whole) as pid:
        assert [status.pid for status in ours(tmp_path)] == [pid]


@only_root
@pytest.mark.parametrize(
    ("changed", "doubt"),
    [
        ({"owner": 65534}, "shows a file that is somebody else's"),
        ({"text": "{"}, "shows what no agent of this version writes"),
        ({"text": ""}, "shows what no agent of this version writes"),
        ({"size": 1 << 40}, "shows more than any agent has to say"),
        ({"lock": True}, "keeps what it shows locked"),
        ({"capabilities": False}, "has not the capabilities that an agent needs"),
        ({"capabilities": False, "lock": True}, "has not the capabilities that an agent needs"),
        ({"namespaces": NEW_USER}, "is in another user namespace"),
        ({"namespaces": NEW_PID}, "is in another pid namespace"),
    ],
)
def test_who_is_not_believed_is_told_at_once_and_why(
    tmp_path: Path, whole: str, changed: dict[str, Any], doubt: str
) -> None:
    with impostor(**{"text": whole, **changed}) as pid:
        began = time.monotonic()
        assert f"pid {pid} {doubt}" in agents(PROC).doubted
        assert ours(tmp_path) == []
        assert time.monotonic() - began < 20
