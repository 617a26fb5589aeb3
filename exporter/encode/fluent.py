"""Fluent's packed entries: Events become chunks of `[EventTime, record]`, one chunk open for each tag.

Called by the channel of each Fluent sink. A record is flat, under OpenTelemetry's names, with the display
line as `message`; a pod comes also as the `kubernetes` map that Fluent Bit's and Fluentd's filters write, so
that their users' configurations go on working. Resources and process images are serialised once and spliced,
as in OTLP.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress
from operator import getitem, itemgetter
from struct import Struct
from typing import Any

import msgspec

from exporter.config import Batch
from exporter.encode import body
from exporter.encode.canonical import SINK, STREAM
from exporter.encode.chain import CHAIN_HASH, Chain, Link, linker, provable, sign_in
from exporter.encode.chunk import Chunk
from exporter.encode.fragments import Encoding
from exporter.encode.parts import Parts, Shared, parts
from exporter.encode.wire import Heads, utf8
from exporter.model import SEQUENCE, UID, Attributes, Event, Keep, Kind, Payload, Process, Stream
from exporter.probes.resource import ANNOTATION, LABEL

KUBERNETES = {
    "k8s.namespace.name": "namespace_name",
    "k8s.pod.name": "pod_name",
    "k8s.pod.uid": "pod_id",
    "k8s.container.name": "container_name",
    "container.id": "docker_id",
    "k8s.node.name": "host",
}
"""From our names to those of Fluent Bit's `kubernetes` filter."""

_join = b"".join
_encode = msgspec.msgpack.Encoder().encode
# Array of two, fixext8 of type 0, seconds, nanoseconds; then the record as a map with a 16-bit count.
_head = Struct(">3sIIcH").pack
_unsigned = Struct(">cQ").pack
_SECOND = 10**9


class FluentEncoder:
    """Events in, chunks of entries out.

    Args:
        kinds: the event types that come.
        keep: for each kind's name, whether an attribute is sent; asked once, not per event.
        batch: when a chunk is full.
        tag: of the records: this, a dot and the event type.
        stream: what the records are numbered in; each names it.
        chain: the stream's, where records are chained; then they also have their time as a key, in nanoseconds.
    """

    def __init__(
        self,
        kinds: Sequence[Kind],
        keep: Mapping[str, Keep],
        batch: Batch,
        tag: str,
        stream: Stream,
        chain: Chain | None = None,
    ) -> None:
        self._stream, self._chain = stream, chain
        self._shared = Shared(Encoding(attribute=_encoder, image=_image, resource=_resource, text=utf8))
        keep = provable(keep) if chain else keep
        self._link = linker(chain, kinds, keep, stream, "flat", _encoder(CHAIN_HASH, str))
        self._parts = parts(kinds, keep, self._shared)
        self._chunks = {kind: Chunk(batch, stream, f"{tag}.{kind.name}") for kind in kinds}
        self._begin()

    @property
    def pending(self) -> int:
        """Records waiting for their chunk to be full."""
        return sum(chunk.pending for chunk in self._chunks.values())

    def encode(self, events: Sequence[Event]) -> Iterator[Payload]:
        """Add the events to their chunks, as far as the iterator is followed; gives each that is full."""
        if self._stream.id != self._id:  # what is pending belongs to the stream before
            yield from self.flush()
            self._begin()
        self._shared.count(len(events))
        record, chunks, stream = self._record, self._chunks, self._stream
        for event in events:
            kind = event.kind
            entry = record[kind](event)
            if (full := chunks[kind].add(entry, stream.next - 1)) is not None:
                yield full

    def flush(self) -> Iterator[Payload]:
        """The chunks as they are; none that is empty."""
        for chunk in self._chunks.values():
            if (payload := chunk.take()) is not None:
                yield payload

    def _begin(self) -> None:
        """A stream begins: each record says its id."""
        stream, self._id = self._stream, self._stream.id
        self._record = {kind: _recorder(of, stream, self._link) for kind, of in self._parts.items()}
        sign_in(self._chain, self._record)


