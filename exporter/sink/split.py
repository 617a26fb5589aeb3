"""Halves of a payload, for receivers that cannot take it whole.

Called by the outbox's `Head` when a receiver says "too large" or never acknowledges: rarely, so plain beats fast. A
stage knows no other: the bytes are taken apart by the formats' own libraries, not by the encoders that made them. What
stands around the records (Resource, scope, schema URL) goes with each half that has records of theirs.
"""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Literal

import msgspec
from isal import igzip

from exporter.model import SEQUENCE, Payload, Ranges, Signal, joined
from exporter.sink.gzipped import plain

Wire = Literal["otlp", "otlp_json", "fluent", "text"]
"""How a sink's payloads are written: OTLP protobuf, lines of OTLP JSON, Fluent's packed entries, lines of text."""

Half = tuple[bytes, int, Ranges]
"""Its data, how many records, and their numbers."""


def split(payload: Payload, wire: Wire) -> tuple[Payload, Payload]:
    """The first and the second half of the records, in the order they stand in; the second has the odd one.

    Compressed gives compressed. The halves' sequences are read from their records; none where not every record says its
    own.

    Raises:
        ValueError: fewer than two records, or more than the payload says.
        Exception: the formats' own errors, for data that is not what `wire` says.
    """
    first, second = _SPLITTERS[wire](plain(payload), payload.signal)
    if not first[1] or first[1] + second[1] != payload.records:
        raise ValueError(f"{first[1]} and {second[1]} records are no halves of {payload.records}")
    return _half(payload, *first), _half(payload, *second)


def _half(whole: Payload, data: bytes, records: int, sequences: Ranges) -> Payload:
    size = len(data)
    if whole.gzip:
        data = igzip.compress(data, 1)
    numbers = sequences if whole.sequences else ()
    return Payload(whole.signal, data, records, whole.tag, numbers, whole.gzip, size, whole.stream)


def _numbers(found: list[int | None]) -> Ranges:
    """As ranges; none where a record did not say its own."""
    known = [(number, number) for number in found if number is not None]
    return joined(tuple(known)) if len(known) == len(found) else ()


# OTLP in protobuf. Exports and the Data messages have the same fields.

_NAMES = {"logs": ("resource_logs", "scope_logs", "log_records"), "traces": ("resource_spans", "scope_spans", "spans")}


