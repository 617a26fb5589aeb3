"""Receivers that are down, slow, overloaded or not who they say they are: everything arrives, in order, in the end."""

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from tests.e2e.durable import OURS, Durable, Flood, flood
from tests.e2e.test_killed import FEW
from tests.kernel.bpffs import Bpffs
from tests.peers.collector import Collector
from tests.peers.proxy import Mode, Proxy, http
from tests.sink.conftest import Certificates
from tests.waiting import wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.peers]

PATIENT = {"retry_initial_seconds": 0.02, "retry_max_seconds": 0.3, "shutdown_seconds": 30}


def otlp(port: int, **more: object) -> dict[str, object]:
    sink = {"type": "otlp_http", "endpoint": f"http://127.0.0.1:{port}", "spans": False, "timeout_seconds": 1}
    return sink | {"queue": PATIENT} | FEW | more


def port_of(collector: Collector) -> int:
    return int(collector.otlp_endpoint.rpartition(":")[2])


class Troubled:
    """An agent, a receiver, the bad network between them, and how often something happened."""

    def __init__(self, agent: Durable, proxy: Proxy) -> None:
        self.agent, self.proxy = agent, proxy
        self.times = 0

    def happen(self) -> None:
        """Ten execs and a thousand events more."""
        assert flood(10, 1000, 0.1).wait(60) == 0
        self.times += 1

    @contextmanager
    def trouble(
        self, mode: Mode = "pass", answer: bytes | None = None, tls: ssl.SSLContext | None = None
    ) -> Iterator[None]:
        """Something happens in this trouble, and the agent tries in vain; then all is well again."""
        proxy = self.proxy
        calm = proxy.tls
        proxy.mode, proxy.answer, proxy.tls = mode, (lambda: answer) if answer else None, tls or calm
        proxy.cut()
        self.happen()
        yield
        proxy.mode, proxy.answer, proxy.tls = "pass", None, calm
        proxy.cut()

    def tries(self, times: int = 3) -> None:
        """Wait until it has tried so often, and not much more often than it may."""
        begun, before = time.monotonic(), self.proxy.connections
        wait_for(lambda: self.proxy.connections >= before + times, "it tries")
        # A bound on the rate, not on the time: five before the breaker opens, then two a longest wait.
        allowed = 6 + (time.monotonic() - begun) / (PATIENT["retry_max_seconds"] / 2)
        assert self.proxy.connections - before <= max(allowed, times)


@contextmanager
def troubled(collector: Collector, folder: Path, bpffs: Bpffs, objects: Path, **more: object) -> Iterator[Troubled]:
    with Proxy(port_of(collector)) as proxy:
        agent = Durable(folder / "agent", bpffs, objects, {"sinks": {"main": otlp(proxy.port, **more)}})
        try:
            agent.start()
            agent.watches()
            yield Troubled(agent, proxy)
        finally:
            agent.close()


def assert_whole(found: Flood, times: int) -> None:
    assert found.numbers == dict.fromkeys(range(1000), times)
    assert found.execs == {f"{OURS}{n}": times for n in range(10)}
    assert (found.twice, found.holes, found.lost, found.disorder) == (0, 0, [], 0)


def test_a_receiver_that_refuses_is_overloaded_hangs_and_resets(
    collector: Collector, tmp_path: Path, bpffs: Bpffs, objects: Path
) -> None:
    with troubled(collector, tmp_path, bpffs, objects) as it:
        with it.trouble("refuse"):
            it.tries()
        for answer in (
            http("429 Too Many Requests", "retry-after: 1"),
            http("503 Service Unavailable"),
            http("504 Gateway Timeout"),
        ):
            with it.trouble(answer=answer):
                it.tries(2)
        for mode in ("reset", "hole"):
            with it.trouble(mode):
                it.tries(2)
        with it.trouble("slow"):
            pass
        it.happen()
        it.agent.stop()
    assert_whole(Flood(collector.logs_path), it.times)


def test_a_collector_that_is_down_and_comes_back_with_an_empty_disk(
    collector: Collector, tmp_path: Path, bpffs: Bpffs, objects: Path
) -> None:
    before = collector.logs_path.with_suffix(".before")
    with troubled(collector, tmp_path, bpffs, objects) as it:
        it.happen()
        collector.stop()
        for _ in range(3):
            it.happen()
            it.agent.kill()
            it.agent.start()
            it.agent.watches()
        it.tries()
        collector.logs_path.rename(before)
        collector.start()
        it.happen()
        it.agent.stop()
    assert_whole(Flood(before, collector.logs_path), it.times)


def test_a_receiver_with_a_certificate_of_somebody_else_and_then_with_its_own(
    collector: Collector, tmp_path: Path, bpffs: Bpffs, objects: Path, certificates: Certificates
) -> None:
    with Proxy(port_of(collector)) as proxy:
        proxy.tls = certificates.server("elsewhere")
        sink = otlp(proxy.port, endpoint=f"https://127.0.0.1:{proxy.port}", tls={"ca_file": certificates.ca})
        agent = Durable(tmp_path / "agent", bpffs, objects, {"sinks": {"main": sink}})
        try:
            agent.start()
            agent.watches()
            it = Troubled(agent, proxy)
            it.happen()
            it.tries()
            assert "certificate" in agent.said()
            proxy.tls = certificates.server()
            it.happen()
            agent.stop()
        finally:
            agent.close()
    assert_whole(Flood(collector.logs_path), it.times)


def test_what_a_receiver_rejects_is_never_sent_again_and_said_to_be_lost(
    collector: Collector, tmp_path: Path, bpffs: Bpffs, objects: Path
) -> None:
    rejected = ExportLogsServiceResponse()
    rejected.partial_success.rejected_log_records = 3
    with troubled(collector, tmp_path, bpffs, objects) as it:
        answer = http("200 OK", "content-type: application/x-protobuf", body=rejected.SerializeToString())
        with it.trouble(answer=answer):
            it.tries(1)
        it.happen()
        said = it.agent.stop()
    found = Flood(collector.logs_path)
    count = sum(int(lost["podwitness.agent.lost.count"]) for lost in found.lost)
    assert count >= 3
    assert f"dropped {count} (sink: rejected_by_receiver)" in said
    assert {lost["podwitness.agent.lost.reason"] for lost in found.lost} == {"rejected_by_receiver"}


def _whole(collector: Collector, times: int) -> bool:
    return Flood(collector.logs_path).numbers == dict.fromkeys(range(1000), times)


def test_a_dead_sink_does_not_hold_up_the_other(
    collector: Collector, tmp_path: Path, bpffs: Bpffs, objects: Path
) -> None:
    with Proxy(port_of(collector)) as hole:
        hole.mode = "hole"
        sinks = {
            "dead": otlp(hole.port, required=False, queue=PATIENT | {"shutdown_seconds": 1}),
            "alive": otlp(port_of(collector)),
        }
        agent = Durable(tmp_path / "agent", bpffs, objects, {"sinks": sinks})
        try:
            agent.start()
            agent.watches()
            for times in range(1, 6):
                assert flood(10, 1000, 0.1).wait(60) == 0
                # All of it, while the other one hangs in a request.
                wait_for(partial(_whole, collector, times), "it arrives")
            said = agent.stop()
        finally:
            agent.close()
    assert "alive: sent" in said
    assert "dead: sent 0, dropped 0, kept" in said
    assert_whole(Flood(collector.logs_path), 5)