def _recorder(of: Parts, stream: Stream, link: Link | None) -> Callable[[Event], bytes]:
    """A function from an event to its entry, for one kind; it numbers the record."""
    _, place, image, line, rows, kept, texts, uid, sequence = of
    constant, constants = _constant(of.kind, stream)
    constants += uid + sequence + (2 if link else 0)
    word = body.word(of.kind)
    bodies = Heads(_message_head(utf8(body.word(of.kind))))
    only = texts[0] if len(texts) == 1 else None
    pick = itemgetter(*texts) if len(texts) > 1 else None
    uid_key, number_key, time_key = _pack(UID), _pack(SEQUENCE), _pack("time_unix_nano")
    numbers = Struct(f">cQ{len(number_key)}scQ").pack

    def record(event: Event) -> bytes:
        number = stream.next
        process = event.process
        fragments = process.fragments
        values = event.values
        known, known_texts = rows[tuple(map(type, values))]
        text = fragments.get(line) or line(process)
        if only is not None:
            text %= known_texts[0][values[only]]
        elif pick:
            text %= tuple(map(getitem, known_texts, pick(values)))
        where = event.resource.fragments.get(place) or place(event.resource)
        who = fragments.get(image) or image(process)
        sent = tuple(compress(values, kept)) if kept else values
        # A fragment begins with the number of its pairs, in two bytes.
        count = constants + len(sent) - sent.count(None)
        count += (where[0] + who[0] << 8) + where[1] + who[1]
        seconds, rest = divmod(event.time, _SECOND)
        data = _join(
            (
                _head(b"\x92\xd7\x00", seconds, rest, b"\xde", count),
                where[2:],
                who[2:],
                constant,
                numbers(b"\xcf", event.observed, number_key, b"\xcf", number)
                if sequence
                else _unsigned(b"\xcf", event.observed),
                _join(map(getitem, known, sent)),
                uid_key + _encode(event.uid) if uid else b"",
                bodies[len(text)],
                text,
            )
        )
        if link is not None:
            data += time_key + _unsigned(b"\xcf", event.time) + link(event, number, word + text.decode())
        stream.next = number + 1  # nothing fails from here on: an event that cannot be encoded takes no number
        return data

    return record


def _constant(kind: Kind, stream: Stream) -> tuple[bytes, int]:
    """What all records of a kind say, up to the observed time's value; and the number of pairs."""
    said = {"event_name": kind.event_name, "severity_number": kind.severity, SINK: stream.sink, STREAM: stream.id}
    return _pairs(said) + _pack("observed_time_unix_nano"), len(said) + 2


def _message_head(word: bytes) -> Callable[[int], bytes]:
    """What stands before the rest of the message, by the length of the rest."""
    return lambda length: _pack("message") + _text_head(len(word) + length) + word


def _text_head(length: int) -> bytes:
    """MessagePack's head of a string of so many bytes."""
    if length < 1 << 5:
        return bytes((0xA0 | length,))
    if length < 1 << 8:
        return Struct(">BB").pack(0xD9, length)
    if length < 1 << 16:
        return Struct(">BH").pack(0xDA, length)
    return Struct(">BI").pack(0xDB, length)


def _image(process: Process, attributes: Sequence[bytes]) -> bytes:
    ids = {"trace_id": process.trace_id.hex(), "span_id": process.span_id.hex()}
    known = {name: value for name, value in ids.items() if value}
    return _join(((len(known) + len(attributes)).to_bytes(2, "big"), _pairs(known), *attributes))


def _resource(attributes: Attributes) -> bytes:
    pod = "k8s.pod.name" in attributes or "k8s.pod.uid" in attributes
    return _counted(attributes | {"kubernetes": _kubernetes(attributes)} if pod else attributes)


def _kubernetes(attributes: Attributes) -> dict[str, object]:
    """The pod as Fluent Bit's `kubernetes` filter would write it."""
    found: dict[str, object] = {KUBERNETES[name]: attributes[name] for name in KUBERNETES if name in attributes}
    if image := attributes.get("container.image.name"):
        tags = attributes.get("container.image.tags")
        found["container_image"] = f"{image}:{tags[0]}" if isinstance(tags, tuple) and tags else image
    for member, prefix in (("labels", LABEL), ("annotations", ANNOTATION)):
        if keyed := {n.removeprefix(prefix): v for n, v in attributes.items() if n.startswith(prefix)}:
            found[member] = keyed
    return found


def _counted(said: Mapping[str, object]) -> bytes:
    return len(said).to_bytes(2, "big") + _pairs(said)


def _pairs(said: Mapping[str, object]) -> bytes:
    return _join([_pack(part) for pair in said.items() for part in pair])


def _encoder(name: str, held: type) -> Callable[[Any], bytes]:
    """A function from a value to the pair of its name and it; what it holds is MessagePack's own business."""
    key = _pack(name)
    return lambda value: key + _pack(value)


def _pack(value: object) -> bytes:
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_clean(value))


def _clean(value: object) -> object:
    r"""The same without a lone surrogate, which would lose the whole chunk: `\udc80` is spelled out."""
    if isinstance(value, str):
        return utf8(value).decode()
    if isinstance(value, Mapping):
        return {_clean(key): _clean(held) for key, held in value.items()}
    return tuple(map(_clean, value)) if isinstance(value, Sequence) else value
