"""What pinned programs add to an event in the kernel: the dispatchers, which hand each event on by a tail call.

Run as `python -m tests.bench.pins OBJECTS PATH`, it is the reader: real probes with a large ring, pinned under PATH or,
with `-`, attached as usual. It says `ready`, and for each line it gets it empties the rings. The workload is not its
child (the agent's own children are not observed) and runs while nobody reads, so that only the kernel's part is
measured, by the workload's CPU time.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypedDict

from exporter import config, probes
from exporter.enrich.cgroups import choose, parse
from exporter.model import Hook, Kind
from exporter.source import pins
from exporter.source.programs import Asked, Cgroups, Kernel
from tests.bench.node import EVENT, NO_EVENT, Node

PAIRS = 5
_CALLS = 200_000  # 13 MB of the ring
_RING = 64 * 1024 * 1024
_REPEATS = 3


class Calls(NamedTuple):
    """CPU time of one getpriority(), ns: one that is an event, and one that the probe sees and leaves alone."""

    event: float
    no_event: float


class Pinned(TypedDict):
    """Medians of the CPU time of one call, ns, and of what pins add to it."""

    pinned: dict[str, float]
    attached: dict[str, float]
    added_ns: float
    ratio: float
    added_no_event_ns: float


def measure(node: Node, say: Callable[[str], None]) -> Pinned:
    """Pinned and merely attached, in turn."""
    pairs = []
    for number in range(1, PAIRS + 1):
        pinned, attached = once(node, pinned=True), once(node, pinned=False)
        pairs.append((pinned, attached))
        say(f"pins {number}/{PAIRS}: ns an event pinned {pinned.event:.0f}, attached {attached.event:.0f}")
    return {
        "pinned": _medians([pinned for pinned, _attached in pairs]),
        "attached": _medians([attached for _pinned, attached in pairs]),
        "added_ns": statistics.median(a.event - b.event for a, b in pairs),
        "ratio": statistics.median(a.event / b.event for a, b in pairs),
        "added_no_event_ns": statistics.median(a.no_event - b.no_event for a, b in pairs),
    }


def _medians(runs: list[Calls]) -> dict[str, float]:
    return {
        "event_ns": statistics.median(run.event for run in runs),
        "no_event_ns": statistics.median(run.no_event for run in runs),
    }


def once(node: Node, *, pinned: bool) -> Calls:
    """Medians over some repeats, with the probes in the kernel."""
    path = str(node.bpffs.path / "bench") if pinned else "-"
    command = node.bpffs.command([sys.executable, "-m", "tests.bench.pins", str(node.objects), path])
    reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        _expect(reader, "ready")
        return _measured(node, reader)
    finally:
        reader.communicate()  # its input ends, and so does it


def _measured(node: Node, reader: "subprocess.Popen[str]") -> Calls:
    calls = []
    for _ in range(_REPEATS):
        calls.append(Calls(node.produce(_CALLS, 0, EVENT).call_ns, node.produce(_CALLS, 0, NO_EVENT).call_ns))
        assert reader.stdin is not None
        reader.stdin.write("read\n")
        reader.stdin.flush()
        _expect(reader, "read")
    return Calls(*(statistics.median(of) for of in zip(*calls, strict=True)))


def _expect(reader: "subprocess.Popen[str]", word: str) -> None:
    assert reader.stdout is not None
    said = reader.stdout.readline()
    assert said == f"{word}\n", said


# As the tests' own kind: all that is needed of it is its program.
SYNTHETIC = Kind(name="synthetic.activity", program="activity", ring="activity", hooks=(Hook(("on_synthetic",)),))


def _read(objects: str, path: str) -> None:
    kernel = config.Kernel(activity_ring_bytes=_RING, persist=path != "-", pin_path=path)
    tree = choose(kernel.hierarchy, Path(kernel.cgroup_root))
    cgroups = Cgroups(tree.name, lambda cgroup: parse(cgroup) is not None)
    with tempfile.TemporaryDirectory() as keep:
        opened = Kernel.open(kernel, cgroups, Asked((*probes.LIFE, SYNTHETIC)), Path(objects), Path(keep))
        _say("ready")
        for _line in sys.stdin:
            for _samples in opened.rest():
                opened.acknowledge()
            lost = {loss.ring: loss.samples for loss in opened.losses() if loss.reason == "ring_full"}
            _say(f"lost {lost}" if lost else "read")
        opened.close()
    if kernel.persist:
        pins.unload(path)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _read(*sys.argv[1:])
