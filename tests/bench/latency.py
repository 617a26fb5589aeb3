"""From the kernel to the receiver: how long an event is on its way with default settings, and beside it in memory mode.

An event's time is the kernel's, when it happened; it has arrived when the receiver has read all of its request.
"""

import statistics
from collections.abc import Callable
from typing import NamedTuple, TypedDict

from tests.bench.arrivals import Arrival, arrivals
from tests.bench.node import Node, receiver

PAIRS = 2
RATES = {1_000: 10, 10_000: 5}
"""Events a second, and for how many seconds."""
MODES = ("disk", "memory")


class Latency(NamedTuple):
    """Of the events of one run, ms."""

    p50: float
    p99: float


class Both(TypedDict):
    """Medians over the runs, ms, and what the disk's are of memory's."""

    disk: dict[str, float]
    memory: dict[str, float]
    p50_ratio: float
    p99_ratio: float


def once(node: Node, mode: str, name: str) -> dict[int, Latency]:
    """One agent, at each rate in turn."""
    folder = node.folder / name
    with receiver(file=node.folder / f"{name}.bodies") as port:
        spool = {"path": str(folder / "spool"), "mode": mode}
        agent = node.agent(name, port, kernel={"persist": False}, spool=spool)
        try:
            agent.start()
            agent.watches()
            pids = {rate: node.produce(rate * seconds, rate).pid for rate, seconds in RATES.items()}
            agent.stop()
        finally:
            agent.close()
    found = arrivals(node.folder / f"{name}.bodies")
    return {rate: _of([one for one in found if one.pid == pid], rate) for rate, pid in pids.items()}


def _of(found: list[Arrival], rate: int) -> Latency:
    """The first second, which wakes all up, is left out."""
    assert sorted(one.number for one in found) == list(range(rate * RATES[rate])), f"not all came at {rate}/s"
    late = [(one.arrived - one.happened) / 1e6 for one in found if one.number >= rate]
    cuts = statistics.quantiles(late, n=100)
    return Latency(cuts[49], cuts[98])


def measure(node: Node, say: Callable[[str], None]) -> dict[int, Both]:
    """Both modes in turn, by rate."""
    pairs = []
    for number in range(1, PAIRS + 1):
        pair = [once(node, mode, f"latency-{mode}-{number}") for mode in MODES]
        pairs.append(pair)
        for rate in RATES:
            disk, memory = (run[rate] for run in pair)
            say(f"latency {number}/{PAIRS}, {rate}/s: p99 ms disk {disk.p99:.0f}, memory {memory.p99:.0f}")
    return {rate: _both([(disk[rate], memory[rate]) for disk, memory in pairs]) for rate in RATES}


def _both(pairs: list[tuple[Latency, Latency]]) -> Both:
    return {
        "disk": _medians([disk for disk, _memory in pairs]),
        "memory": _medians([memory for _disk, memory in pairs]),
        "p50_ratio": statistics.median(disk.p50 / memory.p50 for disk, memory in pairs),
        "p99_ratio": statistics.median(disk.p99 / memory.p99 for disk, memory in pairs),
    }


def _medians(runs: list[Latency]) -> dict[str, float]:
    return {
        "p50_ms": statistics.median(run.p50 for run in runs),
        "p99_ms": statistics.median(run.p99 for run in runs),
    }