def _protobuf(data: bytes, signal: Signal) -> tuple[Half, Half]:
    from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    parse: Callable[[bytes], Any] = (LogsData if signal == "logs" else TracesData).FromString
    one, other = parse(data), parse(data)
    records = sum(1 for _ in _records(one, signal))
    _prune(one, signal, 0, records // 2)
    _prune(other, signal, records // 2, records)
    return _message(one, signal), _message(other, signal)


def _prune(message: Any, signal: Signal, start: int, stop: int) -> None:
    """Leave the records from `start` to before `stop`, and only groups that have some."""
    groups, scopes, records = _NAMES[signal]
    before = 0
    for group in getattr(message, groups):
        for scope in getattr(group, scopes):
            held = getattr(scope, records)
            count = len(held)
            del held[max(stop - before, 0) :]
            del held[: max(start - before, 0)]
            before += count
        _leave(getattr(group, scopes), records)
    _leave(getattr(message, groups), scopes)


def _leave(several: Any, member: str) -> None:
    """Of a repeated field those that hold something in `member`."""
    for index in reversed(range(len(several))):
        if not getattr(several[index], member):
            del several[index]


def _records(message: Any, signal: Signal) -> Iterator[Any]:
    groups, scopes, records = _NAMES[signal]
    for group in getattr(message, groups):
        for scope in getattr(group, scopes):
            yield from getattr(scope, records)


def _message(message: Any, signal: Signal) -> Half:
    found = [
        next((pair.value.int_value for pair in record.attributes if pair.key == SEQUENCE), None)
        for record in _records(message, signal)
    ]
    return message.SerializeToString(), len(found), _numbers(found)


# OTLP in JSON: one line. Records, and all that is not looked into, are copied as they stand.


class _Value(msgspec.Struct, rename="camel"):
    int_value: str | int | None = None


class _KeyValue(msgspec.Struct):
    key: str = ""
    value: _Value = msgspec.field(default_factory=_Value)


class _Record(msgspec.Struct):
    attributes: list[_KeyValue] = msgspec.field(default_factory=list)


_Object = dict[str, msgspec.Raw]
_JSON_NAMES = {"logs": ("resourceLogs", "scopeLogs", "logRecords"), "traces": ("resourceSpans", "scopeSpans", "spans")}
_of_record = msgspec.json.Decoder(_Record).decode
_encode = msgspec.json.encode


def _json(data: bytes, signal: Signal) -> tuple[Half, Half]:
    groups, scopes, records = _JSON_NAMES[signal]
    line = msgspec.json.decode(data, type=_Object)
    rows = [
        (group, scope, record)
        for group in _listed(line, groups)
        for scope in _listed(group, scopes)
        for record in msgspec.json.decode(scope.get(records, b"[]"), type=list[msgspec.Raw])
    ]
    middle = len(rows) // 2
    return _line(line, rows[:middle], signal), _line(line, rows[middle:], signal)


def _listed(holder: _Object, member: str) -> list[_Object]:
    return msgspec.json.decode(holder.get(member, b"[]"), type=list[_Object])


def _line(line: _Object, rows: list[tuple[_Object, _Object, msgspec.Raw]], signal: Signal) -> Half:
    """A line with these records, each in the group and scope that it came in."""
    groups, scopes, records = _JSON_NAMES[signal]
    tree: dict[int, tuple[_Object, dict[int, tuple[_Object, list[msgspec.Raw]]]]] = {}
    for group, scope, record in rows:
        _, held = tree.setdefault(id(group), (group, {}))
        held.setdefault(id(scope), (scope, []))[1].append(record)
    made = [
        group | {scopes: [scope | {records: members} for scope, members in held.values()]}
        for group, held in tree.values()
    ]
    found = [_json_number(record) for _, _, record in rows]
    return _encode(line | {groups: made}) + b"\n", len(found), _numbers(found)


def _json_number(record: msgspec.Raw) -> int | None:
    values = (pair.value.int_value for pair in _of_record(record).attributes if pair.key == SEQUENCE)
    return next((int(value) for value in values if value is not None), None)


# Plain sequences.


def _fluent(data: bytes, _signal: Signal) -> tuple[Half, Half]:
    """Entries are found by their positions and copied; a record's keys are bytes here: not all text is UTF-8."""
    import msgpack

    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=max(len(data), 1))
    unpacker.feed(data)
    ends, found = [0], list[int | None]()
    for entry in unpacker:
        ends.append(unpacker.tell())
        number = entry[1].get(SEQUENCE.encode())
        found.append(number if isinstance(number, int) else None)
    return _sliced(data, ends, found)


def _text(data: bytes, _signal: Signal) -> tuple[Half, Half]:
    """Lines; they say no numbers."""
    ends = [0, *(found.end() for found in re.finditer(rb"\n", data))]
    return _sliced(data, ends, [None] * (len(ends) - 1))


def _sliced(data: bytes, ends: list[int], found: list[int | None]) -> tuple[Half, Half]:
    """Both halves of records that end at `ends`, the first of which is where they begin."""
    if ends[-1] != len(data):
        raise ValueError(f"a record is torn at byte {ends[-1]} of {len(data)}")
    middle = len(found) // 2
    one, other = (
        (data[ends[start] : ends[stop]], stop - start, _numbers(found[start:stop]))
        for start, stop in pairwise((0, middle, len(found)))
    )
    return one, other


_SPLITTERS: dict[Wire, Callable[[bytes, Signal], tuple[Half, Half]]] = {
    "otlp": _protobuf,
    "otlp_json": _json,
    "fluent": _fluent,
    "text": _text,
}
