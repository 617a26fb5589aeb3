"""`make bench`: what podwitness costs, beside opentelemetry-sdk's own pipeline in the same run, into build/bench.json.

Each pair runs A B A B in fresh processes; the figures are the medians, and the ratio is taken pair by pair: the
machine may be busy with other things, but with the same ones for both.
"""

import json
import platform
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench import live
from tests.peers import builds
from tests.peers.kube import ApiServer, Etcd

BUILD = Path("build")
PAIRS = 5
SCENARIOS = {"activity": 60_000, "lives": 4_000}
TARGETS = {"record_us": 6.0, "rss_mib": 70.0, "idle_percent": 0.5, "start_seconds": 2.0}


def once(which: str, scenario: str, port: int) -> float:
    """CPU µs for each item (a record, or a process life) of one fresh run."""
    count = SCENARIOS[scenario]
    command = [sys.executable, "-m", "tests.bench.pipelines", which, scenario, str(count), str(port)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return float(found["cpu_us"]) / count


def compare(scenario: str, port: int) -> dict[str, float]:
    """Both pipelines over the same events, in turn."""
    pairs = [(once("ours", scenario, port), once("sdk", scenario, port)) for _ in range(PAIRS)]
    return {
        "podwitness_us": statistics.median(ours for ours, _sdk in pairs),
        "opentelemetry_sdk_us": statistics.median(sdk for _ours, sdk in pairs),
        "ratio": statistics.median(sdk / ours for ours, sdk in pairs),
    }


def running(port: int, seconds: float) -> live.Live:
    """The agent beside a real API server, where one can be had."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            etcd_binary, apiserver_binary = builds.etcd(), builds.kube_apiserver()
        except builds.PeerUnavailableError as error:
            sys.stderr.write(f"bench: without the Kubernetes watch: {error}\n")
            return live.measure(BUILD, None, port, seconds)
        etcd = Etcd(etcd_binary, folder / "etcd")
        etcd.start()
        stack.callback(etcd.stop)
        apiserver = ApiServer(apiserver_binary, etcd, folder / "apiserver")
        apiserver.start()
        stack.callback(apiserver.stop)
        return live.measure(BUILD, apiserver.kubeconfig, port, seconds)


def main() -> None:
    """Measure everything, print it, write it."""
    BUILD.mkdir(exist_ok=True)
    receiver = subprocess.Popen([sys.executable, "-m", "tests.bench.receiver"], stdout=subprocess.PIPE, text=True)
    try:
        assert receiver.stdout is not None
        port = int(receiver.stdout.readline())
        figures: dict[str, object] = {scenario: compare(scenario, port) for scenario in SCENARIOS}
        figures["live"] = running(port, 60)._asdict()
    finally:
        receiver.kill()
        receiver.communicate()
    figures["machine"] = {"kernel": platform.release(), "python": platform.python_version()}
    figures["targets"] = TARGETS
    (BUILD / "bench.json").write_text(json.dumps(figures, indent=2) + "\n")
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
