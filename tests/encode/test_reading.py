"""What a line of a shipped file tells; what is no record of ours, or no record at all."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Batch
from exporter.encode.fluent import FluentEncoder
from exporter.encode.otlp_json import LogsJsonEncoder
from exporter.encode.reading import Told, told_of_line
from exporter.model import Event, Keep
from exporter.probes.agent import EVENTS_LOST
from tests.encode.arrivals import fluent_lines
from tests.encode.events import (
    ALL_KINDS,
    BARE,
    KNOCK,
    make_agent_event,
    make_event,
    make_process,
    make_resource,
    make_stream,
)

KEEP: dict[str, Keep] = {kind.name: lambda _name: True for kind in ALL_KINDS}


def file_line(*events: Event) -> bytes:
    encoder = LogsJsonEncoder(ALL_KINDS, KEEP, Batch(), "1", make_stream())
    assert not list(encoder.encode(events))
    (payload,) = encoder.flush()
    return payload.data


def fluent_line(event: Event) -> bytes:
    encoder = FluentEncoder(ALL_KINDS, KEEP, Batch(), "t", make_stream())
    assert not list(encoder.encode([event]))
    (payload,) = encoder.flush()
    (line,) = fluent_lines(payload, Random(1))
    return line


def one(line: bytes) -> Told:
    (found,) = told_of_line(line)
    return found


@pytest.mark.parametrize("line", [file_line, fluent_line])
def test_a_record_tells_where_it_comes_from_and_what_it_says(line: Any) -> None:
    record = one(line(make_event(KNOCK, make_process(), ("hello", 80))))
    assert (record.node, record.sink, record.stream) == ("node-1", "siem", "5eed5eed5eed5eed")
    assert (record.sequence, record.uid, record.chain) == (1, "boot-l-0-0", "")
    assert record.event_name == "podwitness.test.knock"
    assert record.attributes["a.text"] == "hello"
    assert record.attributes["a.port"] == 80
    assert record.attributes["k8s.pod.name"] == "checkout-7d9c"
    assert record.attributes["process.command_args"] == ["bash", "-c", "id"]


@pytest.mark.parametrize("line", [file_line, fluent_line])
def test_a_gap_record_tells_what_is_missing(line: Any) -> None:
    lost = make_agent_event(EVENTS_LOST, "spool", "too_old", 12, "2026-11-20T09:15:02.114Z", "…", "7-9,12", None)
    record = one(line(lost))
    assert record.event_name == "podwitness.agent.events_lost"
    assert record.attributes["podwitness.agent.lost.count"] == 12
    assert record.attributes["podwitness.agent.lost.sequences"] == "7-9,12"
    assert record.node == "node-1"


def test_a_line_tells_all_its_records_in_its_own_order() -> None:
    here, there = make_process(), make_process(resource=make_resource(pod="there"))
    records = told_of_line(file_line(*[make_event(BARE, process) for process in (here, there, here)]))
    assert [record.sequence for record in records] == [1, 3, 2]


@pytest.mark.parametrize(
    ("resource", "node"),
    [
        ({"k8s.node.name": "k", "host.name": "h", "host.id": "i"}, "k"),
        ({"host.name": "h", "host.id": "i"}, "h"),
        ({"host.id": "i"}, "i"),
        ({"host.name": None}, ""),
    ],
)
def test_the_node_is_named_by_the_best_that_is_there(resource: dict[str, Any], node: str) -> None:
    process = make_process({}, make_resource(**{"host.name": None, **resource}))
    event = make_event(BARE, process)
    assert one(file_line(event)).node == node
    assert one(fluent_line(event)).node == node


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}",
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"bash"}]}]}]}',
        b'{"resourceMetrics":[]}',
        b'{"resourceLogs":[]}',
        b'{"resourceLogs":[{}]}',
        b'{"resourceLogs":[{"scopeLogs":[{"scope":{"name":"other"},"logRecords":[{"body":{"stringValue":"hi"}}]}]}]}',
        b'{"log":"hello","stream":"stdout"}',
        b'2026-11-20T09:15:02+00:00\tkube.var.log\t{"log":"hello"}\n',
        b'{"event_name":7}',
    ],
)
def test_what_others_wrote_is_passed_over(line: bytes) -> None:
    assert told_of_line(line) == []


def test_a_record_of_ours_that_does_not_name_its_stream_is_told_without() -> None:
    for line in (
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"podwitness.process.exec"}]}]}]}',
        b'{"event_name":"podwitness.process.exec"}',
    ):
        record = one(line)
        assert (record.stream, record.sink, record.node, record.sequence, record.uid) == ("", "", "", None, "")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "no JSON: Expecting property name enclosed in double quotes at character 1"),
        (b"hello", "no JSON: Expecting value at character 0"),
        (b'{"a":NaN}', "no JSON: NaN"),
        (b'{"a":"\xff"}', "no UTF-8: invalid start byte at byte 6"),
        (b"[1,{}]",
         "no record: a JSON list instead of an object; with Fluent Bit, `format plain` writes what can be read"),
        (b'"x"', "no record: a JSON str instead of an object"),
        (b'{"event_name":"podwitness.a","event_name":"podwitness.b"}', "'event_name' is there twice in one object"),
        (b'{"resourceLogs":[{"scopeLogs":7}]}',
         "no OTLP: Expected `array`, got `int` - at `$.resourceLogs[0].scopeLogs`"),
        (b'{"resourceLogs":[{"resource":{"attributes":[{"key":"a","value":{"intValue":"x"}}]}}]}',
         'no OTLP: {"intValue": "x"} is no AnyValue'),
        (b'{"resourceLogs":[{"resource":{"attributes":[{"key":"a","value":{"intValue":true}}]}}]}',
         'no OTLP: {"intValue": true} is no AnyValue'),
        (b'{"resourceLogs":[{"scopeLogs":[{"scope":{"attributes":[{"key":"podwitness.sink"},{"key":"podwitness.sink"}]}}]}]}',
         "'podwitness.sink' is there twice in one object"),
        (b"[" * 100_000, "no record: nested too deeply"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_says_why(line: bytes, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        told_of_line(line)
    assert str(caught.value) == reason


def test_a_fluent_record_that_came_through_the_collectors_receiver_is_the_same_record() -> None:
    # fluentforwardreceiver: all keys are attributes, `message` is the body, the tag is `fluent.tag`.
    direct = fluent_line(make_event(KNOCK, make_process(), ("hello", 80)))
    record = json.loads(direct.rpartition(b"\t")[2])
    body = record.pop("message")
    attributes = [{"key": "fluent.tag", "value": {"stringValue": "t"}}]
    attributes += [{"key": name, "value": _any_value(value)} for name, value in record.items()]
    log = {"timeUnixNano": "5", "body": {"stringValue": body}, "attributes": attributes}
    line = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]}).encode()
    assert one(line) == one(direct)


def _any_value(value: object) -> dict[str, Any]:
    match value:
        case dict():
            return {"kvlistValue": {"values": [{"key": name, "value": _any_value(v)} for name, v in value.items()]}}
        case str():
            return {"stringValue": value}
        case int():
            return {"intValue": str(value)}
        case list():
            return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    return {"doubleValue": value}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(["value", "body", "attributes", "timeUnixNano", "traceId", "scope", "flat"]), JSON)
def test_whatever_stands_in_a_line_it_is_read_or_refused(where: str, found: Any) -> None:
    record: dict[str, Any] = {"eventName": "podwitness.x", "attributes": [{"key": "a", "value": {"stringValue": "b"}}]}
    scope: Any = {"attributes": [{"key": "podwitness.stream.id", "value": {"stringValue": "s"}}]}
    if where == "value":
        record["attributes"][0]["value"] = found
    elif where == "scope":
        scope = found
    else:
        record[where] = found
    tree: Any = {"resourceLogs": [{"scopeLogs": [{"scope": scope, "logRecords": [record]}]}]}
    if where == "flat":
        tree = {
            "event_name": "podwitness.x",
            "podwitness.stream.id": found,
            "podwitness.chain.hash": found,
            "a.b": found,
        }
    try:
        records = told_of_line(json.dumps(tree).encode())
    except ValueError:
        return
    assert all(isinstance(told.canonical, bytes) and isinstance(told.chain, str) for told in records)
