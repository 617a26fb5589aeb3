"""What the agent shows of itself, found by looking for it as root does."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.source.hooks import Better, Probe
from exporter.status import Shown, Status, agents
from exporter.telemetry import Ledger

PROC = Path("/proc")
PROBES = (
    Probe("process.exec", "tp_btf/sched_process_exec", programs=("on_exec",)),
    Probe("file.open", "", "no such hook", (Better("fexit/do_filp_open", "no trampolines"),)),
)
IMPOSTOR = """
import os, sys
fd = os.memfd_create("podwitness-status")
os.write(fd, sys.argv[1].encode())
if int(sys.argv[2]):
    os.fchown(fd, int(sys.argv[2]), -1)
print("ready", flush=True)
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
    return [status for status in agents(PROC) if status.settings == str(folder / "config.yaml")]


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of somebody else's")
@pytest.mark.parametrize(("owner", "text", "count"), [("0", None, 1), ("65534", None, 0), ("0", "{", 0), ("0", "", 0)])
def test_only_what_root_or_we_have_made_is_believed_and_only_if_it_is_whole(
    tmp_path: Path, ledger: Ledger, owner: str, text: str | None, count: int
) -> None:
    shown = Shown(str(tmp_path / "config.yaml"), PROBES, {}, ledger)
    whole = os.pread(shown._fd, 1 << 20, 0).decode()
    shown.close()
    command = [sys.executable, "-c", IMPOSTOR, whole if text is None else text, owner]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "ready\n"
        assert [status.pid for status in ours(tmp_path)] == [other.pid] * count
