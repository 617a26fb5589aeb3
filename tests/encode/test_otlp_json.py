"""OTLP in JSON, a line a batch: read back, it is what the official classes make of the same events."""

import base64
import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from exporter.config import Batch
from exporter.encode.otlp_json import LogsJsonEncoder, SpansJsonEncoder
from exporter.encode.otlp_spans import FROM_PROCESS
from exporter.model import Event, Keep, Kind, Payload, Span
from exporter.probes import AGENT_KINDS, PROCESS_EXEC
from tests.encode import oracle
from tests.encode.events import (
    ALL_KINDS,
    BARE,
    KNOCK,
    TOUCH,
    last,
    make_agent_event,
    make_event,
    make_process,
    make_span,
    make_stream,
    spans,
    workloads,
)

WHOLE = Batch(max_records=1_000_000, max_bytes=1 << 40)


def everything(_name: str) -> bool:
    return True


def same_keep(keep: Keep) -> dict[str, Keep]:
    return {kind.name: keep for kind in ALL_KINDS}


def line(payload: Payload | None) -> dict[str, Any]:
    """The payload's one line, read as JSON."""
    assert payload is not None
    assert payload.data.endswith(b"\n")
    assert payload.data.count(b"\n") == 1
    return dict(json.loads(payload.data))


def encoded(events: list[Event], keep: dict[str, Keep] | None = None) -> dict[str, Any]:
    logs = LogsJsonEncoder(ALL_KINDS, keep or same_keep(everything), WHOLE, "1.2.3", make_stream())
    assert list(logs.encode(events)) == []
    return line(last(logs))


def with_base64_ids(node: Any) -> Any:
    """OTLP writes ids in hex where protobuf's own JSON, which reads it here, wants base64."""
    if isinstance(node, list):
        return [with_base64_ids(item) for item in node]
    if not isinstance(node, dict):
        return node
    ids = {"traceId", "spanId", "parentSpanId"}
    return {
        key: base64.b64encode(bytes.fromhex(value)).decode() if key in ids else with_base64_ids(value)
        for key, value in node.items()
    }


