"""From the kernel to the receiver: how long an event is on its way, with default settings, and beside it without a disk."""

import statistics
from typing import NamedTuple, TypedDict

from tests.bench.arrivals import Arrival, arrivals
from tests.bench.node import Node, receiver

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


def both(pairs: list[tuple[Latency, Latency]]) -> Both:
    """(disk, memory) of each pair."""
    modes = zip(MODES, zip(*pairs, strict=True), strict=True)
    disk, memory = ({f"{of}_ms": _median(runs, of) for of in Latency._fields} for _mode, runs in modes)
    ratios = {of: statistics.median(getattr(a, of) / getattr(b, of) for a, b in pairs) for of in Latency._fields}
    return {"disk": disk, "memory": memory, "p50_ratio": ratios["p50"], "p99_ratio": ratios["p99"]}


def _median(runs: tuple[Latency, ...], of: str) -> float:
    return statistics.median(getattr(run, of) for run in runs)
