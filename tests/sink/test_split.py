"""Halves of payloads as the encoders make them: no record is lost, altered or moved, whatever is in it."""

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from exporter.config import Batch
from exporter.encode.fluent import FluentEncoder
from exporter.encode.otlp import LogsEncoder, SpansEncoder
from exporter.encode.otlp_json import LogsJsonEncoder, SpansJsonEncoder
from exporter.encode.text import TextEncoder
from exporter.model import SEQUENCE, Event, Payload, Ranges, Stream, joined
from exporter.sink.delivery import compressed
from exporter.sink.split import Wire, split
from tests.encode.events import ALL_KINDS, BARE, make_event, make_process, make_resource, make_span, spans, workloads

BATCH = Batch(max_records=100_000, max_bytes=1 << 30)
KEEP = dict.fromkeys((kind.name for kind in ALL_KINDS), lambda _name: True)
NO_NUMBERS = dict.fromkeys((kind.name for kind in ALL_KINDS), lambda name: name != SEQUENCE)


def stream() -> Stream:
    return Stream("main", "0123456789abcdef", next=41)


EVENT_ENCODERS: dict[Wire, Callable[[], Any]] = {
    "otlp": lambda: LogsEncoder(ALL_KINDS, KEEP, BATCH, "1", stream()),
    "otlp_json": lambda: LogsJsonEncoder(ALL_KINDS, KEEP, BATCH, "1", stream()),
    "fluent": lambda: FluentEncoder(ALL_KINDS, KEEP, BATCH, "podwitness", stream()),
    "text": lambda: TextEncoder(ALL_KINDS, KEEP, BATCH, "node-1", stream(), timestamps=True),
}
SPAN_ENCODERS: dict[Wire, Callable[[], Any]] = {
    "otlp": lambda: SpansEncoder(lambda _name: True, BATCH, "1"),
    "otlp_json": lambda: SpansJsonEncoder(lambda _name: True, BATCH, "1"),
}


def encoded(encoder: Any, items: list[Any]) -> Iterator[Payload]:
    yield from encoder.encode(items)
    yield from encoder.flush()


# What is in a payload: for each record all that surrounds it, and itself, in the order they stand in.


def protobuf_rows(payload: Payload) -> list[tuple[bytes, ...]]:
    def plain(message: Any) -> bytes:
        return bytes(message.SerializeToString(deterministic=True))

    logs = payload.signal == "logs"
    message: Any = (ExportLogsServiceRequest if logs else ExportTraceServiceRequest).FromString(payload.data)
    return [
        (plain(group.resource), group.schema_url.encode(), plain(scope.scope), scope.schema_url.encode(), plain(record))
        for group in (message.resource_logs if logs else message.resource_spans)
        for scope in (group.scope_logs if logs else group.scope_spans)
        for record in (scope.log_records if logs else scope.spans)
    ]


def json_rows(payload: Payload) -> list[Any]:
    assert payload.data.endswith(b"}\n")
    assert payload.data.count(b"\n") == 1
    names = ("resourceLogs", "scopeLogs", "logRecords")
    groups, scopes, records = names if payload.signal == "logs" else ("resourceSpans", "scopeSpans", "spans")
    return [
        repr((group.get("resource"), group["schemaUrl"], scope["scope"], scope["schemaUrl"], record))
        for group in json.loads(payload.data)[groups]
        for scope in group[scopes]
        for record in scope[records]
    ]


def entries(payload: Payload) -> list[Any]:
    unpacker = msgpack.Unpacker(strict_map_key=False)
    unpacker.feed(payload.data)
    return [repr(entry) for entry in unpacker]


ROWS: dict[Wire, Callable[[Payload], list[Any]]] = {
    "otlp": protobuf_rows,
    "otlp_json": json_rows,
    "fluent": entries,
    "text": lambda payload: payload.data.splitlines(keepends=True),
}


def plain(payload: Payload) -> Payload:
    return Payload(payload.signal, gzip.decompress(payload.data), payload.records, payload.tag)


def numbers(ranges: Ranges) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