def the_record(tree: dict[str, Any]) -> dict[str, Any]:
    (record,) = tree["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    return dict(record)


def test_ten_thousand_generated_events_read_back_as_the_official_classes_would_have_them() -> None:
    compared = 0

    @settings(max_examples=220, deadline=None, suppress_health_check=list(HealthCheck))
    @given(workloads(events=50))
    def compare(events: list[Event]) -> None:
        nonlocal compared
        ours = ParseDict(with_base64_ids(encoded(events)), LogsData())
        assert oracle.plain(ours) == oracle.plain(oracle.logs(events, same_keep(everything), "1.2.3", make_stream()))
        compared += sum(len(group.scope_logs[0].log_records) for group in ours.resource_logs)

    compare()
    assert compared >= 10_000


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(workloads(events=20), st.data())
def test_whatever_is_left_out_the_line_is_valid_and_the_rest_is_there(events: list[Event], data: st.DataObject) -> None:
    names = sorted({n for e in events for n in (*e.kind.attributes, *e.resource.attributes)})
    dropped = data.draw(st.sets(st.sampled_from(names)))
    keep = same_keep(lambda name: name not in dropped)
    ours = ParseDict(with_base64_ids(encoded(events, keep)), LogsData())
    assert oracle.plain(ours) == oracle.plain(oracle.logs(events, keep, "1.2.3", make_stream()))


def test_ids_are_hex_enums_are_numbers_and_64_bit_integers_are_text() -> None:
    record = the_record(encoded([make_event(PROCESS_EXEC, make_process())]))
    assert record["traceId"] == bytes(range(16)).hex()
    assert record["spanId"] == bytes(range(8, 16)).hex()
    assert record["severityNumber"] == 9
    assert record["timeUnixNano"] == "1795166102114000000"
    assert record["eventName"] == "podwitness.process.exec"
    assert {"key": "process.pid", "value": {"intValue": "41822"}} in record["attributes"]


def test_what_a_program_wrote_cannot_end_the_line_or_the_text() -> None:
    hostile = 'a"}]}\n{"resourceLogs":[]}\r\u2028 %s %b \x00 \udcff'
    process = make_process({"process.executable.path": hostile, "process.command_args": (hostile,)})
    record = the_record(encoded([make_event(TOUCH, process, (hostile, 1, True, (hostile,), None))]))
    found = {item["key"]: item["value"] for item in record["attributes"]}
    assert found["a.text"] == {"stringValue": oracle.clean(hostile)}
    assert found["process.command_args"]["arrayValue"]["values"] == [{"stringValue": oracle.clean(hostile)}]


def test_a_number_beyond_int64_travels_as_its_digits() -> None:
    record = the_record(encoded([make_event(KNOCK, make_process(), ("", 1 << 63))]))
    assert {"key": "a.port", "value": {"stringValue": "9223372036854775808"}} in record["attributes"]


def test_each_batch_is_a_line_within_its_bounds() -> None:
    logs = LogsJsonEncoder(
        ALL_KINDS, same_keep(everything), Batch(max_records=40, max_bytes=20_000), "1", make_stream()
    )
    events = [make_event(KNOCK, make_process(), ("x" * (n % 700), n), uid=f"{n}") for n in range(500)]
    payloads = list(logs.encode(events))
    assert {payload.records for payload in payloads} != {40}  # both bounds are met
    assert max(payload.records for payload in payloads) <= 40
    assert max(len(payload.data) for payload in payloads) <= 20_000
    assert logs.pending == 500 - sum(payload.records for payload in payloads)
    lines = [line(payload) for payload in (*payloads, last(logs))]
    uids = [item["value"]["stringValue"] for tree in lines for item in _items(tree) if item["key"] == "log.record.uid"]
    assert uids == [f"{n}" for n in range(500)]


def _items(tree: dict[str, Any]) -> list[dict[str, Any]]:
    groups = [record for group in tree["resourceLogs"] for record in group["scopeLogs"][0]["logRecords"]]
    return [item for record in groups for item in record["attributes"]]


def test_a_record_with_nothing_left_is_still_a_record() -> None:
    record = the_record(encoded([make_event(BARE, make_process())], same_keep(lambda _name: False)))
    assert (record["body"], record["attributes"]) == ({"stringValue": "bare"}, [])


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(spans(), min_size=1, max_size=5))
def test_generated_spans_read_back_as_the_official_classes_would_have_them(found: list[Span]) -> None:
    encoder = SpansJsonEncoder(everything, WHOLE, "1.2.3")
    assert list(encoder.encode(found)) == []
    assert encoder.pending == len(found)
    ours = ParseDict(with_base64_ids(line(last(encoder))), TracesData())

    def promised(span: Span) -> Any:
        known = span.process.attributes
        return {name: known[name] for name in FROM_PROCESS if name in known} | span.attributes

    assert oracle.plain(ours) == oracle.plain(oracle.spans(found, promised, everything, "1.2.3"))


def test_a_failed_span_has_the_status_as_a_number() -> None:
    encoder = SpansJsonEncoder(everything, Batch(max_records=1), "1")
    (payload,) = encoder.encode([make_span(make_process(), failed=True)])
    assert payload.signal == "traces"
    (span,) = line(payload)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (span["status"], span["kind"], span["flags"]) == ({"code": 2}, 1, 256)


@pytest.mark.parametrize("kind", AGENT_KINDS)
def test_what_the_agent_tells_of_itself_has_no_process_and_no_trace(kind: Kind) -> None:
    record = the_record(encoded([make_agent_event(kind, *range(len(kind.own)))]))
    assert {item["key"] for item in record["attributes"]} == {*kind.own, "log.record.uid", "podwitness.event.sequence"}
    assert not {"traceId", "spanId"} & record.keys()
