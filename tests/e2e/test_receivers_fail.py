"""Receivers that are down, slow, overloaded or not who they say they are: everything arrives, in order, in the end."""

from pathlib import Path

import pytest

from tests.e2e.durable import OURS, Durable, Flood, flood
from tests.e2e.test_killed import FEW
from tests.kernel.bpffs import Bpffs
from tests.peers.collector import Collector
from tests.peers.proxy import Proxy, http
from tests.sink.conftest import Certificates
from tests.waiting import wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.peers]

PATIENT = {"retry_initial_seconds": 0.02, "retry_max_seconds": 0.3, "shutdown_seconds": 30}


def otlp(port: int, **more: object) -> dict[str, object]:
    sink = {"type": "otlp_http", "endpoint": f"http://127.0.0.1:{port}", "spans": False, "timeout_seconds": 1}
    return sink | {"queue": PATIENT} | FEW | more


def port_of(collector: Collector) -> int:
    return int(collector.otlp_endpoint.rpartition(":")[2])


def some(at: int) -> None:
    """Ten execs and a thousand events more: what happens in one phase of the trouble."""
    assert flood(10, 1000, 0.1).wait(60) == 0


def test_everything_that_can_go_wrong_with_a_receiver_goes_wrong_and_nothing_is_lost(
    collector: Collector, tmp_path: Path, bpffs: Bpffs, objects: Path, certificates: Certificates
) -> None:
    troubles = 0
    with Proxy(port_of(collector)) as proxy:
        agent = Durable(tmp_path / "agent", bpffs, objects, {"sinks": {"main": otlp(proxy.port)}})
        try:
            agent.start()
            agent.watches()

            def phase(end: str) -> None:
                """Something happens in the trouble that is now; it is noticed; then the trouble ends."""
                nonlocal troubles
                some(troubles)
                troubles += 1
                before = proxy.connections
                wait_for(lambda: proxy.connections >= before + 3 or end == "slow", f"it tries, {end}")

            proxy.mode = "refuse"
            proxy.cut()
            phase("refused")
            proxy.mode = "pass"
            for answer in (
                http("429 Too Many Requests", "retry-after: 1"),
                http("503 Service Unavailable"),
                http("504 Gateway Timeout"),
            ):
                proxy.answer = lambda answer=answer: answer
                proxy.cut()
                phase(answer[:12].decode())
            proxy.answer = None
            for mode in ("reset", "hole", "slow"):
                proxy.mode = mode
                proxy.cut()
                phase(mode)
            proxy.mode = "pass"
            proxy.cut()
            some(troubles)
            troubles += 1
            agent.stop()
        finally:
            agent.close()
    found = Flood(collector.logs_path)
    assert found.numbers == dict.fromkeys(range(1000), troubles)
    assert found.execs == {f"{OURS}{n}": troubles for n in range(10)}
    assert (found.twice, found.holes, found.lost) == (0, 0, [])
