"""The running agent on this machine: start to first line, memory after a minute, CPU while nothing happens."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

PODWITNESS = str(Path(sys.executable).with_name("podwitness"))
_TICKS = os.sysconf("SC_CLK_TCK")


class Live(NamedTuple):
    """What was measured; seconds, MiB, and per cent of one core.

    `rss_mib` counts the pages of the rings and of shared libraries too, which the kernel and other processes use as
    well; `rss_anon_mib` is what only the agent has.
    """

    start_seconds: float
    rss_mib: float
    rss_anon_mib: float
    idle_percent: float
    kubernetes: bool


def measure(build: Path, kubeconfig: Path | None, port: int, seconds: float) -> Live:
    """Run the agent for `seconds`, with the pod watch on where there is a cluster; `port` is an OTLP receiver's."""
    mode = f'{{mode: "on", kubeconfig: {kubeconfig}, node_name: bench}}' if kubeconfig else '{mode: "off"}'
    settings, terminal = build / "bench.yaml", build / "bench-terminal.txt"
    settings.write_text(
        f"kubernetes: {mode}\nspool: {{path: {build}/bench-spool}}\nsinks:\n  terminal: {{type: stdout}}\n"
        f"  file: {{type: file, path: {build}/bench-events.jsonl}}\n"
        f"  otlp: {{type: otlp_http, endpoint: 'http://127.0.0.1:{port}'}}\n"
    )
    began = time.monotonic()
    # Into a file: a pipe that nobody reads fills up, and what waits behind it would count as the agent's memory.
    with terminal.open("wb") as output:
        agent = subprocess.Popen(
            [PODWITNESS, "run", "--config", str(settings)], stdout=output, stderr=subprocess.DEVNULL
        )
    try:
        start = _first_line(agent, terminal, began)
        used = _cpu(agent.pid)
        time.sleep(seconds)  # the measurement itself: what the agent uses while this machine is left alone
        idle = (_cpu(agent.pid) - used) / seconds * 100
        rss, anonymous = _memory(agent.pid, "VmRSS"), _memory(agent.pid, "RssAnon")
        return Live(start, rss, anonymous, idle, kubeconfig is not None)
    finally:
        agent.send_signal(signal.SIGINT)
        agent.wait()
        shutil.rmtree(build / "bench-spool", ignore_errors=True)


def _first_line(agent: subprocess.Popen[bytes], output: Path, began: float) -> float:
    """Something happens all the time until the agent tells of it."""
    while not output.stat().st_size:
        assert agent.poll() is None, "the agent did not start; run it by hand to see why"
        subprocess.run(["/bin/true"], check=True)
    return time.monotonic() - began


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(f"{name}:")).split()[1]) / 1024
