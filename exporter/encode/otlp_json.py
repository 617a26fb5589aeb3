"""OTLP in JSON: one line of LogsData or TracesData a batch, as the Collector's otlp_json_file wants it.

Called by the channel of the file sink. The same fragments and batches as in protobuf (`otlp`), other bytes:
lowerCamelCase keys, ids in hex, enums as numbers, 64-bit integers as decimal text. google.protobuf's own JSON
is not OTLP's: it writes ids in base64 and enums by name.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress
from math import isfinite
from operator import getitem, itemgetter
from typing import Any

import msgspec

from exporter.config import Batch
from exporter.encode import body
from exporter.encode.canonical import NOT_FINITE, SINK, STREAM
from exporter.encode.chain import CHAIN_HASH, Chain, Link, linker, provable, sign_in
from exporter.encode.fragments import Encoding, Place
from exporter.encode.otlp import SCHEMA_URL, SCOPE
from exporter.encode.otlp_batch import Batches, Frame, Groups
from exporter.encode.otlp_spans import FAILED, INTERNAL, LINK_FLAGS, SPAN_FLAGS, span_attributes
from exporter.encode.parts import Parts, Shared, parts
from exporter.encode.wire import INT64_MAX, INT64_MIN, utf8
from exporter.model import SEQUENCE, UID, Attributes, Event, Keep, Kind, Payload, Process, Span, Stream, Value

_json = msgspec.json.Encoder().encode
_join = b"".join


class LogsJsonEncoder:
    """Events in, lines of LogsData out; arguments as for `otlp.LogsEncoder`."""

    def __init__(
        self,
        kinds: Sequence[Kind],
        keep: Mapping[str, Keep],
        batch: Batch,
        version: str,
        stream: Stream,
        chain: Chain | None = None,
    ) -> None:
        self._version, self._stream, self._id = version, stream, stream.id
        self._shared = Shared(Encoding(attribute=_encoder, image=_image, resource=_resource, text=_text))
        keep = provable(keep) if chain else keep
        link = linker(chain, kinds, keep, stream, "otlp", _encoder(CHAIN_HASH, str))
        of = parts(kinds, keep, self._shared)
        self._record = {kind: _recorder(of[kind], stream, link) for kind in kinds}
        sign_in(chain, self._record)
        self._batches = Batches("logs", _logs_frame(version, stream), batch, stream)

    @property
    def pending(self) -> int:
        """Records waiting for the batch to be full."""
        return self._batches.pending

    def encode(self, events: Sequence[Event]) -> Iterator[Payload]:
        """Add the events to the batch, as far as the iterator is followed; gives each batch that is full."""
        if self._stream.id != self._id:  # what is pending belongs to the stream before
            yield from self.flush()
            self._id, self._batches.frame = self._stream.id, _logs_frame(self._version, self._stream)
        self._shared.count(len(events))
        record = self._record
        yield from self._batches.pack(record[event.kind](event) for event in events)

    def flush(self) -> Iterator[Payload]:
        """The batch as it is; nothing when it is empty."""
        return self._batches.flush()


def _recorder(of: Parts, stream: Stream, link: Link | None) -> Callable[[Event], tuple[bytes, bytes]]:
    """A function from an event to its Resource's fragment and its record, for one kind; it numbers the record."""
    _, place, image, line, rows, kept, texts, uid, sequence = of
    pick = itemgetter(*texts) if len(texts) > 1 else lambda values: (values[texts[0]],)
    constant = b'","severityNumber":%d,"eventName":%b,"body":{"stringValue":"%b' % (
        of.kind.severity,
        _json(_clean(of.kind.event_name)),
        _text(body.word(of.kind)),
    )
    encode_uid = _encoder(UID, str)
    word = _text(body.word(of.kind))

    def record(event: Event) -> tuple[bytes, bytes]:
        number = stream.next
        process = event.process
        fragments = process.fragments
        values = event.values
        known, known_texts = rows[tuple(map(type, values))]
        text = fragments.get(line) or line(process)
        if texts:
            text %= tuple(map(getitem, known_texts, pick(values)))
        attributes = _join(
            (
                fragments.get(image) or image(process),
                _join(map(getitem, known, compress(values, kept) if kept else values)),
                encode_uid(event.uid) if uid else b"",
                _NUMBER % number if sequence else b"",
            )
        )
        where = event.resource.fragments.get(place) or place(event.resource)
        if link is not None:
            attributes += link(event, number, msgspec.json.decode(b'"%b%b"' % (word, text), type=str))
        data = _join(
            (
                b'{"timeUnixNano":"%d","observedTimeUnixNano":"%d' % (event.time, event.observed),
                constant,
                text,
                b'"},',
                attributes.removesuffix(b","),
                b"]}",
            )
        )
        stream.next = number + 1  # nothing fails from here on: an event that cannot be encoded takes no number
        return where, data

    return record


