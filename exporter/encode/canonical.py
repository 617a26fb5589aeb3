r"""The canonical form of a log record: the same bytes whoever re-encoded it on the way. This is what is hashed.

It is one JSON object (UTF-8, no blanks, only what JSON must escape is escaped), the members of each object sorted by
the bytes of their text, `"name":value`. Two forms, by what arrives:

* `otlp`: members `body`, `event_name`, `observed_time_unix_nano`, `podwitness.sink`, `podwitness.stream.id` (both from
  the scope), `record`, `resource` (their attributes, so that equal names do not collide), `severity_number`, `span_id`,
  `time_unix_nano`, `trace_id` (hex, "" where there is none). Where a reader finds `severity_text`, `flags` or
  `dropped_attributes_count` set, which we never send, they are members too.
* `flat`, of Fluent: all in one object, as the record is: `FLAT_MEMBERS` as far as they are there, and every key with a
  dot in it, which all attributes have. What receivers add has none (`date`, `tag`, `host`); nor has the `kubernetes`
  map, which says again what the attributes say and is not covered.

Never in it: `podwitness.chain.hash`. Integers are numbers, in `otlp` as text where they are beyond int64, as they are
sent. Doubles are the shortest text that reads back the same, not finite ones the text `NaN`, `Infinity`, `-Infinity`;
in `flat`, whose receivers do not tell 1.0 from 1, whole ones are integers and not finite ones null. A name that is
there twice is twice in the object: nobody can hide one value behind another.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import compress
from math import isfinite
from operator import getitem
from typing import Any, Literal

import msgspec

from exporter.encode.fragments import Encoding
from exporter.encode.parts import Parts, Shared, parts
from exporter.encode.wire import INT64_MAX, INT64_MIN, utf8
from exporter.model import SEQUENCE, UID, Attributes, Event, Keep, Kind, Process, Stream

Form = Literal["otlp", "flat"]

SINK, STREAM = "podwitness.sink", "podwitness.stream.id"
FLAT_MEMBERS = frozenset(
    (
        "event_name",
        "severity_number",
        "time_unix_nano",
        "observed_time_unix_nano",
        "trace_id",
        "span_id",
        "message",
    )
)
"""The keys of a flat record that are no attributes."""

NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}

UINT64_MAX = (1 << 64) - 1

_json = msgspec.json.Encoder().encode
_join = b"".join


def member(name: str, value: object, form: Form) -> bytes:
    """One member: `"name":value`. Takes anything that JSON can hold."""
    return _key(name) + _json(_VALUE[form](value))


@lru_cache(maxsize=4096)
def _key(name: str) -> bytes:
    return _json(_text(name)) + b":"


def sealed(members: Iterable[bytes]) -> bytes:
    """The object of these members."""
    return b"{%b}" % b",".join(sorted(members))


def is_flat(name: str) -> bool:
    """Whether the key of a flat record is in its canonical form (the hash is not asked for)."""
    return "." in name or name in FLAT_MEMBERS


def _text(text: str) -> str:
    return text if text.isascii() else utf8(text).decode()


def _otlp_value(value: object) -> object:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if INT64_MIN <= value <= INT64_MAX else str(value)
    if isinstance(value, float):
        return value + 0.0 if isfinite(value) else NOT_FINITE[str(value)]  # -0.0: some write it as 0
    return _nested(value, _otlp_value)


def _flat_value(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if INT64_MIN <= value <= UINT64_MAX else str(value)
    if isinstance(value, float):
        if not isfinite(value):
            return None
        return _flat_value(int(value)) if value.is_integer() else value
    return _nested(value, _flat_value) if isinstance(value, Mapping | list | tuple) else _otlp_value(value)


def _nested(value: object, plain: Callable[[object], object]) -> object:
    if isinstance(value, Mapping):
        return {_text(str(name)): plain(held) for name, held in sorted(value.items())}
    return list(map(plain, value)) if isinstance(value, Sequence) else str(value)


_VALUE: Mapping[Form, Callable[[object], object]] = {"otlp": _otlp_value, "flat": _flat_value}


class Canonical:
    """The canonical form of what an encoder sends, from the same parts: only a record's own members are made anew.

    Members stand on lines of their own until all are there and can be sorted: JSON has no bare line break. Those that
    are kept are sorted already, which makes that quick.
    """

    def __init__(self, kinds: Sequence[Kind], keep: Mapping[str, Keep], stream: Stream, form: Form) -> None:
        self._shared = Shared(_ENCODING[form])
        self._parts = parts(kinds, keep, self._shared)
        self._stream = stream
        self._form: Form = form
        self._id = stream.id
        self._constants: dict[Kind, bytes] = {}

    def __call__(self, event: Event, number: int, line: str) -> bytes:
        """For the event that is `number` in the stream and has `line` for its body."""
        self._shared.count(1)
        if self._id != self._stream.id:
            self._constants.clear()
            self._id = self._stream.id
        constant = self._constants.get(event.kind) or self._constant(event.kind)
        own = self._own(self._parts[event.kind], event, number)
        resource = event.resource
        place = self._parts[event.kind].place
        where = resource.fragments.get(place) or place(resource)
        return (self._otlp if self._form == "otlp" else self._flat)(event, line, constant, own, where)

    def _own(self, of: Parts, event: Event, number: int) -> bytes:
        """The record's attributes, a line each."""
        known, _ = of.rows[tuple(map(type, event.values))]
        process = event.process
        return _join(
            (
                process.fragments.get(of.image) or of.image(process),
                *map(getitem, known, compress(event.values, of.kept) if of.kept else event.values),
                _UID % _json(_text(event.uid)) if of.uid else b"",
                _SEQUENCE % number if of.sequence else b"",
            )
        )

    def _otlp(self, event: Event, line: str, constant: bytes, own: bytes, where: bytes) -> bytes:
        process = event.process
        return constant % (
            _json(_text(line)),
            event.observed,
            sealed(own.splitlines()),
            where,
            process.span_id.hex().encode(),
            event.time,
            process.trace_id.hex().encode(),
        )

    def _flat(self, event: Event, line: str, constant: bytes, own: bytes, where: bytes) -> bytes:
        said = constant % (_json(_text(line)), event.observed, event.time)
        return sealed((said + own + where).splitlines())

    def _constant(self, kind: Kind) -> bytes:
        """The members that are no attributes, sorted in `otlp`: all records of a kind have most of them in common."""
        template = _OTLP if self._form == "otlp" else _FLAT
        fixed = (kind.event_name, self._stream.sink, self._stream.id)
        name, sink, stream = (_json(_text(text)).replace(b"%", b"%%") for text in fixed)
        made = template % {b"name": name, b"sink": sink, b"stream": stream, b"severity": b"%d" % kind.severity}
        self._constants[kind] = made
        return made


