"""How much the agent can take: more and more of a thing, second for second, until it or the machine gives way.

As Inspektor Gadget's benchmark does: 1,024 to 16,384 a second of exec, open and connect, each told; then the synthetic
probe's events, which cost who makes them next to nothing, to 131,072 a second.
"""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.node import EVENT, Node, receiver
from tests.bench.observed import cpu
from tests.bench.watchers import TYPES

SECONDS = 5
STEPS = {
    "exec": (256, 512, 1_024, 2_048, 4_096),
    "open": (1_024, 2_048, 4_096, 8_192, 16_384),
    "connect": (1_024, 2_048, 4_096, 8_192, 16_384),
    "synthetic": (16_384, 32_768, 65_536, 131_072),
}


def measure(node: Node, say: Callable[[str], None]) -> dict[str, dict[int, dict[str, float]]]:
    """By workload and rate: what was reached a second, what was lost, and the agent's share of a core in per cent."""
    program = node.folder / "ladder"
    source = Path(__file__).with_name("workload.c")
    subprocess.run(["clang", "-O2", "-Wall", "-Werror", str(source), "-o", str(program)], check=True)
    found: dict[str, dict[int, dict[str, float]]] = {}
    with receiver() as port:
        for work, rates in STEPS.items():
            found[work] = {rate: _step(node, program, port, work, rate) for rate in rates}
            for rate, step in found[work].items():
                say(f"{work} {rate}/s: {step['reached']:.0f}/s, lost {step['lost']:.0f}, CPU {step['percent']:.0f} %")
    return found


def _step(node: Node, program: Path, port: int, work: str, rate: int) -> dict[str, float]:
    observe: dict[str, Any] = {"types": TYPES.get(work, {}), "aggregate": {"types": []}}
    agent = node.agent(f"ladder-{work}-{rate}", port, kernel={"persist": False}, observe=observe)
    try:
        agent.start()
        agent.watches()
        assert agent.process is not None
        before = cpu(agent.process.pid)
        took = _work(node, program, work, rate)
        used = cpu(agent.process.pid) - before
        said = agent.stop()
    finally:
        agent.close()
    lost = sum(int(count) for count in re.findall(r"lost (\d+)", said))
    return {"reached": rate * SECONDS / took, "lost": lost, "percent": used / took / 1e7}


def _work(node: Node, program: Path, work: str, rate: int) -> float:
    """Seconds that it took."""
    count = rate * SECONDS
    if work == "synthetic":
        command = [str(node.producer), str(count), str(rate), str(EVENT)]
    else:
        command = [str(program), work, str(count), str(rate), str(node.folder)]
    began = time.monotonic()
    subprocess.run(command, capture_output=True, check=True)
    return time.monotonic() - began
