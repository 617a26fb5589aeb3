"""`make bench`: what podwitness costs, beside opentelemetry-sdk's own pipeline in the same run, into build/bench.json.

Each pair runs A B A B in fresh processes; the figures are the medians, and the ratio is taken pair by pair: the
machine may be busy with other things, but with the same ones for both. Each step is told on stderr as it ends, the
verdict on stdout at the end; a missed target is a finding and no failure, the exit code is 0.
"""

import json
import platform
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, TypedDict

from tests.bench import live
from tests.peers import builds
from tests.peers.kube import ApiServer, Etcd

BUILD = Path("build")
PAIRS = 5
IDLE_SECONDS = 60
SCENARIOS = {"activity": 60_000, "lives": 4_000}
UNITS = {"activity": "record_us", "lives": "life_us"}
"""What one item of a scenario costs: a record of activity; the fork, exec, exit and span of one process."""
RECORDS = {"activity": 1, "lives": 3}
"""Of one item."""
TARGETS = {"record_us": 6.0, "rss_mib": 70.0, "idle_percent": 0.5, "start_seconds": 2.0}


class Run(NamedTuple):
    """CPU µs of one fresh run: for each item (a record, or a process life), and for each record."""

    item_us: float
    per_record_us: float


def once(which: str, scenario: str, port: int) -> Run:
    """One pipeline over one scenario."""
    count = SCENARIOS[scenario]
    command = [sys.executable, "-m", "tests.bench.pipelines", which, scenario, str(count), str(port)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return Run(found["cpu_us"] / count, found["cpu_us"] / count / RECORDS[scenario])


class Compared(TypedDict):
    """Both pipelines' medians by unit, and how many times dearer the SDK's is."""

    podwitness: dict[str, float]
    opentelemetry_sdk: dict[str, float]
    ratio: float


def compare(scenario: str, port: int) -> Compared:
    """Both pipelines over the same events, in turn."""
    unit, pairs = UNITS[scenario], []
    for number in range(1, PAIRS + 1):
        ours, sdk = once("ours", scenario, port), once("sdk", scenario, port)
        pairs.append((ours, sdk))
        say(f"{scenario} {number}/{PAIRS}: {unit} podwitness {ours.item_us:.2f}, opentelemetry-sdk {sdk.item_us:.2f}")
    return {
        "podwitness": medians(unit, [ours for ours, _sdk in pairs]),
        "opentelemetry_sdk": medians(unit, [sdk for _ours, sdk in pairs]),
        "ratio": statistics.median(sdk.item_us / ours.item_us for ours, sdk in pairs),
    }


def medians(unit: str, runs: list[Run]) -> dict[str, float]:
    """Each figure's median, under its unit."""
    return {
        unit: statistics.median(run.item_us for run in runs),
        "per_record_us": statistics.median(run.per_record_us for run in runs),
    }


def say(line: str) -> None:
    """How far we are."""
    sys.stderr.write(f"bench: {line}\n")
    sys.stderr.flush()


def verdict(found: dict[str, float]) -> str:
    """A table of the figures that have a target."""
    rows = [
        f"{name:<14} {found[name]:>10.2f} {target:>10.2f}  {'met' if found[name] <= target else 'missed'}"
        for name, target in TARGETS.items()
    ]
    return "\n".join((f"{'figure':<14} {'measured':>10} {'target':>10}", *rows)) + "\n"


def running(port: int, seconds: float) -> live.Live:
    """The agent beside a real API server, where one can be had."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            etcd_binary, apiserver_binary = builds.etcd(), builds.kube_apiserver()
        except builds.PeerUnavailableError as error:
            say(f"without the Kubernetes watch: {error}")
            return live.measure(BUILD, None, port, seconds)
        etcd = Etcd(etcd_binary, folder / "etcd")
        etcd.start()
        stack.callback(etcd.stop)
        apiserver = ApiServer(apiserver_binary, etcd, folder / "apiserver")
        apiserver.start()
        stack.callback(apiserver.stop)
        return live.measure(BUILD, apiserver.kubeconfig, port, seconds)


def main() -> None:
    """Measure everything, write it, print how it compares with the targets."""
    BUILD.mkdir(exist_ok=True)
    receiver = subprocess.Popen([sys.executable, "-m", "tests.bench.receiver"], stdout=subprocess.PIPE, text=True)
    try:
        assert receiver.stdout is not None
        port = int(receiver.stdout.readline())
        compared = {scenario: compare(scenario, port) for scenario in SCENARIOS}
        say(f"the agent itself, for {IDLE_SECONDS} s")
        live_figures = running(port, IDLE_SECONDS)
        say(", ".join(f"{name} {value:.4g}" for name, value in live_figures._asdict().items() if name != "kubernetes"))
    finally:
        receiver.kill()
        receiver.communicate()
    figures = {
        **compared,
        "live": live_figures._asdict(),
        "machine": {"kernel": platform.release(), "python": platform.python_version()},
        "targets": TARGETS,
    }
    (BUILD / "bench.json").write_text(json.dumps(figures, indent=2) + "\n")
    record_us = compared["activity"]["podwitness"]["record_us"]
    sys.stdout.write(verdict({"record_us": record_us, **live_figures._asdict()}))


if __name__ == "__main__":
    main()
