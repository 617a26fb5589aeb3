"""`make bench`: what podwitness costs, each figure beside another one in the same run, into build/bench.json.

`cost.py` an event's CPU, beside opentelemetry-sdk's pipeline, and with the spool beside without it; `pins.py` what
pinned programs add in the kernel; `latency.py` the way from the kernel to the receiver; `recovery.py` the time after a
kill; `observed.py` what being observed costs a workload, beside bpftrace; `ladder.py` how much the agent can take;
`live.py` the agent when nothing happens. Each step is told on stderr as it ends, the verdict on stdout at the
end; a missed target is a finding and no failure, the exit code is 0.
"""

import json
import platform
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench import cost, ladder, latency, live, observed, pins, recovery
from tests.bench.node import node, receiver
from tests.peers import builds
from tests.peers.kube import ApiServer, Etcd

BUILD = Path("build")
IDLE_SECONDS = 60
TARGETS = {
    "record_us": 6.0,
    "spool_and_pins_us": 0.6,
    "with_batches_us": 0.6,
    "p99_ms_at_1000": 300.0,
    "p99_ms_at_10000": 300.0,
    **{f"{work}_slowdown_ratio": 1 / 3 for work in observed.COUNTS},
    **{f"{work}_own_cpu_ratio": 1.0 for work in observed.COUNTS},
    "left_out_open_us": 0.5,
    "rss_mib": 70.0,
    "idle_percent": 0.5,
    "start_seconds": 2.0,
}


def say(line: str) -> None:
    """How far we are."""
    sys.stderr.write(f"bench: {line}\n")
    sys.stderr.flush()


def verdict(found: dict[str, float]) -> str:
    """A table of the figures that have a target."""
    rows = [
        f"{name:<22} {found[name]:>10.2f} {target:>10.2f}  {'met' if found[name] <= target else 'missed'}"
        for name, target in TARGETS.items()
    ]
    return "\n".join((f"{'figure':<22} {'measured':>10} {'target':>10}", *rows)) + "\n"


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


def measured() -> dict[str, Any]:
    """Everything, step by step."""
    with receiver() as port:
        found: dict[str, Any] = {scenario: cost.compare(scenario, port, say) for scenario in cost.SCENARIOS}
        found["spool"] = {scenario: cost.spool(scenario, port, say) for scenario in cost.SCENARIOS}
        with node(BUILD) as real:
            found["pins"] = pins.measure(real, say)
            found["recovery"] = recovery.measure(real, say)
            found["latency"] = latency.measure(real, say)
            found["observed"] = observed.measure(real, say)
            found["ladder"] = ladder.measure(real, say)
        say(f"the agent itself, for {IDLE_SECONDS} s")
        idle = running(port, IDLE_SECONDS)._asdict()
    say(", ".join(f"{name} {value:.4g}" for name, value in idle.items() if name != "kubernetes"))
    memory_per_second = found["spool"]["activity"]["memory_per_second"]
    found["recovery"]["memory_path_ratio"] = found["recovery"]["events_per_second"] / memory_per_second
    return found | {"live": idle}


def judged(found: dict[str, Any]) -> dict[str, float]:
    """The figures that have a target, by its name; both of the spool are for commits of 1,000 events."""
    spool, pins_us = found["spool"]["activity"], found["pins"]["added_ns"] / 1000
    return {
        "record_us": found["activity"]["podwitness"]["record_us"],
        "spool_and_pins_us": spool["spool_us"] + pins_us,
        "with_batches_us": spool["added_us"] + pins_us,
        **{f"p99_ms_at_{rate}": both["disk"]["p99_ms"] for rate, both in found["latency"].items()},
        **_observed(found["observed"]),
        **found["live"],
    }


def _observed(by: dict[str, dict[str, dict[str, float]]]) -> dict[str, float]:
    """What the agent adds to each workload beside what bpftrace adds, and its own CPU beside bpftrace's."""
    figures = {}
    for work, watchers in by.items():
        ours, theirs = watchers["podwitness"], watchers["bpftrace"]
        figures[f"{work}_slowdown_ratio"] = ours["added_ns"] / theirs["added_ns"]
        figures[f"{work}_own_cpu_ratio"] = ours["watcher_ns"] / theirs["watcher_ns"]
    return figures | {"left_out_open_us": by["open"]["podwitness_left_out"]["added_ns"] / 1000}


def main() -> None:
    """Measure everything, write it, print how it compares with the targets."""
    BUILD.mkdir(exist_ok=True)
    found = measured()
    machine = {"kernel": platform.release(), "python": platform.python_version()}
    (BUILD / "bench.json").write_text(json.dumps(found | {"machine": machine, "targets": TARGETS}, indent=2) + "\n")
    sys.stdout.write(verdict(judged(found)))


if __name__ == "__main__":
    main()