def assert_halves(whole: Payload, wire: Wire) -> tuple[Payload, Payload]:
    """All that must be true of any halves."""
    halves = one, other = split(whole, wire)
    rows = ROWS[wire]
    assert rows(one) + rows(other) == rows(whole)
    assert (one.records, other.records) == (whole.records // 2, whole.records - whole.records // 2)
    assert [len(rows(half)) for half in halves] == [half.records for half in halves]
    for half in halves:
        assert (half.signal, half.tag, half.gzip, half.size) == (whole.signal, whole.tag, False, len(half.data))
        assert half.stream == whole.stream
    for before, after in zip(halves, split(compressed(whole), wire), strict=True):
        assert (after.gzip, after.size, after.sequences) == (True, before.size, before.sequences)
        assert gzip.decompress(after.data) == before.data
    return halves


@pytest.mark.parametrize("wire", EVENT_ENCODERS)
@given(data=st.data(), count=st.integers(2, 30))
@settings(deadline=None, max_examples=40)
def test_events_are_halved(wire: Wire, data: st.DataObject, count: int) -> None:
    events: list[Event] = data.draw(workloads(events=count))
    for event in events:
        event.time %= 1 << 61  # Fluent's seconds end in 2106
    for whole in encoded(EVENT_ENCODERS[wire](), events):
        if whole.records > 1:
            one, other = assert_halves(whole, wire)
            if wire != "text":  # lines do not say their numbers
                assert joined(one.sequences, other.sequences) == whole.sequences
                assert not numbers(one.sequences) & numbers(other.sequences)
                assert len(numbers(one.sequences)) == one.records


@pytest.mark.parametrize("wire", SPAN_ENCODERS)
@given(items=st.lists(spans(), min_size=2, max_size=8))
@settings(deadline=None, max_examples=40)
def test_spans_are_halved(wire: Wire, items: list[Any]) -> None:
    for whole in encoded(SPAN_ENCODERS[wire](), items):
        one, other = assert_halves(whole, wire)
        assert one.sequences == other.sequences == ()


@given(st.data(), st.integers(2, 12))
@settings(deadline=None, max_examples=10)
def test_halves_of_halves_come_down_to_every_single_record(data: st.DataObject, count: int) -> None:
    (whole,) = encoded(EVENT_ENCODERS["otlp"](), data.draw(workloads(events=count)))
    parts, single = [whole], list[Payload]()
    while parts:
        part = parts.pop(0)
        if part.records == 1:
            single.append(part)
        else:
            parts[:0] = split(part, "otlp")
    assert [row for one in single for row in protobuf_rows(one)] == protobuf_rows(whole)
    assert all(len(numbers(one.sequences)) == 1 for one in single)
    assert joined(*(one.sequences for one in single)) == whole.sequences


def of_two_pods(encoder: Any) -> Payload:
    """Spans of two pods by turns: in the payload those of one stand together."""
    pods = [make_process(resource=make_resource(**{"k8s.pod.uid": uid})) for uid in ("one", "two")]
    (whole,) = encoded(encoder, [make_span(pods[number % 2], number=number) for number in range(6)])
    return whole


@pytest.mark.parametrize("wire", SPAN_ENCODERS)
def test_a_pod_without_records_in_a_half_is_not_in_it(wire: Wire) -> None:
    one, other = assert_halves(of_two_pods(SPAN_ENCODERS[wire]()), wire)
    assert (b"one" in one.data, b"two" in one.data) == (True, False)
    assert (b"one" in other.data, b"two" in other.data) == (False, True)


@given(st.data())
@settings(deadline=None, max_examples=10)
def test_records_that_do_not_say_their_numbers_have_none_in_the_halves(data: st.DataObject) -> None:
    encoder = LogsEncoder(ALL_KINDS, NO_NUMBERS, BATCH, "1", stream())
    (whole,) = encoded(encoder, data.draw(workloads(events=4)))
    assert whole.sequences == ((41, 44),)
    assert [half.sequences for half in assert_halves(whole, "otlp")] == [(), ()]


def test_json_that_nobody_looks_into_is_copied_as_it_stands() -> None:
    record = '{"attributes":[{"key":"a","value":{"doubleValue":1.10e2}}],"later":{"x":[1.0,{}]}}'
    line = f'{{"more":1.50,"resourceLogs":[{{"x":null,"scopeLogs":[{{"y":2,"logRecords":[{record},{record}]}}]}}]}}\n'
    one, other = split(Payload("logs", line.encode(), 2), "otlp_json")
    assert one.data == other.data == line.replace(f"{record},{record}", record).encode()


def test_fluent_entries_are_copied_byte_for_byte() -> None:
    odd = b"\x92\xcd\x00\x07\x81\xa1a\xd9\x02\xff\xfe"  # longer numbers than needed, text that is no UTF-8
    one, other = split(Payload("logs", odd * 3, 3), "fluent")
    assert (one.data, other.data) == (odd, odd * 2)


@pytest.mark.parametrize(
    ("data", "wire"),
    [
        (b"a\nb", "text"),
        (b"a\nb\nc", "text"),
        (b"\x92\x01\x80\x92\x01", "fluent"),
        (b"a\nb\nc\n", "text"),
        (b"", "otlp"),
    ],
)
def test_a_payload_that_is_not_what_it_says_has_no_halves(data: bytes, wire: Wire) -> None:
    with pytest.raises(ValueError, match=r"torn|no halves"):
        split(Payload("logs", data, 2), wire)


@pytest.mark.parametrize("wire", ROWS)
def test_what_is_damaged_raises(wire: Wire) -> None:
    with pytest.raises(Exception):  # noqa: B017  # whatever the format's library says
        split(Payload("logs", b"\xff\xfe\xfd", 2), wire)


@pytest.mark.parametrize("wire", EVENT_ENCODERS)
def test_a_single_record_has_no_halves(wire: Wire) -> None:
    (whole,) = encoded(EVENT_ENCODERS[wire](), [make_event(BARE, make_process())])
    with pytest.raises(ValueError, match="no halves"):
        split(whole, wire)
