"""OTLP in protobuf: Events become ExportLogsServiceRequests, Spans ExportTraceServiceRequests.

Called by the channel of each OTLP sink. The heart of the speed: the bytes of Resources and process images
are made once and spliced (`fragments`); an event costs its times, its own values and its uid. Fields of
a message may come in any order, so the cached ones stand together. Which attributes a sink keeps is settled
when the encoder is built (`parts`). The generated classes of opentelemetry-proto are the tests' oracle.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress
from operator import getitem, itemgetter
from struct import Struct

from exporter.config import Batch
from exporter.encode import body
from exporter.encode.canonical import SINK, STREAM
from exporter.encode.chain import CHAIN_HASH, Chain, Link, linker, provable, sign_in
from exporter.encode.fragments import Encoding
from exporter.encode.otlp_batch import Batches, Frame, Groups
from exporter.encode.otlp_spans import FAILED, INTERNAL, LINK_FLAGS, SPAN_FLAGS, span_attributes
from exporter.encode.otlp_values import LOG_TAG, RESOURCE_TAG, SCOPE_TAG, SPAN_TAG, attribute, encoder, text_heads
from exporter.encode.parts import Parts, Shared, parts
from exporter.encode.sequence import numbered, unnumbered
from exporter.encode.wire import Heads, field, utf8, varint
from exporter.model import SEQUENCE, UID, Attributes, Event, Keep, Kind, Payload, Process, Span, Stream

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
SCOPE = "podwitness"

_join = b"".join
_times = Struct("<cQcQ").pack


class LogsEncoder:
    """Events in, batches of log records out.

    Args:
        kinds: the event types that come.
        keep: for each kind's name, whether an attribute is sent; asked once, not per event.
        batch: when a batch is full.
        version: of the instrumentation scope `podwitness`.
        stream: what the records are numbered in; the scope names it, and it may get another id while the agent runs.
        chain: the stream's, where records are chained.
    """

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
        self._shared = Shared(_encoding(LOG_TAG))
        keep = provable(keep) if chain else keep
        link = linker(chain, kinds, keep, stream, "otlp", encoder(LOG_TAG, CHAIN_HASH, str))
        self._record = {kind: _recorder(of, stream, link) for kind, of in parts(kinds, keep, self._shared).items()}
        sign_in(chain, self._record)
        self._batches = Batches("logs", _frame(version, stream), batch, stream)

    @property
    def pending(self) -> int:
        """Records waiting for the batch to be full."""
        return self._batches.pending

    def encode(self, events: Sequence[Event]) -> Iterator[Payload]:
        """Add the events to the batch, as far as the iterator is followed; gives each batch that is full."""
        if self._stream.id != self._id:  # what is pending belongs to the stream before
            yield from self.flush()
            self._id, self._batches.frame = self._stream.id, _frame(self._version, self._stream)
        self._shared.count(len(events))
        record = self._record
        yield from self._batches.pack(record[event.kind](event) for event in events)

    def flush(self) -> Iterator[Payload]:
        """The batch as it is; nothing when it is empty."""
        return self._batches.flush()


def _encoding(tag: bytes) -> Encoding:
    """Protobuf, with `tag` before each attribute: log records and spans have different ones."""
    return Encoding(attribute=lambda name, held: encoder(tag, name, held), image=_image, resource=_resource, text=utf8)


def _recorder(of: Parts, stream: Stream, link: Link | None) -> Callable[[Event], tuple[bytes, bytes]]:
    """A function from an event to its Resource's fragment and its record, for one kind; it numbers the record."""
    _, place, image, line, rows, kept, texts, uid, _ = of
    only = texts[0] if len(texts) == 1 else None
    pick = itemgetter(*texts) if len(texts) > 1 else None
    constant = _constant(of.kind)
    bodies = Heads(_body_head(utf8(body.word(of.kind))))
    heads = Heads(lambda size: b"\x12" + varint(size))
    uids = text_heads(LOG_TAG, UID)
    word = body.word(of.kind)
    # The number's attribute, with the constant before it.
    blocks = numbered(constant, encoder(LOG_TAG, SEQUENCE, int)) if of.sequence else unnumbered(constant)
    block, end = -1, b""
    begin: Sequence[bytes] = ()

    def record(event: Event) -> tuple[bytes, bytes]:
        nonlocal block, begin, end
        number = stream.next
        if number >> 7 != block:
            block = number >> 7
            begin, end = blocks(block)
        process = event.process
        fragments = process.fragments
        values = event.values
        known, known_texts = rows[tuple(map(type, values))]
        text = fragments.get(line) or line(process)
        if only is not None:
            text %= known_texts[0][values[only]]
        elif pick:
            text %= tuple(map(getitem, known_texts, pick(values)))
        try:
            name = event.uid.encode() if uid else b""
        except UnicodeEncodeError:
            name = utf8(event.uid)
        data = _join(
            (
                _times(b"\x09", event.time, b"\x59", event.observed),
                begin[number & 127],
                end,
                fragments.get(image) or image(process),
                _join(map(getitem, known, compress(values, kept) if kept else values)),
                uids[len(name)] if uid else b"",
                name,
                bodies[len(text)],
                text,
            )
        )
        where = event.resource.fragments.get(place) or place(event.resource)
        if link is not None:
            data += link(event, number, word + text.decode())
        stream.next = number + 1  # nothing fails from here on: an event that cannot be encoded takes no number
        return where, heads[len(data)] + data

    return record


