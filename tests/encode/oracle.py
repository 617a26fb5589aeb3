"""What the official classes of opentelemetry-proto make of the same events: plain, slow and independent.

Nothing of the encoder is used here but the display line, which has tests of its own.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogsData, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as OfficialResource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status, TracesData
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OfficialSpan

from exporter.encode import body
from exporter.model import SEQUENCE, Attributes, Event, Keep, Resource, Span, Stream, Value

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"


def logs(events: Iterable[Event], keep: Mapping[str, Keep], version: str, stream: Stream) -> LogsData:
    """The events as LogsData, which has the fields of ExportLogsServiceRequest; numbered from `stream.next` on."""
    data = LogsData()
    scopes: dict[bytes, ScopeLogs] = {}
    about = _scope(version, {"podwitness.sink": stream.sink, "podwitness.stream.id": stream.id})
    for number, event in enumerate(events, stream.next):
        kept = keep[event.kind.name]
        resource = _resource(event.resource, kept)
        scope = scopes.get(resource.SerializeToString())
        if scope is None:
            group = ResourceLogs(schema_url=SCHEMA, scope_logs=[ScopeLogs(scope=about, schema_url=SCHEMA)])
            if resource.attributes:
                group.resource.CopyFrom(resource)
            data.resource_logs.append(group)
            scope = scopes[resource.SerializeToString()] = data.resource_logs[-1].scope_logs[0]
        scope.log_records.append(_record(event, number, kept))
    return data


def _record(event: Event, number: int, keep: Keep) -> LogRecord:
    attributes = {name: value for name, value in {**event.attributes(), SEQUENCE: number}.items() if keep(name)}
    return LogRecord(
        time_unix_nano=event.time,
        observed_time_unix_nano=event.observed,
        severity_number=SeverityNumber.ValueType(event.kind.severity),
        event_name=event.kind.event_name,
        body=AnyValue(string_value=body.render(event.kind, attributes)),
        attributes=_attributes(attributes),
        trace_id=event.process.trace_id,
        span_id=event.process.span_id,
    )


def spans(found: Iterable[Span], attributes_of: Callable[[Span], Attributes], keep: Keep, version: str) -> TracesData:
    """The spans as TracesData; `attributes_of` says what a span is to carry before `keep`."""
    data = TracesData()
    groups: dict[bytes, ScopeSpans] = {}
    for span in found:
        resource = _resource(span.resource, keep)
        scope = groups.get(resource.SerializeToString())
        if scope is None:
            group = ResourceSpans(
                schema_url=SCHEMA, scope_spans=[ScopeSpans(scope=_scope(version, {}), schema_url=SCHEMA)]
            )
            if resource.attributes:
                group.resource.CopyFrom(resource)
            data.resource_spans.append(group)
            scope = groups[resource.SerializeToString()] = data.resource_spans[-1].scope_spans[0]
        scope.spans.append(_span(span, {n: v for n, v in attributes_of(span).items() if keep(n)}))
    return data


def _span(span: Span, attributes: Attributes) -> OfficialSpan:
    return OfficialSpan(
        trace_id=span.process.trace_id,
        span_id=span.process.span_id,
        parent_span_id=span.parent_span_id,
        flags=0x100,
        name=clean(span.name),
        kind=OfficialSpan.SPAN_KIND_INTERNAL,
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
        attributes=_attributes(attributes),
        links=[OfficialSpan.Link(trace_id=t, span_id=s, flags=0x100) for t, s in span.process.links],
        status=Status(code=Status.STATUS_CODE_ERROR) if span.failed else None,
    )


def clean(text: str) -> str:
    """Text without lone surrogates: the official classes refuse them."""
    return text.encode("utf-8", "backslashreplace").decode()


def _resource(resource: Resource, keep: Keep) -> OfficialResource:
    return OfficialResource(attributes=_attributes({n: v for n, v in resource.attributes.items() if keep(n)}))


def _scope(version: str, attributes: Attributes) -> InstrumentationScope:
    return InstrumentationScope(name="podwitness", version=version, attributes=_attributes(attributes))


def _attributes(attributes: Attributes) -> list[KeyValue]:
    return [KeyValue(key=clean(name), value=any_value(value)) for name, value in attributes.items()]


def any_value(value: Value) -> AnyValue:
    """The value as the official class has it."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case str():
            return AnyValue(string_value=clean(value))
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))


def plain(message: Any) -> bytes:
    """A message in one certain order of fields, log records' attributes too: equal bytes, equal messages; also NaN."""
    if "resource_logs" in message.DESCRIPTOR.fields_by_name:
        for group in message.resource_logs:
            for scope in group.scope_logs:
                for record in scope.log_records:
                    record.attributes.sort(key=lambda item: item.key)
    return bytes(message.SerializeToString(deterministic=True))
