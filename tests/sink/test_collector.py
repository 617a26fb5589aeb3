"""Real receivers take what the sinks send, also when they were away, or had the wrong certificate, for a while.

The OpenTelemetry Collector by every way that leads to it, and rotel as a second opinion on OTLP.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from isal import igzip
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from exporter import config
from exporter.model import Delivery, Payload
from exporter.sink.delivery import Outbox
from exporter.sink.queue import MemoryQueue
from exporter.sink.transport import Transport
from exporter.sink.transports import open_transport, wire
from exporter.telemetry import Ledger
from tests.peers.collector import Collector, ServerTls
from tests.peers.rotel import Rotel
from tests.sink.conftest import Certificates
from tests.waiting import wait_for

pytestmark = pytest.mark.peers

COUNT = 23
QUICK = config.Queue(retry_initial_seconds=0.05, retry_max_seconds=0.2, shutdown_seconds=60.0)
OTLP = pytest.mark.parametrize("protocol", ["http", "grpc"])
COMPRESSION = pytest.mark.parametrize("compression", ["gzip", "none"])
ACCEPTED = Delivery("accepted")

Start = Callable[..., Collector]


@pytest.fixture
def start(collector_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a Collector with the options of `Collector`."""
    started = list[Collector]()

    def start(**options: Any) -> Collector:
        started.append(Collector(collector_binary, tmp_path_factory.mktemp("collector"), **options))
        started[-1].start()
        return started[-1]

    yield start
    for collector in started:
        collector.stop()


def otlp(protocol: str, collector: Collector, **changes: Any) -> config.OtlpHttp | config.OtlpGrpc:
    """Settings to send to `collector`."""
    changes.setdefault("queue", QUICK)
    if protocol == "http":
        return config.OtlpHttp(endpoint=collector.otlp_endpoint, **changes)
    return config.OtlpGrpc(endpoint=collector.otlp_grpc_url, **changes)


def fluent(collector: Collector) -> config.FluentForward:
    return config.FluentForward(host="127.0.0.1", port=collector.fluent_port, queue=QUICK)


@contextmanager
def opened(settings: config.Sink) -> Iterator[Transport]:
    transport = open_transport(settings, environ={}, version="0.1.0")
    yield transport
    transport.close()


def outbox(settings: config.Sink, ledger: Ledger, name: str = "sink") -> Outbox:
    transport = open_transport(settings, environ={}, version="0.1.0")
    queue = MemoryQueue(name, settings.queue, ledger)
    return Outbox(name, transport, queue, settings.queue, ledger, wire=wire(settings))


def log_records(first: int, count: int) -> Payload:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for number in range(first, first + count):
        records.add(time_unix_nano=1_700_000_000 * 10**9).body.string_value = f"record {number}"
    return Payload("logs", request.SerializeToString(), count)


def spans(count: int) -> Payload:
    request = ExportTraceServiceRequest()
    for _ in range(count):
        request.resource_spans.add().scope_spans.add().spans.add(name="curl", trace_id=b"t" * 16, span_id=b"s" * 8)
    return Payload("traces", request.SerializeToString(), count)


def compressed(payload: Payload) -> Payload:
    return msgspec.structs.replace(payload, data=igzip.compress(payload.data, 1), gzip=True)


def entries(first: int, count: int) -> Payload:
    time = msgpack.ExtType(0, (1_700_000_000).to_bytes(4, "big") + bytes(4))
    numbers = range(first, first + count)
    packed = b"".join(msgpack.packb([time, {"message": f"record {n}"}]) for n in numbers)
    return Payload("logs", packed, count, tag="podwitness.process")


def bodies(first: int, count: int) -> list[str]:
    return [f"record {n}" for n in range(first, first + count)]


@OTLP
@COMPRESSION
def test_logs_and_spans_by_otlp(collector: Collector, protocol: str, compression: Any) -> None:
    with opened(otlp(protocol, collector, compression=compression)) as sink:
        assert sink.send(compressed(log_records(0, COUNT))) == sink.send(log_records(COUNT, 1)) == ACCEPTED
        assert sink.send(compressed(spans(COUNT))) == ACCEPTED
    collector.wait_for(lambda c: len(c.logs()) == COUNT + 1 and len(c.traces()) == COUNT)
    assert [record.body for record in collector.logs()] == bodies(0, COUNT + 1)


@OTLP
@COMPRESSION
def test_another_receiver_reads_the_same(rotel: Rotel, protocol: str, compression: Any) -> None:
    by_http = config.OtlpHttp(endpoint=rotel.http_endpoint, compression=compression)
    by_grpc = config.OtlpGrpc(endpoint=rotel.grpc_endpoint, compression=compression)
    with opened(by_http if protocol == "http" else by_grpc) as sink:
        assert sink.send(compressed(log_records(0, COUNT))) == sink.send(log_records(COUNT, 1)) == ACCEPTED
        assert sink.send(compressed(spans(COUNT))) == ACCEPTED
    wait_for(lambda: len(rotel.bodies()) == COUNT + 1 and len(rotel.spans()) == COUNT, "all have arrived")
    assert rotel.bodies() == bodies(0, COUNT + 1)
    assert set(rotel.spans()) == {"curl"}