_OTLP = (
    b'{"body":%%b,"event_name":%(name)b,"observed_time_unix_nano":%%d,"podwitness.sink":%(sink)b,'
    b'"podwitness.stream.id":%(stream)b,"record":%%b,"resource":%%b,"severity_number":%(severity)b,"span_id":"%%b",'
    b'"time_unix_nano":%%d,"trace_id":"%%b"}'
)
_FLAT = (
    b'"message":%%b\n"observed_time_unix_nano":%%d\n"time_unix_nano":%%d\n"event_name":%(name)b\n'
    b'"podwitness.sink":%(sink)b\n"podwitness.stream.id":%(stream)b\n"severity_number":%(severity)b\n'
)


_UID, _SEQUENCE = b'"%b":%%b\n' % UID.encode(), b'"%b":%%d\n' % SEQUENCE.encode()


def _line(name: str, value: object, form: Form) -> bytes:
    return member(name, value, form) + b"\n"


def _encoder(form: Form) -> Callable[[str, type], Callable[[Any], bytes]]:
    """Makes the encoder of an attribute: a line for a value."""

    def attribute(name: str, _held: type) -> Callable[[Any], bytes]:
        if form == "flat" and not is_flat(name):
            return lambda _value: b""
        return lambda value: _line(name, value, form)

    return attribute


def _flat_image(process: Process, attributes: Sequence[bytes]) -> bytes:
    ids = {"trace_id": process.trace_id.hex(), "span_id": process.span_id.hex()}
    return _join(sorted((*[_line(name, value, "flat") for name, value in ids.items() if value], *attributes)))


def _flat_resource(attributes: Attributes) -> bytes:
    return _join(sorted(_line(name, value, "flat") for name, value in attributes.items() if is_flat(name)))


def _otlp_resource(attributes: Attributes) -> bytes:
    return sealed(member(name, value, "otlp") for name, value in attributes.items())


_ENCODING: Mapping[Form, Encoding] = {
    "otlp": Encoding(_encoder("otlp"), lambda _process, attributes: _join(sorted(attributes)), _otlp_resource, utf8),
    "flat": Encoding(_encoder("flat"), _flat_image, _flat_resource, utf8),
}
