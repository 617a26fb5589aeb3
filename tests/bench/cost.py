"""What an event costs: podwitness beside opentelemetry-sdk's own pipeline, and with the spool beside without it.

Each run is a fresh process, and what is compared runs in turn; the figures are medians, ratios and differences are
taken within a turn: the machine may be busy with other things, but with the same ones for all of them.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import TypedDict

PAIRS = 5
SPOOL_TURNS = {"activity": 9, "lives": 3}
SCENARIOS = {"activity": 60_000, "lives": 4_000}
UNITS = {"activity": "record_us", "lives": "life_us"}
"""What one item of a scenario costs: a record of activity; the fork, exec, exit and span of one process."""
RECORDS = {"activity": 1, "lives": 3}
"""Of one item."""

Run = dict[str, float]
Say = Callable[[str], None]


class Compared(TypedDict):
    """Both pipelines' medians by unit, and how many times dearer the SDK's is."""

    podwitness: dict[str, float]
    opentelemetry_sdk: dict[str, float]
    ratio: float


class Spooled(TypedDict):
    """What the spool adds to an item, µs of CPU.

    `spool_us` is that beside batches of the same size; a commit ends a batch, so that batches of 2,000 become such of
    1,000: `added_us` has that in it. `ratio` is the whole cost with the spool to that without. `commit` are medians in
    µs: the wall time of a commit of 1,000 events, the CPU it takes, and beside it the wall time of a bare write of as
    many bytes with fdatasync.
    """

    spool_us: float
    added_us: float
    ratio: float
    memory_us: float
    memory_per_second: float
    commit: dict[str, float]


def once(which: str, scenario: str, port: int) -> Run:
    """One pipeline over one scenario: CPU and wall µs of one item, and what else it says."""
    count = SCENARIOS[scenario]
    command = [sys.executable, "-m", "tests.bench.pipelines", which, scenario, str(count), str(port)]
    found: Run = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found | {"cpu": found["cpu_us"] / count, "wall": found.get("wall_us", 0) / count}


def compare(scenario: str, port: int, say: Say) -> Compared:
    """Both pipelines over the same events, in turn."""
    unit, pairs = UNITS[scenario], []
    for number in range(1, PAIRS + 1):
        ours, sdk = once("memory", scenario, port), once("sdk", scenario, port)
        pairs.append((ours, sdk))
        say(f"{scenario} {number}/{PAIRS}: {unit} podwitness {ours['cpu']:.2f}, opentelemetry-sdk {sdk['cpu']:.2f}")
    return {
        "podwitness": _both_units(scenario, [ours for ours, _sdk in pairs]),
        "opentelemetry_sdk": _both_units(scenario, [sdk for _ours, sdk in pairs]),
        "ratio": statistics.median(sdk["cpu"] / ours["cpu"] for ours, sdk in pairs),
    }


def _both_units(scenario: str, runs: list[Run]) -> dict[str, float]:
    item = _median(runs, "cpu")
    return {UNITS[scenario]: item, "per_record_us": item / RECORDS[scenario]}


def spool(scenario: str, port: int, say: Say) -> Spooled:
    """Ours without the spool, with batches as small as its commits make them, and with it, in turn."""
    turns = []
    for number in range(1, SPOOL_TURNS[scenario] + 1):
        memory, halves, disk = (once(which, scenario, port) for which in ("memory", "halves", "disk"))
        turns.append((memory, halves, disk))
        says = (
            f"{UNITS[scenario]} memory {memory['cpu']:.2f}, smaller batches {halves['cpu']:.2f}, disk {disk['cpu']:.2f}"
        )
        say(f"spool, {scenario} {number}/{SPOOL_TURNS[scenario]}: {says}")
    memories = [memory for memory, _halves, _disk in turns]
    return {
        "spool_us": statistics.median(disk["cpu"] - halves["cpu"] for _memory, halves, disk in turns),
        "added_us": statistics.median(disk["cpu"] - memory["cpu"] for memory, _halves, disk in turns),
        "ratio": statistics.median(disk["cpu"] / memory["cpu"] for memory, _halves, disk in turns),
        "memory_us": _median(memories, "cpu"),
        "memory_per_second": 1e6 / _median(memories, "wall"),
        "commit": {
            name: _median([disk for *_, disk in turns], name) for name in ("commit_us", "commit_cpu_us", "write_us")
        },
    }


def _median(runs: list[Run], of: str) -> float:
    return statistics.median(run[of] for run in runs)
