"""The agent is killed again and again, and replaced by another build, while a workload that counts itself runs."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.durable import OURS, Durable, Flood, build, flood
from tests.kernel.bpffs import Bpffs
from tests.peers.collector import Collector

pytestmark = [pytest.mark.kernel, pytest.mark.peers]

EXECS, ACTIVITY = 10_000, 200_000
FEW = {"fields": [{"events": ["synthetic.*"], "include": ["podwitness.*", "log.record.uid"]}]}


def assert_all_arrived(found: Flood, execs: int, activity: int) -> None:
    assert found.execs == {f"{OURS}{n}": 1 for n in range(execs)}
    assert found.numbers == dict.fromkeys(range(activity), 1)
    assert (found.twice, found.holes, found.lost) == (0, 0, [])


def test_killed_every_two_seconds_for_a_minute_nothing_is_lost(
    collector: Collector, tmp_path: Path, bpffs: Bpffs, objects: Path
) -> None:
    sink = {"type": "otlp_http", "endpoint": collector.otlp_endpoint, "spans": False, **FEW}
    agent = Durable(tmp_path / "agent", bpffs, objects, {"sinks": {"main": sink}})
    try:
        agent.start()
        agent.watches()
        workload = flood(EXECS, ACTIVITY, 60)
        while not _ended(workload, within=2):
            agent.kill()
            agent.start()
        assert workload.returncode == 0
        agent.watches()
        said = agent.stop()
    finally:
        agent.close()
    assert agent.starts > 20
    assert "dropped 0" in said
    assert "kept" not in said
    assert_all_arrived(Flood(collector.logs_path), EXECS, ACTIVITY)
    verdict = agent.command("verify", str(collector.logs_path), "--spool", str(agent.spool))
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    assert agent.command("unload", "--config", str(agent.config)).returncode == 0
    assert not (bpffs.path / "podwitness").exists()


def _ended(workload: "subprocess.Popen[bytes]", within: float) -> bool:
    try:
        workload.wait(within)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_another_build_takes_over_under_load_and_no_event_is_lost_or_told_twice(
    collector: Collector, tmp_path: Path, bpffs: Bpffs, objects: Path
) -> None:
    newer = build(
        tmp_path / "newer",
        activity=("\t__u32 pad;", "\t__u32 pad;\n\t__u64 more;"),
        process=(
            "\tsignal_t signal;\n\tflag_t core_dumped;",
            "\tsignal_t signal;\n\t__u32 unheard_of;\n\tflag_t core_dumped;",
        ),
    )
    sink = {"type": "otlp_http", "endpoint": collector.otlp_endpoint, "spans": False, **FEW}
    agent = Durable(tmp_path / "agent", bpffs, objects, {"sinks": {"main": sink}})
    try:
        agent.start()
        agent.watches()
        workload = flood(1000, 40_000, 40)
        for build_of_it in (newer, objects, newer):
            assert not _ended(workload, within=4)
            agent.kill()
            agent.objects = build_of_it
            agent.start()
            agent.watches()
        assert workload.wait(60) == 0
        agent.stop()
    finally:
        agent.close()
    assert_all_arrived(Flood(collector.logs_path), 1000, 40_000)
