"""The spool's disk is full, read-only, damaged, and the clock jumps: nothing dies, and what is lost is said exactly."""

import os
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.durable import Durable, Flood, flood
from tests.kernel.bpffs import Bpffs
from tests.peers.collector import Collector
from tests.peers.proxy import Proxy
from tests.waiting import wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.peers]

PATIENT = {"retry_initial_seconds": 0.02, "retry_max_seconds": 0.3, "shutdown_seconds": 30}
FEW = {"fields": [{"events": ["synthetic.*"], "include": ["podwitness.*", "log.record.uid"]}]}


class Disk:
    """A file system of the agent's own, small, in its mount namespace; `path` is where the agent sees it."""

    def __init__(self, bpffs: Bpffs, path: Path, size: str) -> None:
        self._bpffs, self.path = bpffs, path
        path.mkdir()
        self.mount("-t", "tmpfs", "-o", f"size={size}", "spool", str(path))

    @property
    def outside(self) -> Path:
        """The same directory for those who are not in the namespace."""
        return Path(f"/proc/{self._bpffs.keeper}/root{self.path}")

    def mount(self, *arguments: str) -> None:
        subprocess.run(self._bpffs.command(["mount", *arguments]), check=True)

    def fill(self) -> Path:
        """Leave no room; the file that takes it."""
        filler = self.outside / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        return filler


def agent_at(proxy: Proxy, folder: Path, bpffs: Bpffs, objects: Path, spool: Path, **more: Any) -> Durable:
    endpoint = f"http://127.0.0.1:{proxy.port}"
    sink = {"type": "otlp_http", "endpoint": endpoint, "spans": False, "timeout_seconds": 2, "queue": PATIENT, **FEW}
    settings = {"sinks": {"main": sink}, "spool": {"path": str(spool)}, **more}
    return Durable(folder / "agent", bpffs, objects, settings)


def port_of(collector: Collector) -> int:
    return int(collector.otlp_endpoint.rpartition(":")[2])


def happens(times: int) -> None:
    """So many numbered events, all told by the kernel when this returns."""
    assert flood(10, times, 0.2).wait(60) == 0


def stated(found: Flood) -> int:
    """Records that the stream says are lost."""
    return sum(int(lost.get("podwitness.agent.lost.count", 0)) for lost in found.lost)


def test_a_disk_that_fills_up_and_has_room_again(
    collector: Collector, tmp_path: Path, bpffs: Bpffs, objects: Path
) -> None:
    disk = Disk(bpffs, tmp_path / "disk", "8m")
    with Proxy(port_of(collector)) as proxy:
        agent = agent_at(proxy, tmp_path, bpffs, objects, disk.path)
        try:
            agent.start()
            agent.watches()
            happens(1000)
            filler = disk.fill()
            happens(1000)
            wait_for(lambda: "degradation begun: spool" in agent.said(), "the agent says that its disk fails")
            happens(1000)  # sent from memory
            filler.unlink()
            wait_for(lambda: "degradation undone: spool" in agent.said(), "the agent says that it works again")
            happens(1000)
            agent.stop()
        finally:
            agent.close()
    found = Flood(collector.logs_path)
    assert found.numbers == dict.fromkeys(range(1000), 4)
    assert (found.twice, found.holes, found.lost) == (0, 0, [])


def test_a_file_system_that_becomes_read_only(
    collector: Collector, tmp_path: Path, bpffs: Bpffs, objects: Path
) -> None:
    disk = Disk(bpffs, tmp_path / "disk", "64m")
    with Proxy(port_of(collector)) as proxy:
        agent = agent_at(proxy, tmp_path, bpffs, objects, disk.path)
        try:
            agent.start()
            agent.watches()
            happens(1000)
            agent.kill()
            disk.mount("-o", "remount,ro", str(disk.path))
            agent.start()
            agent.watches()
            happens(1000)
            wait_for(lambda: "degradation begun: spool" in agent.said(), "the agent says that its disk fails")
            disk.mount("-o", "remount,rw", str(disk.path))
            wait_for(lambda: "degradation undone: spool" in agent.said(), "the agent says that it works again")
            happens(1000)
            agent.stop()
        finally:
            agent.close()
    found = Flood(collector.logs_path)
    assert found.numbers == dict.fromkeys(range(1000), 3)
    assert (found.lost, found.duplicates >= 0) == ([], True)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no database"])
def test_a_damaged_spool_is_set_aside_and_what_is_gone_is_counted(
    collector: Collector, tmp_path: Path, bpffs: Bpffs, objects: Path, damage: str
) -> None:
    with Proxy(port_of(collector)) as proxy:
        agent = agent_at(proxy, tmp_path, bpffs, objects, tmp_path / "spool")
        try:
            proxy.mode = "refuse"
            agent.start()
            agent.watches()
            happens(20_000)
            agent.kill()
            _damage(tmp_path / "spool" / "spool.db", damage)
            proxy.mode = "pass"
            agent.start()
            agent.watches()
            happens(1000)
            agent.stop()
        finally:
            agent.close()
    found = Flood(collector.logs_path)
    assert set(found.numbers.values()) <= {1, 2}
    assert all(found.numbers[n] for n in range(1000))  # of the second run at least
    missing = sum(2 if n < 1000 else 1 for n in range(20_000)) - sum(found.numbers.values())
    assert 0 < missing <= stated(found)
    assert found.holes in (stated(found), 0)  # 0: where nothing could be read, a new stream has begun
    assert damage == "flipped" or list((tmp_path / "spool").glob("spool.db.corrupt-*"))


def _damage(path: Path, damage: str) -> None:
    with sqlite3.connect(path) as database:  # else nearly all is in the write-ahead log
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    size = path.stat().st_size
    if damage == "truncated":
        os.truncate(path, size * 2 // 3)
    elif damage == "no database":
        path.write_bytes(b"no database" * 1000)
    else:
        with path.open("r+b") as file:
            for at in range(size // 4, size * 3 // 4, 500):
                file.seek(at)
                file.write(b"\xff\x00\xff")


def test_the_clock_jumps_an_hour_both_ways(collector: Collector, tmp_path: Path, bpffs: Bpffs, objects: Path) -> None:
    with Proxy(port_of(collector)) as proxy:
        agent = agent_at(proxy, tmp_path, bpffs, objects, tmp_path / "spool")
        try:
            agent.start()
            agent.watches()
            for hours in (1, -2, 1):
                proxy.mode = "refuse"
                proxy.cut()
                happens(1000)
                agent.move_clock(hours * 3600)
                happens(1000)
                proxy.mode = "pass"
                happens(1000)
            agent.stop()
        finally:
            agent.close()
    found = Flood(collector.logs_path)
    assert found.numbers == dict.fromkeys(range(1000), 9)
    assert (found.twice, found.holes, found.lost) == (0, 0, [])
