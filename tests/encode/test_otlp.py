"""OTLP in protobuf says what the official classes would say, in batches of the right size."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from exporter.config import Batch
from exporter.encode.fragments import Known
from exporter.encode.otlp import LogsEncoder, SpansEncoder
from exporter.encode.otlp_spans import FROM_PROCESS
from exporter.encode.parts import Shared
from exporter.model import Attributes, Event, Keep, Kind, Payload, Span, Value
from exporter.probes import AGENT_KINDS, AGENT_STOPPED, PROCESS_EXEC
from tests.encode import oracle
from tests.encode.events import (
    ALL_KINDS,
    BARE,
    KNOCK,
    PROCESS_ATTRIBUTES,
    TOUCH,
    last,
    make_agent_event,
    make_event,
    make_process,
    make_resource,
    make_span,
    make_stream,
    spans,
    workloads,
)

WHOLE = Batch(max_records=1_000_000, max_bytes=1 << 40)
EVENTS_EACH = 50
FIRST = st.sampled_from([1, 100, 16_300, (1 << 21) - 20, (1 << 28) - 20, 1 << 35, (1 << 62) - 9]) | st.integers(
    1, 1 << 62
)
"""The first number of a stream: most of these grow by a byte on the way."""


def everything(_name: str) -> bool:
    return True


def same_keep(keep: Keep) -> dict[str, Keep]:
    return {kind.name: keep for kind in ALL_KINDS}


def encoder(keep: Keep = everything, batch: Batch = WHOLE, first: int = 1) -> LogsEncoder:
    return LogsEncoder(ALL_KINDS, same_keep(keep), batch, "1.2.3", make_stream(first))


def parsed(payload: Payload | None) -> ExportLogsServiceRequest:
    assert payload is not None
    return ExportLogsServiceRequest.FromString(payload.data)


def encoded(events: Sequence[Event], keep: Keep = everything, first: int = 1) -> ExportLogsServiceRequest:
    logs = encoder(keep, first=first)
    assert list(logs.encode(events)) == []
    return parsed(last(logs))


def records(request: ExportLogsServiceRequest) -> list[LogRecord]:
    return [r for group in request.resource_logs for scope in group.scope_logs for r in scope.log_records]


def values_of(record: LogRecord) -> dict[str, AnyValue]:
    return {item.key: item.value for item in record.attributes}


def test_ten_thousand_generated_events_are_what_the_official_classes_make_of_them() -> None:
    compared = 0

    @settings(max_examples=220, deadline=None, suppress_health_check=list(HealthCheck))
    @given(workloads(events=EVENTS_EACH), FIRST)
    def compare(events: list[Event], first: int) -> None:
        nonlocal compared
        ours = encoded(events, first=first)
        official = oracle.logs(events, same_keep(everything), "1.2.3", make_stream(first))
        assert oracle.plain(ours) == oracle.plain(official)
        compared += len(records(ours))

    compare()
    assert compared >= 10_000


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(workloads(events=20), st.data())
def test_whatever_is_left_out_the_rest_is_what_the_official_classes_make_of_it(
    events: list[Event], data: st.DataObject
) -> None:
    names = sorted({n for e in events for n in (*e.kind.attributes, *e.resource.attributes)})
    keep: dict[str, Keep] = {}
    for kind in ALL_KINDS:
        dropped = data.draw(st.sets(st.sampled_from(names)), label=kind.name)
        keep[kind.name] = lambda name, dropped=frozenset(dropped): name not in dropped  # type: ignore[misc]
    logs = LogsEncoder(ALL_KINDS, keep, WHOLE, "", make_stream())
    assert list(logs.encode(events)) == []
    assert oracle.plain(parsed(last(logs))) == oracle.plain(oracle.logs(events, keep, "", make_stream()))


def test_a_filtered_attribute_is_gone_from_record_body_and_resource_and_nothing_else_is() -> None:
    event = make_event(PROCESS_EXEC, make_process())
    hidden = {"process.command_args", "k8s.pod.name"}
    before, after = encoded([event]), encoded([event], lambda name: name not in hidden)

    gone = values_of(records(before)[0]).keys() - values_of(records(after)[0]).keys()
    assert gone == {"process.command_args"}
    assert records(before)[0].body.string_value == 'exec pid=41822 ppid=1 user=0 args="bash -c id"'
    assert records(after)[0].body.string_value == "exec pid=41822 ppid=1 user=0"
    names = [{item.key for item in r.resource_logs[0].resource.attributes} for r in (before, after)]
    assert names[0] - names[1] == {"k8s.pod.name"}


def test_a_filtered_value_of_the_event_is_gone_from_the_body_too() -> None:
    event = make_event(TOUCH, make_process(), ("secret", 5, True, ("x",), None))
    (record,) = records(encoded([event], lambda name: name != "a.text"))
    assert record.body.string_value == 'touch path=/usr/bin/bash pid=41822 number=5 args="bash -c id"'
    assert b"secret" not in record.SerializeToString()


def test_without_any_attribute_a_record_still_says_what_and_when() -> None:
    (record,) = records(encoded([make_event(TOUCH, make_process(), ("x", 1, True, (), 1.5))], lambda _name: False))
    assert record.event_name == "podwitness.test.touch"
    assert record.time_unix_nano
    assert record.observed_time_unix_nano
    assert record.body.string_value == "touch"
    assert not record.attributes


def test_keep_is_asked_once_however_many_events_come() -> None:
    asked: list[str] = []

    def keep(name: str) -> bool:
        asked.append(name)
        return True

    logs = encoder(keep)
    process = make_process()
    list(logs.encode([make_event(kind, process) for kind in ALL_KINDS]))
    before = len(asked)
    list(logs.encode([make_event(kind, process) for kind in ALL_KINDS] * 50))
    assert len(asked) == before > 0


def test_one_value_in_different_types_keeps_each_type() -> None:
    sent: list[Value] = [1, True, 1.0, "1", 0, False, 0.0, -0.0, (1,), ("1",)] * 3
    events = [make_event(KNOCK, make_process(), ("", value)) for value in sent]
    found = [values_of(record)["a.port"] for record in records(encoded(events))]
    assert [value.SerializeToString() for value in found] == [
        oracle.any_value(value).SerializeToString() for value in sent
    ]


@pytest.mark.parametrize("number", [1 << 63, (1 << 64) - 1, -(1 << 63) - 1])
def test_a_number_beyond_int64_travels_as_its_digits_and_hurts_nobody(number: int) -> None:
    process = make_process({"process.pid": number, "process.command_args": (number, 1)})
    events = [make_event(KNOCK, process, ("before", 1)), make_event(KNOCK, process, ("beyond", number))]
    first, second = (values_of(record) for record in records(encoded(events)))
    assert (first["a.port"].int_value, second["a.port"].string_value) == (1, str(number))
    assert second["process.pid"].string_value == str(number)
    assert [v.string_value or v.int_value for v in second["process.command_args"].array_value.values] == [
        str(number),
        1,
    ]


@pytest.mark.parametrize("number", [(1 << 63) - 1, -(1 << 63), -1, 0, 1 << 14, (1 << 28) - 1, 1 << 28])
def test_numbers_at_the_edges_stay_numbers(number: int) -> None:
    (record,) = records(encoded([make_event(KNOCK, make_process(), ("", number))]))
    assert values_of(record)["a.port"].WhichOneof("value") == "int_value"
    assert values_of(record)["a.port"].int_value == number


def test_a_lone_surrogate_does_not_lose_the_batch() -> None:
    process = make_process({"process.executable.path": "/bin/\udcff"}, make_resource(label="\ud800"))
    request = encoded(
        [make_event(KNOCK, process, ("\udc80", 1), uid="\udc80"), make_event(KNOCK, process, ("fine", 2))]
    )
    first, second = (values_of(record) for record in records(request))
    assert first["a.text"].string_value == r"\udc80"
    assert first["process.executable.path"].string_value == r"/bin/\udcff"
    assert second["a.text"].string_value == "fine"


def test_more_values_than_are_remembered_all_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shared, "FORGET", 500)
    process, logs = make_process(), encoder()
    events = [
        make_event(KNOCK, process, (f"{n % (Known.ENTRIES + 300)}" * (1 + n % 90), n % (Known.ENTRIES + 7)))
        for n in range(3 * Known.ENTRIES)
    ]
    for start in range(0, len(events), 200):
        assert list(logs.encode(events[start : start + 200])) == []
    assert oracle.plain(parsed(last(logs))) == oracle.plain(
        oracle.logs(events, same_keep(everything), "1.2.3", make_stream())
    )


def test_a_body_of_any_length_has_the_right_lengths_around_it() -> None:
    events = [make_event(KNOCK, make_process(), (n * "x", n * "y")) for n in (0, 1, 100, 127, 128, 1000, 5000, 20000)]
    assert oracle.plain(encoded(events)) == oracle.plain(
        oracle.logs(events, same_keep(everything), "1.2.3", make_stream())
    )


def test_records_of_one_resource_stand_together_though_they_come_by_turns() -> None:
    one, two = make_process(resource=make_resource(pod="one")), make_process(resource=make_resource(pod="two"))
    request = encoded([make_event(BARE, process) for process in (one, two, one, two)])
    assert [len(group.scope_logs[0].log_records) for group in request.resource_logs] == [2, 2]


def test_kinds_that_keep_the_same_of_a_resource_share_its_bytes_and_others_do_not() -> None:
    keep = same_keep(everything) | {"bare": lambda _name: True, "test.knock": lambda name: name != "host.name"}
    process = make_process()
    logs = LogsEncoder(ALL_KINDS, keep, WHOLE, "1", make_stream())
    list(logs.encode([make_event(kind, process) for kind in (TOUCH, BARE, KNOCK)]))
    assert len({id(fragment) for fragment in process.resource.fragments.values()}) == 2
    assert [len(group.scope_logs[0].log_records) for group in parsed(last(logs)).resource_logs] == [2, 1]


def test_two_encoders_with_different_filters_do_not_disturb_each_other() -> None:
    event = make_event(PROCESS_EXEC, make_process())
    for _ in range(2):
        assert "process.pid" in values_of(records(encoded([event]))[0])
        assert "process.pid" not in values_of(records(encoded([event], lambda name: name != "process.pid"))[0])


def test_a_batch_leaves_at_its_number_of_records_and_the_rest_waits() -> None:
    logs = encoder(batch=Batch(max_records=1000))
    events = [make_event(BARE, make_process(), uid=f"{n}") for n in range(2500)]
    full = [payload for start in range(0, 2500, 300) for payload in logs.encode(events[start : start + 300])]
    assert [payload.records for payload in full] == [1000, 1000]
    assert logs.pending == 500
    rest = last(logs)
    assert rest is not None
    assert rest.records == 500
    assert (logs.pending, last(logs)) == (0, None)
    sent = [values_of(record)["log.record.uid"].string_value for p in (*full, rest) for record in records(parsed(p))]
    assert sent == [f"{n}" for n in range(2500)]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(workloads(events=120), st.integers(2000, 30_000))
def test_no_batch_is_larger_than_allowed_nor_leaves_before_it_has_to(events: list[Event], limit: int) -> None:
    logs = encoder(batch=Batch(max_bytes=limit))
    full = list(logs.encode(events))
    rest = last(logs)
    alone = max(len(parsed_alone.data) for parsed_alone in map(_alone, events))
    for payload in full:
        assert len(payload.data) <= limit or payload.records == 1
        assert len(payload.data) + alone + 2 * 6 * len(events) > limit
    payloads = [*full, *([rest] if rest else [])]
    assert sum(payload.records for payload in payloads) == len(events)
    assert all(len(records(parsed(payload))) == payload.records for payload in payloads)


def _alone(event: Event) -> Payload:
    logs = encoder()
    list(logs.encode([event]))
    payload = last(logs)
    assert payload is not None
    return payload


def test_a_record_too_large_by_itself_goes_alone_and_takes_nobody_with_it() -> None:
    small, huge = make_event(KNOCK, make_process(), ("s", 1)), make_event(KNOCK, make_process(), ("h" * 5000, 2))
    logs = encoder(batch=Batch(max_bytes=2000))
    payloads = [*logs.encode([small, huge, small]), last(logs)]
    assert [payload.records for payload in payloads if payload] == [1, 1, 1]


def span_attributes_as_promised(span: Span) -> Attributes:
    known = span.process.attributes
    return {name: known[name] for name in FROM_PROCESS if name in known} | span.attributes


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(spans(), min_size=1, max_size=5), st.sets(st.sampled_from(FROM_PROCESS)))
def test_generated_spans_are_what_the_official_classes_make_of_them(found: list[Span], dropped: set[str]) -> None:
    def keep(name: str) -> bool:
        return name not in dropped

    encoder = SpansEncoder(keep, WHOLE, "1.2.3")
    assert list(encoder.encode(found)) == []
    assert encoder.pending == len(found)
    payload = last(encoder)
    assert payload is not None
    assert (payload.signal, payload.records) == ("traces", len(found))
    ours = ExportTraceServiceRequest.FromString(payload.data)
    official = oracle.spans(found, span_attributes_as_promised, keep, "1.2.3")
    assert oracle.plain(ours) == oracle.plain(official)


def test_a_span_says_who_ran_and_whether_it_failed() -> None:
    process = make_process()
    process.links = ((b"t" * 16, b"s" * 8),)
    encoder = SpansEncoder(everything, Batch(max_records=2), "1")
    pair = [make_span(process, failed=True, parent=b"p" * 8), make_span(process)]
    (payload,) = encoder.encode(pair)
    failed, fine = ExportTraceServiceRequest.FromString(payload.data).resource_spans[0].scope_spans[0].spans
    carried = {item.key for item in failed.attributes}
    assert carried == PROCESS_ATTRIBUTES.keys() & set(FROM_PROCESS)
    assert (failed.status.code, fine.status.code) == (2, 0)
    assert (failed.parent_span_id, fine.parent_span_id) == (b"p" * 8, b"")
    assert failed.links[0].trace_id == b"t" * 16


@pytest.mark.parametrize(
    ("value", "cut"),
    [
        ("x" * 2048, lambda v: v == "x" * 2048),
        ("x" * 2049, lambda v: v == "x" * 2045 + "…"),
        ("é" * 2000, lambda v: v == "é" * 1022 + "…"),
        (("a" * 2000, "b" * 2000, "c"), lambda v: v == ("a" * 2000, "b" * 45 + "…")),
        (("a" * 2048, "b", "c"), lambda v: v == ("a" * 2045 + "…",)),
        (("a", "b"), lambda v: v == ("a", "b")),
    ],
)
def test_values_of_spans_are_cut_where_tempo_would_cut_them(value: Value, cut: Callable[[object], bool]) -> None:
    encoder = SpansEncoder(everything, Batch(max_records=1), "1")
    (payload,) = encoder.encode([make_span(make_process({"process.command_args": value}))])
    span = ExportTraceServiceRequest.FromString(payload.data).resource_spans[0].scope_spans[0].spans[0]
    sent = span.attributes[0].value
    found = tuple(v.string_value for v in sent.array_value.values) if isinstance(value, tuple) else sent.string_value
    assert cut(found)


@pytest.mark.parametrize("kind", AGENT_KINDS)
def test_what_the_agent_tells_of_itself_has_no_process_and_no_trace(kind: Kind) -> None:
    event = make_agent_event(kind, *range(len(kind.own)))
    (record,) = records(encoded([event]))
    assert values_of(record).keys() == {*kind.own, "log.record.uid", "podwitness.event.sequence"}
    assert (record.trace_id, record.span_id) == (b"", b"")
    assert oracle.plain(encoded([event])) == oracle.plain(
        oracle.logs([event], same_keep(everything), "1.2.3", make_stream())
    )


def test_an_empty_id_is_left_out_and_not_sent_as_nothing() -> None:
    logs = encoder(lambda _name: False)
    list(logs.encode([make_agent_event(AGENT_STOPPED)]))
    payload = last(logs)
    assert payload is not None
    assert len(payload.data) == len(parsed(payload).SerializeToString())
