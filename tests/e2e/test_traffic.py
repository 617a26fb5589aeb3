"""Numbers of connections from the kernel to a real Collector: what arrives adds up to what was done."""

import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import probes
from tests.e2e.agent import PODWITNESS, agent, cgroup, container_id, enter
from tests.kernel.bpffs import Bpffs, bpffs
from tests.kernel.test_destinations import ANSWER, CLIENT, QUESTION, answering
from tests.peers.collector import Collector, Record
from tests.waiting import wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.peers]

N = 23
NETWORK = "podwitness.network."


def settings(collector: Collector) -> dict[str, Any]:
    """Metrics twice a second; no event of the network is told."""
    unnamed = [kind.name for kind in probes.KINDS if kind not in probes.LIFE]
    return {
        "kubernetes": {"mode": "off"},
        "sinks": {},
        "observe": {"network": {"metrics": True}, "types": {"exclude": unnamed}},
        "telemetry": {"metrics_endpoint": collector.otlp_endpoint, "metrics_interval_seconds": 0.5},
    }


def newest(collector: Collector, port: int) -> list[Record]:
    """The last point of each series of a port."""
    found = dict[tuple[object, ...], Record]()
    for point in collector.metrics():
        if point.attributes.get("server.port") == port:
            found[point.raw["name"], *sorted(point.attributes.items()), *sorted(map(repr, point.resource.items()))] = (
                point
            )
    return list(found.values())


def sums(points: list[Record]) -> Counter[tuple[str, str]]:
    """Of each metric, by outcome or direction."""
    counted = Counter[tuple[str, str]]()
    for point in points:
        name = point.raw["name"].removeprefix(NETWORK)
        by = str(point.attributes.get("podwitness.outcome", point.attributes.get("network.io.direction", "")))
        counted[name, by] += int(point.raw.get("asInt", point.raw.get("count", 0)))
    return counted


def test_what_arrives_at_a_collector_is_what_the_workload_did(collector: Collector, tmp_path: Path) -> None:
    """Two processes, one in a container, and one whose connections are refused; all are gone before the interval is."""
    container = container_id()
    everything = {
        ("connections", "established"): 3 * N,
        ("connect.duration", ""): 3 * N,
        ("io", "transmit"): 3 * N * len(QUESTION),
        ("io", "receive"): 3 * N * len(ANSWER),
    }
    with cgroup(f"/docker/{container}") as folder, answering() as port, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        refusing = nobody.getsockname()[1]
        with agent(tmp_path, settings(collector)) as running:
            inside = subprocess.Popen(
                [sys.executable, "-S", "-c", CLIENT, str(port), str(N)], preexec_fn=lambda: enter(folder)
            )
            outside = subprocess.Popen([sys.executable, "-S", "-c", CLIENT, str(port), str(2 * N)])
            assert (inside.wait(), outside.wait()) == (0, 0)
            script = f"import socket\nfor _ in range({N}): assert socket.socket().connect_ex(('127.0.0.1', {refusing}))"
            subprocess.run([sys.executable, "-S", "-c", script], check=True)
            collector.wait_for(lambda it: sums(newest(it, port)) == everything)
            collector.wait_for(lambda it: sums(newest(it, refusing)) == {("connections", "failed"): N})
            running.stop()
    points = newest(collector, port)
    assert sums(points) == everything
    for process, resource in ((inside, container), (outside, None)):
        own = [point for point in points if point.attributes["process.pid"] == process.pid]
        assert {point.resource.get("container.id") for point in own} == {resource}
        assert {point.attributes["process.executable.name"] for point in own} == {Path(sys.executable).resolve().name}
    assert {point.attributes["server.address"] for point in points} == {"127.0.0.1"}
    assert {point.attributes["network.transport"] for point in points} == {"tcp"}
    assert {point.raw["name"]: point.raw["unit"] for point in points} == {
        f"{NETWORK}connections": "{connection}", f"{NETWORK}connect.duration": "s", f"{NETWORK}io": "By",
    }  # fmt: skip


def test_numbers_outlive_the_agent_and_its_programs(collector: Collector, tmp_path: Path) -> None:
    """One agent counts, none is there, and another one comes whose programs take over from those that are pinned."""
    with bpffs(tmp_path) as fs, answering() as port:
        with pinned(fs, tmp_path, collector, 1 << 20):
            connect(port)
            collector.wait_for(lambda it: sums(newest(it, port))["connections", "established"] == N)
        connect(port)
        with pinned(fs, tmp_path, collector, 1 << 21):
            collector.wait_for(lambda it: sums(newest(it, port))["connections", "established"] == 2 * N)
            connect(port)
            collector.wait_for(lambda it: sums(newest(it, port))["io", "receive"] == 3 * N * len(ANSWER))
    points = newest(collector, port)
    assert sums(points)["connections", "established"] == 3 * N
    assert sums(points)["io", "transmit"] == 3 * N * len(QUESTION)
    assert len({point.attributes["podwitness.process.entity_id"] for point in points}) == 3


def connect(port: int) -> None:
    """23 connections of one process, which is gone then."""
    subprocess.run([sys.executable, "-S", "-c", CLIENT, str(port), str(N)], check=True)


@contextmanager
def pinned(fs: Bpffs, folder: Path, collector: Collector, ring: int) -> Iterator[None]:
    """An agent whose programs stay; with another size of ring they are others."""
    config, log = folder / "pinned.yaml", folder / f"{ring}.log"
    kernel = {"persist": True, "pin_path": str(fs.path / "podwitness"), "lifecycle_ring_bytes": ring}
    spool = {"path": str(folder / "spool")}
    sinks = {"file": {"type": "file", "path": str(folder / "events.jsonl")}}
    config.write_text(yaml.safe_dump(settings(collector) | {"kernel": kernel, "spool": spool, "sinks": sinks}))
    with log.open("w") as stderr:
        running = subprocess.Popen(fs.command([PODWITNESS, "run", "--config", str(config)]), stderr=stderr)
    try:
        wait_for(lambda: "watching" in log.read_text() or running.poll() is not None, "it watches")
        yield
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0, log.read_text()
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