def _constant(kind: Kind) -> bytes:
    severity = b"\x10" + varint(kind.severity) if kind.severity else b""
    return severity + field(b"\x62", utf8(kind.event_name))


def _body_head(word: bytes) -> Callable[[int], bytes]:
    """What stands before the rest of the body, by the length of the rest: two lengths and the first word."""

    def make(length: int) -> bytes:
        text = b"\x0a" + varint(len(word) + length) + word
        return b"\x2a" + varint(len(text) + length) + text

    return make


def _image(process: Process, attributes: Sequence[bytes]) -> bytes:
    ids = ((b"\x4a", process.trace_id), (b"\x52", process.span_id))
    return _join((*[field(tag, value) for tag, value in ids if value], *attributes))


def _resource(attributes: Attributes) -> bytes:
    """`resource` and `schema_url` of ResourceLogs, or of ResourceSpans: they have the same numbers."""
    resource = field(b"\x0a", _attributes(RESOURCE_TAG, attributes)) if attributes else b""
    return resource + field(b"\x1a", SCHEMA_URL.encode())


def _attributes(tag: bytes, attributes: Attributes) -> bytes:
    return _join([attribute(tag, name, value) for name, value in attributes.items()])


def _frame(version: str, stream: Stream | None = None) -> Frame:
    """ResourceLogs and ScopeLogs around the records; ResourceSpans and ScopeSpans have the same numbers.

    The scope of log records names their stream.
    """
    name = field(b"\x0a", SCOPE.encode()) + (field(b"\x12", utf8(version)) if version else b"")
    names: Attributes = {SINK: stream.sink, STREAM: stream.id} if stream else {}
    scope = field(b"\x0a", name + _attributes(SCOPE_TAG, names)) + field(b"\x1a", SCHEMA_URL.encode())

    def seal(groups: Groups) -> bytes:
        pieces: list[bytes] = []
        for resource, records in groups.items():
            inner = len(scope) + sum(map(len, records))
            head = b"\x12" + varint(inner)
            pieces += (b"\x0a", varint(len(resource) + len(head) + inner), resource, head, scope, *records)
        return _join(pieces)

    return Frame(envelope=0, group=len(scope) + 2 * _HEAD, record=0, seal=seal)


_HEAD = 6
"""Bytes of a field's tag and length, at most."""


class SpansEncoder:
    """Spans in, batches of them out; arguments as for `LogsEncoder`, with one `keep` for the spans."""

    def __init__(self, keep: Keep, batch: Batch, version: str) -> None:
        self._keep = keep
        self._shared = Shared(_encoding(SPAN_TAG))
        self._place = self._shared.place(keep)
        self._batches = Batches("traces", _frame(version), batch)

    @property
    def pending(self) -> int:
        """Spans waiting for the batch to be full."""
        return self._batches.pending

    def encode(self, spans: Sequence[Span]) -> Iterator[Payload]:
        """Add the spans to the batch, as far as the iterator is followed; gives each batch that is full."""
        self._shared.count(len(spans))
        return self._batches.pack((self._resource(span), self._span(span)) for span in spans)

    def flush(self) -> Iterator[Payload]:
        """The batch as it is; nothing when it is empty."""
        return self._batches.flush()

    def _resource(self, span: Span) -> bytes:
        return span.resource.fragments.get(self._place) or self._place(span.resource)

    def _span(self, span: Span) -> bytes:
        process, attribute = span.process, self._shared.attribute
        attributes = span_attributes(span, self._keep).items()
        return field(
            b"\x12",
            _join(
                (
                    field(b"\x0a", process.trace_id),
                    field(b"\x12", process.span_id),
                    field(b"\x22", span.parent_span_id),
                    _SPAN_FLAGS,
                    field(b"\x2a", utf8(span.name)),
                    b"\x30" + varint(INTERNAL),
                    _times(b"\x39", span.start, b"\x41", span.end),
                    *[attribute(name, type(value))[value] for name, value in attributes],
                    *(_link(trace_id, span_id) for trace_id, span_id in process.links),
                    field(b"\x7a", b"\x18" + varint(FAILED)) if span.failed else b"",
                )
            ),
        )


_SPAN_FLAGS = Struct("<2sI").pack(b"\x85\x01", SPAN_FLAGS)
_LINK_FLAGS = Struct("<cI").pack(b"\x35", LINK_FLAGS)


def _link(trace_id: bytes, span_id: bytes) -> bytes:
    return field(b"\x6a", field(b"\x0a", trace_id) + field(b"\x12", span_id) + _LINK_FLAGS)