@OTLP
def test_tls_and_a_certificate_of_ours(start: Start, certificates: Certificates, protocol: str) -> None:
    collector = start(tls=ServerTls(*certificates.of("server"), certificates.ca))
    certificate, key = certificates.of("client")
    wrong = config.Tls(ca_file=certificates.ca)
    right = config.Tls(ca_file=certificates.ca, certificate_file=certificate, key_file=key)
    with opened(otlp(protocol, collector, tls=wrong)) as sink:
        assert sink.send(log_records(0, 1)).outcome == "retry"
    with opened(otlp(protocol, collector, tls=right)) as sink:
        assert sink.send(log_records(0, COUNT)) == ACCEPTED
    collector.wait_for(lambda c: len(c.logs()) == COUNT)


@OTLP
def test_certificates_that_change_while_records_flow(
    start: Start, certificates: Certificates, renewed: Certificates, tmp_path: Path, protocol: str
) -> None:
    theirs, ours = Files(tmp_path / "theirs"), Files(tmp_path / "ours")
    theirs.hold(certificates, "server")
    ours.hold(renewed, "client")
    collector = start(tls=ServerTls(theirs.certificate, theirs.key, theirs.ca))
    ledger = Ledger()
    box = outbox(otlp(protocol, collector, tls=ours.settings), ledger)
    box.start()
    box.put(log_records(0, COUNT))
    wait_for(lambda: ledger.noted["retry.sink"] >= 2, "the receiver is not trusted")
    ours.hold(certificates, "client")
    wait_for(lambda: ledger.sent["sink"] == COUNT, "the right certificates are used without a restart")
    theirs.hold(renewed, "server")
    ours.hold(renewed, "client")
    collector.restart()
    box.put(log_records(COUNT, COUNT))
    box.close()
    assert (ledger.sent["sink"], ledger.dropped) == (2 * COUNT, {})
    collector.wait_for(lambda c: len(c.logs()) == 2 * COUNT)
    assert [record.body for record in collector.logs()] == bodies(0, 2 * COUNT)


class Files:
    """CA, certificate and key under names that stay the same."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.ca, self.certificate, self.key = (str(folder / name) for name in ("ca.crt", "tls.crt", "tls.key"))
        self.settings = config.Tls(ca_file=self.ca, certificate_file=self.certificate, key_file=self.key)

    def hold(self, issued: Certificates, name: str) -> None:
        for source, own in zip((issued.ca, *issued.of(name)), (self.ca, self.certificate, self.key), strict=True):
            shutil.copy(source, own)


LIMITS = {"http": {"max_request_body_size": 200_000}, "grpc": {"max_recv_msg_size_mib": 1}}


@OTLP
def test_what_is_too_large_for_a_receiver_arrives_in_parts(start: Start, protocol: str) -> None:
    collector, ledger = start(limits=LIMITS), Ledger()
    count = 60_000  # 2 MB
    box = outbox(otlp(protocol, collector), ledger)
    box.start()
    box.put(log_records(0, count))
    box.close()
    assert (ledger.sent["sink"], ledger.dropped) == (count, {})
    collector.wait_for(lambda c: len(c.logs()) == count)
    assert [record.body for record in collector.logs()] == bodies(0, count)


@OTLP
def test_what_is_no_protobuf_is_refused_with_the_collectors_reason(collector: Collector, protocol: str) -> None:
    with opened(otlp(protocol, collector)) as sink:
        delivery = sink.send(Payload("logs", b"\x0a\x05ab", 1))
    assert delivery.outcome == "refused"
    assert "unexpected EOF" in delivery.reason


def test_records_by_fluent_forward(collector: Collector) -> None:
    with opened(fluent(collector)) as sink:
        assert [sink.send(entries(n, 1)) for n in range(COUNT)] == [ACCEPTED] * COUNT
    collector.wait_for(lambda c: len(c.fluent_logs()) == COUNT)
    assert [record.body for record in collector.fluent_logs()] == bodies(0, COUNT)
    assert {record.attributes["fluent.tag"] for record in collector.fluent_logs()} == {"podwitness.process"}


@pytest.mark.parametrize("way", ["http", "grpc", "fluent"])
def test_a_collector_that_was_away_gets_all_in_order(collector: Collector, way: str) -> None:
    ledger, make = Ledger(), entries if way == "fluent" else log_records
    box = outbox(fluent(collector) if way == "fluent" else otlp(way, collector), ledger)
    box.start()
    box.put(make(0, COUNT))
    wait_for(lambda: ledger.sent["sink"] == COUNT, "the first delivery")
    collector.stop()
    for number in range(COUNT):
        box.put(make(COUNT + number, 1))
    wait_for(lambda: ledger.noted["retry.sink"] >= 2, "failed attempts")
    collector.start()
    box.close()
    assert (ledger.sent["sink"], ledger.dropped) == (2 * COUNT, {})
    arrived = collector.fluent_logs if way == "fluent" else collector.logs
    collector.wait_for(lambda _: len(arrived()) == 2 * COUNT)
    assert [record.body for record in arrived()] == bodies(0, 2 * COUNT)
