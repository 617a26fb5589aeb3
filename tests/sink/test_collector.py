"""A real OpenTelemetry Collector takes what the sinks send, also when it was away for a while."""

import gzip

import msgpack
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from exporter import config
from exporter.model import Delivery, Payload
from exporter.sink.delivery import Outbox
from exporter.sink.fluent_forward import FluentForward
from exporter.sink.otlp_http import OtlpHttp
from exporter.telemetry import Ledger
from tests.peers.collector import Collector
from tests.waiting import wait_for

pytestmark = pytest.mark.peers

COUNT = 23
QUICK = config.Queue(retry_initial_seconds=0.05, retry_max_seconds=0.2, shutdown_seconds=60.0)


def otlp(collector: Collector) -> OtlpHttp:
    return OtlpHttp(config.OtlpHttp(endpoint=collector.otlp_endpoint), environ={}, version="0.1.0")


def fluent(collector: Collector) -> FluentForward:
    return FluentForward(config.FluentForward(host="127.0.0.1", port=collector.fluent_port))


def log_records(first: int, count: int) -> Payload:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for number in range(first, first + count):
        records.add(time_unix_nano=1_700_000_000 * 10**9).body.string_value = f"record {number}"
    return Payload("logs", request.SerializeToString(), count)


def entries(first: int, count: int) -> Payload:
    time = msgpack.ExtType(0, (1_700_000_000).to_bytes(4, "big") + bytes(4))
    numbers = range(first, first + count)
    packed = b"".join(msgpack.packb([time, {"message": f"record {n}"}]) for n in numbers)
    return Payload("logs", packed, count, tag="podwitness.process")


def bodies(first: int, count: int) -> list[str]:
    return [f"record {n}" for n in range(first, first + count)]


def test_logs_and_spans_by_otlp(collector: Collector) -> None:
    spans = ExportTraceServiceRequest()
    for _ in range(COUNT):
        spans.resource_spans.add().scope_spans.add().spans.add(name="curl", trace_id=b"t" * 16, span_id=b"s" * 8)
    sink = otlp(collector)
    assert sink.send(log_records(0, COUNT)) == Delivery("accepted")
    assert sink.send(Payload("traces", spans.SerializeToString(), COUNT)) == Delivery("accepted")
    sink.close()
    collector.wait_for(lambda c: len(c.logs()) == len(c.traces()) == COUNT)
    assert [record.body for record in collector.logs()] == bodies(0, COUNT)


def test_what_is_no_protobuf_is_refused_with_the_collectors_reason(collector: Collector) -> None:
    sink = otlp(collector)
    delivery = sink.send(Payload("logs", gzip.compress(b"twice"), 1))
    sink.close()
    assert delivery.outcome == "refused"
    assert delivery.reason.startswith("HTTP 400 Bad Request: proto: ")


def test_records_by_fluent_forward(collector: Collector) -> None:
    sink = fluent(collector)
    assert [sink.send(entries(n, 1)) for n in range(COUNT)] == [Delivery("accepted")] * COUNT
    sink.close()
    collector.wait_for(lambda c: len(c.fluent_logs()) == COUNT)
    assert [record.body for record in collector.fluent_logs()] == bodies(0, COUNT)
    assert {record.attributes["fluent.tag"] for record in collector.fluent_logs()} == {"podwitness.process"}


def test_a_collector_that_was_away_gets_all_in_order(collector: Collector) -> None:
    ledger = Ledger()
    outboxes = {
        "otlp": (Outbox("otlp", otlp(collector), QUICK, ledger), log_records),
        "fluent": (Outbox("fluent", fluent(collector), QUICK, ledger), entries),
    }
    for outbox, make in outboxes.values():
        outbox.start()
        outbox.put(make(0, COUNT))
    wait_for(lambda: ledger.sent["otlp"] == ledger.sent["fluent"] == COUNT, "the first delivery")
    collector.stop()
    for outbox, make in outboxes.values():
        for number in range(COUNT):
            outbox.put(make(COUNT + number, 1))
    wait_for(lambda: min(ledger.noted["retry.otlp"], ledger.noted["retry.fluent"]) >= 2, "failed attempts")
    collector.start()
    for outbox, _ in outboxes.values():
        outbox.close()
    assert (ledger.sent["otlp"], ledger.sent["fluent"], ledger.dropped) == (2 * COUNT, 2 * COUNT, {})
    collector.wait_for(lambda c: len(c.logs()) == len(c.fluent_logs()) == 2 * COUNT)
    assert [record.body for record in collector.logs()] == bodies(0, 2 * COUNT)
    assert [record.body for record in collector.fluent_logs()] == bodies(0, 2 * COUNT)
