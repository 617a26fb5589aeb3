"""After a kill: how long until 100,000 events that wait on the disk are all acknowledged, beside a start with none.

The receiver is away while they happen; the agent is killed when all of them are in the spool. Time runs from the start
of the next agent, receiver up, to when the receiver had the last of them. The cold start goes to the first record of an
agent whose spool is new.
"""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple, TypedDict

from exporter.sink.spool.reading import Spooled, spooled
from tests.bench.arrivals import Arrival, arrivals, requests
from tests.bench.node import Node, free_port, receiver
from tests.e2e.durable import Durable
from tests.waiting import wait_for

PAIRS = 3
WAITING = 100_000
_RATE = 25_000  # a second, so that none of them is lost in the ring
_LOOK = 0.25  # seconds between two looks into the spool, which cost the agent something


class Run(NamedTuple):
    """Seconds from the agent's start; `events_per_second` is from the first acknowledged to the last."""

    cold_start: float
    first: float
    last: float
    events_per_second: float


class Recovery(TypedDict):
    """Medians; the ratio is recovery to cold start, run by run."""

    cold_start_seconds: float
    first_seconds: float
    last_seconds: float
    events_per_second: float
    ratio: float


def measure(node: Node, say: Callable[[str], None]) -> Recovery:
    """Cold starts and recoveries in turn."""
    runs = []
    for number in range(1, PAIRS + 1):
        runs.append(run := once(node, f"recovery-{number}"))
        say(f"recovery {number}/{PAIRS}: {WAITING} events in {run.last:.2f} s, a cold start {run.cold_start:.2f} s")
    cold, first, last, rate = (statistics.median(of) for of in zip(*runs, strict=True))
    return {
        "cold_start_seconds": cold,
        "first_seconds": first,
        "last_seconds": last,
        "events_per_second": rate,
        "ratio": statistics.median(run.last / run.cold_start for run in runs),
    }


def once(node: Node, name: str) -> Run:
    """A cold start, a kill and a recovery."""
    return Run(_cold(node, f"{name}-cold"), *_killed(node, f"{name}-killed"))


def _cold(node: Node, name: str) -> float:
    file = node.folder / f"{name}.bodies"
    with receiver(file=file) as port:
        agent = node.agent(name, port)
        try:
            began = _start(agent)
            wait_for(lambda: file.stat().st_size, "the first record")
            agent.stop()
        finally:
            agent.close()
            _unload(agent)
    return (next(requests(file))[0] - began) / 1e9


def _killed(node: Node, name: str) -> tuple[float, float, float]:
    port, file = free_port(), node.folder / f"{name}.bodies"
    agent = node.agent(name, port)
    try:
        agent.start()
        agent.watches()
        pid = node.produce(WAITING, _RATE).pid
        last = wait_for(lambda: _settled(agent), "all events are in the spool")
        agent.kill()
        with receiver(port, file):
            began = _start(agent)
            wait_for(lambda: _beyond(agent, last), "all events are delivered", seconds=120)
            agent.stop()
    finally:
        agent.close()
        _unload(agent)
    return _times([one for one in arrivals(file) if one.pid == pid], began)


def _times(found: list[Arrival], began: int) -> tuple[float, float, float]:
    assert sorted(one.number for one in found) == list(range(WAITING)), "not all came, or one came twice"
    first, last = ((of - began) / 1e9 for of in (found[0].arrived, found[-1].arrived))
    return first, last, WAITING / (last - first)


def _start(agent: Durable) -> int:
    began = time.time_ns()
    agent.start()
    return began


def _settled(agent: Durable) -> int:
    """The last number in the spool, once it holds all that happened."""
    before = _in_spool(agent).next
    time.sleep(2 * _LOOK)  # the workload has ended: what it did is read within 20 ms and committed within 100
    now = _in_spool(agent)
    return now.next - 1 if now.next - before < WAITING / 100 and now.next > WAITING else 0


def _beyond(agent: Durable, last: int) -> bool:
    """Whether everything up to number `last` is off the disk."""
    time.sleep(_LOOK)
    waiting = _in_spool(agent).waiting
    return not waiting or waiting[0][0] > last


def _in_spool(agent: Durable) -> Spooled:
    return spooled(agent.spool)["otlp"]


def _unload(agent: Durable) -> None:
    assert agent.command("unload", "--config", str(agent.config)).returncode == 0
