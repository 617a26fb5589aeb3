"""A memory limit just above the agent's own ceiling, and a flood with nobody to send to: it does less, and lives."""

import random
from pathlib import Path

import pytest

from exporter import probes
from tests.e2e.agent import cgroup
from tests.e2e.durable import Durable, flood
from tests.kernel.bpffs import Bpffs
from tests.waiting import wait_for

pytestmark = pytest.mark.kernel

OTHERS = [kind.name for kind in probes.KINDS if kind not in probes.LIFE]
CEILING = 96 << 20


def test_it_degrades_as_announced_and_is_not_killed(tmp_path: Path, bpffs: Bpffs, objects: Path) -> None:
    name = f"podwitness-test-{random.getrandbits(32):08x}"
    sinks = {
        f"dead{n}": {"type": "otlp_http", "endpoint": "http://127.0.0.1:9", "queue": {"max_bytes": 64 << 20}}
        for n in range(3)
    }
    told = {"type": "file", "path": str(tmp_path / "told.jsonl"), "events": {"include": ["agent.*"]}}
    settings = {
        "sinks": sinks | {"told": told},
        "spool": {"mode": "memory"},
        "memory": {"limit_bytes": CEILING},
        "observe": {"types": {"exclude": OTHERS}},
    }
    with cgroup(name, "memory") as group:
        limit = group / "memory.limit_in_bytes"
        if not limit.exists():
            limit = group / "memory.max"
        limit.write_text(str(CEILING + CEILING // 4))
        agent = Durable(tmp_path / "agent", bpffs, objects, settings)
        try:
            agent.start(group)
            agent.watches()
            while "begun: queues" not in agent.said():
                assert flood(500, 40_000, 0.5).wait(60) == 0
                assert agent.process is not None
                assert agent.process.poll() is None, agent.said()
            begun = [line.split("begun: ")[1].split()[0] for line in agent.said().splitlines() if "begun: " in line]
            assert begun[:4] == ["caches", "activity:synthetic.activity", "arguments", "queues"]
            assert flood(100, 1000, 0.1).wait(60) == 0
            wait_for(lambda: "shed_memory" in agent.said(), "what was left out is told")
            agent.stop()
        finally:
            agent.close()
    events = (tmp_path / "told.jsonl").read_text()
    assert events.count("podwitness.agent.degradation") >= 4
    assert "shed_memory" in events
