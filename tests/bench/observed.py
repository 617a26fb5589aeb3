"""What being observed costs the observed: a workload alone, under the agent, under its filter, under bpftrace and bcc.

The agent tells each single event (no aggregation), enriches and ships it; bpftrace and bcc's tools print a line. All
observe the same calls. All take turns within one run, on one machine; figures are medians over the turns.
"""

import os
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.bench.node import Node, receiver
from tests.bench.watchers import UnavailableError, Watch, agent, bcc, bpftrace, nobody
from tests.waiting import wait_for

TURNS = 3
COUNTS = {"open": 100_000, "connect": 20_000, "storm": 20_000, "exec": 1_000}
_TICKS = os.sysconf("SC_CLK_TCK")


class Turn(NamedTuple):
    """One run of the workload, each figure for one time: its CPU, the wall clock, the watcher's CPU; ns."""

    cpu_ns: float
    wall_ns: float
    watcher_ns: float


def measure(node: Node, say: Callable[[str], None]) -> dict[str, dict[str, dict[str, float]]]:
    """By workload and watcher."""
    program = node.folder / "workload"
    source = Path(__file__).with_name("workload.c")
    subprocess.run(["clang", "-O2", "-Wall", "-Werror", str(source), "-o", str(program)], check=True)
    with receiver() as port:
        watchers = _watchers(node, port)
        return {work: _compare(node, program, work, watchers, say) for work in COUNTS}


def _compare(
    node: Node, program: Path, work: str, watchers: dict[str, Watch], say: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    turns: dict[str, list[Turn]] = {}
    for number in range(TURNS):
        for name, watch in watchers.items():
            try:
                with watch(work, f"{work}-{name}-{number}") as pid:
                    turns.setdefault(name, []).append(_run(node, program, work, pid))
            except UnavailableError as error:
                say(f"{work} without {name}: {error}")
    found = {name: _medians(of) for name, of in turns.items()}
    alone = found["alone"]
    for name, figures in found.items():
        figures["added_ns"] = figures["cpu_ns"] - alone["cpu_ns"]
        say(f"{work} under {name}: {figures['cpu_ns']:.0f} ns, its own {figures['watcher_ns']:.0f} ns")
    return found


def _medians(turns: list[Turn]) -> dict[str, float]:
    return {name: statistics.median(getattr(turn, name) for turn in turns) for name in Turn._fields}


def _run(node: Node, program: Path, work: str, watcher: int) -> Turn:
    count = COUNTS[work]
    before = cpu(watcher)
    done = subprocess.run(
        [str(program), work, str(count), "0", str(node.folder)], capture_output=True, text=True, check=True
    )
    used, wall = map(float, done.stdout.split())
    _settled(watcher)
    return Turn(used, wall, (cpu(watcher) - before) / count)


def _settled(pid: int) -> None:
    """Until the watcher has told what it saw: for half a second it takes no more of a core than one at rest."""
    seen = list[float]()

    def still() -> bool:
        seen.append(cpu(pid))
        return len(seen) > _LOOKS and seen[-1] - seen[-_LOOKS] <= _AT_REST

    if pid:
        wait_for(still, "the watcher rests", 60)


_LOOKS = 50  # ten milliseconds apart
_AT_REST = 2e7  # ns: two ticks


def cpu(pid: int) -> float:
    """CPU of a process until now, ns; 0 without one."""
    if not pid:
        return 0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 10**9 / _TICKS


def _watchers(node: Node, port: int) -> dict[str, Watch]:
    return {
        "alone": nobody,
        "podwitness": agent(node, port),
        "podwitness_aggregated": agent(node, port, aggregate={"types": ["file.open", "network.connect"]}),
        "podwitness_left_out": agent(
            node,
            port,
            aggregate={"types": ["file.open", "network.connect"]},
            files={"paths": {"exclude": ["/*"]}},
            network={"addresses": {"exclude": ["0.0.0.0/0"]}},
        ),
        "podwitness_other_users": agent(node, port, users={"include": [12345]}),
        "bpftrace": bpftrace(node),
        "bcc": bcc(node),
    }