_NUMBER = b'{"key":"%b","value":{"intValue":"%%d"}},' % SEQUENCE.encode()


def _clean(text: str) -> str:
    """Text without lone surrogates, which JSON in UTF-8 cannot hold."""
    return text if text.isascii() else utf8(text).decode()


def _text(text: str) -> bytes:
    """What stands between the quotes."""
    return _json(_clean(text))[1:-1]


def _any_value(value: Value) -> dict[str, Any]:
    """AnyValue; an integer beyond int64 is text, as in protobuf."""
    if isinstance(value, str):
        return {"stringValue": _clean(value)}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue" if INT64_MIN <= value <= INT64_MAX else "stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if isfinite(value) else NOT_FINITE[str(value)]}
    return {"arrayValue": {"values": [_any_value(item) for item in value]}}


def _key_values(attributes: Attributes) -> list[dict[str, Any]]:
    return [{"key": _clean(name), "value": _any_value(value)} for name, value in attributes.items()]


def _encoder(name: str, _held: type) -> Callable[[Any], bytes]:
    """A function from a value to the attribute `name`, with the comma after it."""
    key = b'{"key":%b,"value":' % _json(_clean(name))
    return lambda value: b"%b%b}," % (key, _json(_any_value(value)))


def _image(process: Process, attributes: Sequence[bytes]) -> bytes:
    """Ids and attributes, the list left open; a comma after each attribute."""
    ids = {"traceId": process.trace_id, "spanId": process.span_id}
    members = b"".join(b'"%b":"%b",' % (k.encode(), v.hex().encode()) for k, v in ids.items() if v)
    return members + b'"attributes":[' + b"".join(attributes)


def _resource(attributes: Attributes) -> bytes:
    resource = {"resource": {"attributes": _key_values(attributes)}} if attributes else {}
    return _json({**resource, "schemaUrl": SCHEMA_URL})[1:-1]


def _logs_frame(version: str, stream: Stream) -> Frame:
    """The scope of log records names their stream."""
    names: Attributes = {SINK: stream.sink, STREAM: stream.id}
    return _frame(
        "resourceLogs", "scopeLogs", "logRecords", {"version": _clean(version), "attributes": _key_values(names)}
    )


def _frame(resources: str, scopes: str, records: str, about: dict[str, Any]) -> Frame:
    scope = _json({"scope": {"name": SCOPE, **about}, "schemaUrl": SCHEMA_URL})[1:-1]
    opened = b',"%b":[{%b,"%b":[' % (scopes.encode(), scope, records.encode())
    start = b'{"%b":[' % resources.encode()

    def seal(groups: Groups) -> bytes:
        inner = [b"{%b%b%b]}]}" % (place, opened, b",".join(group)) for place, group in groups.items()]
        return start + b",".join(inner) + b"]}\n"

    return Frame(envelope=len(start) + 3, group=len(opened) + 6, record=1, seal=seal)


class SpansJsonEncoder:
    """Spans in, lines of TracesData out; arguments as for `otlp.SpansEncoder`."""

    def __init__(self, keep: Keep, batch: Batch, version: str) -> None:
        self._keep = keep
        self._place = Place(keep, _resource)
        self._batches = Batches(
            "traces", _frame("resourceSpans", "scopeSpans", "spans", {"version": _clean(version)}), batch
        )

    @property
    def pending(self) -> int:
        """Spans waiting for the batch to be full."""
        return self._batches.pending

    def encode(self, spans: Sequence[Span]) -> Iterator[Payload]:
        """Add the spans to the batch, as far as the iterator is followed; gives each batch that is full."""
        return self._batches.pack((self._resource(span), _json(self._span(span))) for span in spans)

    def flush(self) -> Iterator[Payload]:
        """The batch as it is; nothing when it is empty."""
        return self._batches.flush()

    def _resource(self, span: Span) -> bytes:
        return span.resource.fragments.get(self._place) or self._place(span.resource)

    def _span(self, span: Span) -> dict[str, Any]:
        process = span.process
        parent = {"parentSpanId": span.parent_span_id.hex()} if span.parent_span_id else {}
        failed = {"status": {"code": FAILED}} if span.failed else {}
        return {
            "traceId": process.trace_id.hex(),
            "spanId": process.span_id.hex(),
            **parent,
            **failed,
            "flags": SPAN_FLAGS,
            "name": _clean(span.name),
            "kind": INTERNAL,
            "startTimeUnixNano": str(span.start),
            "endTimeUnixNano": str(span.end),
            "attributes": _key_values(span_attributes(span, self._keep)),
            "links": [_link(trace_id, span_id) for trace_id, span_id in process.links],
        }


def _link(trace_id: bytes, span_id: bytes) -> dict[str, Any]:
    return {"traceId": trace_id.hex(), "spanId": span_id.hex(), "flags": LINK_FLAGS}
