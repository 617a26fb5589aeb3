"""Series as OpenTelemetry metrics on the wire, and receivers that refuse, hang, or get a great many of them."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from exporter.metrics import Sender
from exporter.telemetry import Ledger
from tests.sink.receivers import Answer, HttpReceiver
from tests.test_agent import OFFSET, life
from tests.test_traffic import FIRST, INTERVAL, PID, START, case, destination
from tests.waiting import wait_for


@contextmanager
def sending(receiver: HttpReceiver, ledger: Ledger) -> Iterator[Sender]:
    sender = Sender(receiver.url, INTERVAL, ledger)
    try:
        yield sender
    finally:
        sender.close()


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def arrived(receiver: HttpReceiver) -> list[tuple[dict[str, Any], str, dict[str, Any], Any]]:
    """Resource, metric, attributes and point of all that the last request had."""
    return [
        (attributes(group.resource.attributes), metric.name, attributes(point.attributes), point)
        for group in ExportMetricsServiceRequest.FromString(receiver.requests[-1].body).resource_metrics
        for scope in group.scope_metrics
        for metric in scope.metrics
        for point in (metric.sum if metric.HasField("sum") else metric.histogram).data_points
    ]


def test_numbers_go_with_the_process_that_did_it_and_the_end_it_was_done_with(tmp_path: Path) -> None:
    latencies = (*[0] * 7, 22, 1, *[0] * 16)
    counted = destination(
        established=23, failed=2, begun=23, ended=23, sent=23_000, received=5, latency=2_300_000, latencies=latencies
    )
    with HttpReceiver() as receiver, sending(receiver, Ledger()) as sender, case(tmp_path, sender) as it:
        it.happen(*life(PID, START)[:2])
        it.kernel.put(counted)
        it.look()
        assert not receiver.requests, "it is not time yet"
        it.look(INTERVAL)
        wait_for(lambda: sender.delivered == 1, "it has arrived")
        points = arrived(receiver)
        (resource,) = ExportMetricsServiceRequest.FromString(receiver.requests[-1].body).resource_metrics
    assert receiver.requests[0].path == "/v1/metrics"
    metrics = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    assert {name: metric.unit for name, metric in metrics.items()} == {
        "podwitness.network.connections": "{connection}",
        "podwitness.network.connect.duration": "s",
        "podwitness.network.io": "By",
    }
    assert metrics["podwitness.network.io"].sum.is_monotonic
    assert metrics["podwitness.network.io"].sum.aggregation_temporality == 2
    assert metrics["podwitness.network.connect.duration"].histogram.aggregation_temporality == 2
    own = {
        "process.pid": PID,
        "process.executable.name": "curl",
        "server.address": "10.0.0.1",
        "server.port": 443,
        "network.transport": "tcp",
        "podwitness.network.protocol": "IPPROTO_TCP",
    }
    assert all(own.items() <= found.items() for _resource, _name, found, _point in points)
    assert len({found["podwitness.process.entity_id"] for _resource, _name, found, _point in points}) == 1
    assert all(found["host.name"] == "node-1" for found, *_rest in points)
    sums = {
        found.get("podwitness.outcome", found.get("network.io.direction")): point.as_int
        for _resource, name, found, point in points
        if name != "podwitness.network.connect.duration"
    }
    assert sums == {"established": 23, "failed": 2, "transmit": 23_000, "receive": 5}
    assert {point.start_time_unix_nano for *_rest, point in points} == {OFFSET + FIRST}
    (duration,) = [point for _resource, name, _found, point in points if name.endswith("duration")]
    assert (duration.count, duration.sum) == (23, 0.0023)
    assert tuple(duration.bucket_counts) == latencies
    assert list(duration.explicit_bounds[:3]) == [1e-6, 2e-6, 4e-6]
    assert not duration.HasField("min")
    assert not duration.HasField("max")


def test_a_receiver_that_refuses_is_said_once_and_gets_all_of_it_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger()
    with (
        HttpReceiver(Answer(400), Answer(400)) as receiver,
        sending(receiver, ledger) as sender,
        case(tmp_path, sender, ledger) as it,
    ):
        it.happen(*life(PID, START))
        for number in range(1, 4):
            it.kernel.put(destination(established=number))
            it.look(INTERVAL + 1)
            wait_for(lambda number=number: len(receiver.requests) == number, "it was tried")  # type: ignore[misc]
            if number < 3:
                wait_for(lambda number=number: ledger.noted["traffic.export_failed"] == number, "counted")  # type: ignore[misc]
        wait_for(lambda: sender.delivered == 3, "it has arrived")
        ((_resource, _name, _attributes, point),) = arrived(receiver)
    assert point.as_int == 3
    (said,) = [record.getMessage() for record in caplog.records if "metrics of connections" in record.getMessage()]
    assert "400" in said
    assert len(caplog.records) == 1, "the SDK's own lines do not come besides"


def test_a_receiver_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    never, ledger = threading.Event(), Ledger()
    with HttpReceiver(Answer(hold=never)) as receiver:
        sender = Sender(receiver.url, INTERVAL, ledger)
        with case(tmp_path, sender, ledger) as it:
            it.happen(*life(PID, START)[:2])
            it.kernel.put(destination(established=1))
            for _ in range(50):
                it.look(INTERVAL + 1)
            wait_for(lambda: receiver.requests, "it was tried")
            assert len(receiver.requests) == 1
        closing = threading.Thread(target=sender.close, daemon=True)
        closing.start()
        closing.join(60)
        assert not closing.is_alive()
        never.set()
        sender._thread.join()


def test_a_full_map_goes_in_requests_that_a_receiver_takes(tmp_path: Path) -> None:
    with HttpReceiver() as receiver, sending(receiver, Ledger()) as sender, case(tmp_path, sender) as it:
        it.happen(*life(PID, START)[:2])
        one = destination(established=1, failed=1, sent=1, received=1)
        everything = [one._replace(key=port.to_bytes(8, "little"), port=port) for port in range(1, 8193)]
        it.kernel.put(*everything)
        it.look(INTERVAL + 1)
        wait_for(lambda: sender.delivered == 1, "it has arrived")
    bodies = [request.body for request in receiver.requests]
    assert max(map(len, bodies)) < 2 << 20
    ports = [
        attributes(point.attributes)["server.port"]
        for body in bodies
        for group in ExportMetricsServiceRequest.FromString(body).resource_metrics
        for scope in group.scope_metrics
        for metric in scope.metrics
        for point in metric.sum.data_points
    ]
    assert Counter(ports) == dict.fromkeys(range(1, 8193), 4)


def test_nothing_counted_is_nothing_sent(tmp_path: Path) -> None:
    with HttpReceiver() as receiver, sending(receiver, Ledger()) as sender, case(tmp_path, sender) as it:
        it.look(INTERVAL + 1)
        wait_for(lambda: sender.delivered == 1, "it is done with")
        assert not receiver.requests
