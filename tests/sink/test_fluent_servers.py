"""Forward receivers that are not ours understand what we send: Fluent's own for Node, and the Collector's."""

import gzip
from pathlib import Path

import msgpack
import pytest

from exporter.model import Delivery, Payload
from tests.peers.collector import Collector
from tests.peers.fluent_server import Entry, FluentServer, Start
from tests.sink.conftest import Certificates
from tests.sink.forward import forward, tls_of
from tests.waiting import wait_for


class TestFluentServer:
    """The receiver of Fluent's own logger for Node understands what we send."""

    pytestmark = pytest.mark.peers

    def test_plain_and_compressed_chunks_arrive_and_are_acknowledged(self, fluent_server: Start) -> None:
        server = fluent_server()
        sink = forward(server.port)
        assert [sink.send(payload) for payload in (timed(0), timed(1, compress=True))] == [Delivery("accepted")] * 2
        sink.close()
        assert arrived(server, 2) == [entry(0), entry(1)]

    def test_they_arrive_over_tls(self, fluent_server: Start, certificates: Certificates) -> None:
        certificate, key = (Path(file).read_text() for file in certificates.of("server"))
        server = fluent_server(tls={"cert": certificate, "key": key})
        sink = forward(server.port, tls=tls_of(certificates))
        assert [sink.send(timed(n, compress=True)) for n in range(3)] == [Delivery("accepted")] * 3
        sink.close()
        assert arrived(server, 3) == [entry(n) for n in range(3)]

    def test_one_that_restarts_gets_the_rest(self, fluent_server: Start) -> None:
        server = fluent_server()
        sink = forward(server.port)
        assert sink.send(timed(0)) == Delivery("accepted")
        arrived(server, 1)
        server.stop()
        assert sink.send(timed(1)).outcome == "retry"
        server.start()
        assert sink.send(timed(1)) == Delivery("accepted")
        sink.close()
        assert arrived(server, 2) == [entry(0), entry(1)]


@pytest.mark.peers
@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
def test_the_collector_takes_it(compress: bool, collector: Collector) -> None:
    sink = forward(collector.fluent_port)
    assert [sink.send(timed(n, compress=compress)) for n in range(23)] == [Delivery("accepted")] * 23
    sink.close()
    collector.wait_for(lambda c: len(c.fluent_logs()) == 23)
    assert [record.body for record in collector.fluent_logs()] == [f"exec {n}" for n in range(23)]
    assert {record.raw["timeUnixNano"] for record in collector.fluent_logs()} == {"1700000000000000023"}


def timed(number: int, *, compress: bool = False) -> Payload:
    """One entry with Fluent's EventTime."""
    time = msgpack.ExtType(0, (1_700_000_000).to_bytes(4, "big") + (23).to_bytes(4, "big"))
    data = bytes(msgpack.packb([time, {"message": f"exec {number}"}]))
    packed = gzip.compress(data) if compress else data
    return Payload("logs", packed, 1, tag="podwitness.process", gzip=compress, size=len(data))


def entry(number: int) -> Entry:
    return Entry("podwitness.process", 1_700_000_000, 23, {"message": f"exec {number}"})


def arrived(server: FluentServer, count: int) -> list[Entry]:
    wait_for(lambda: len(server.entries) >= count, f"{count} entries at the FluentServer")
    return server.entries
