"""Read back what the encoders sent: from one line of a shipped file to what each record in it says.

`podwitness verify` calls `told_of_line`. A line is OTLP JSON (the file sink, or the Collector's file exporter, which
writes what any of our sinks sent it) or one flat record of a Fluent receiver. Whoever had the file may have changed
it: a member that is there twice is refused, since readers differ in which one they take.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from exporter.encode.canonical import SINK, STREAM, is_flat, member, sealed
from exporter.encode.chain import CHAIN_HASH
from exporter.model import SEQUENCE, UID

NODE = ("k8s.node.name", "host.name", "host.id")
"""What names the node: the first that is there."""

_OURS = "podwitness."
_BY_THE_COLLECTOR = "fluent.tag"  # what its Fluent receiver adds


class Told(NamedTuple):
    """One record of ours, as it arrived.

    `node` is the Resource's k8s.node.name, else host.name, else host.id ("" where there is none): a stream's records
    can differ in it, so group by `stream`. `sink` and `stream` name the stream ("" where the record does not say).
    `sequence` is None and `uid` "" where field filters left them out. `event_name` as on the wire
    (`podwitness.process.exec`), `time` in Unix ns (of a flat record without a chain, when it was observed).
    `attributes` are the record's, over those of its Resource. `canonical` is what was hashed (`canonical.py`), `chain`
    the hash told by the record, 64 hex digits ("": none).
    """

    node: str
    sink: str
    stream: str
    sequence: int | None
    uid: str
    event_name: str
    time: int
    attributes: dict[str, Any]
    canonical: bytes
    chain: str


class _KeyValue(msgspec.Struct):
    key: str = ""
    value: dict[str, Any] = {}


class _Holder(msgspec.Struct):
    """Resource or InstrumentationScope."""

    attributes: list[_KeyValue] = []


class _Record(msgspec.Struct, rename="camel"):
    time_unix_nano: int = 0
    observed_time_unix_nano: int = 0
    severity_number: int = 0
    severity_text: str = ""
    body: dict[str, Any] = {}
    attributes: list[_KeyValue] = []
    dropped_attributes_count: int = 0
    flags: int = 0
    trace_id: str = ""
    span_id: str = ""
    event_name: str = ""


class _ScopeLogs(msgspec.Struct, rename="camel"):
    scope: _Holder = msgspec.field(default_factory=_Holder)
    log_records: list[_Record] = []


class _ResourceLogs(msgspec.Struct, rename="camel"):
    resource: _Holder = msgspec.field(default_factory=_Holder)
    scope_logs: list[_ScopeLogs] = []


class _LogsData(msgspec.Struct, rename="camel"):
    resource_logs: list[_ResourceLogs] = []


def told_of_line(line: bytes) -> list[Told]:
    """The records of podwitness in one line, in the line's order (OTLP groups by Resource: not by sequence).

    Lines and records of others give nothing.

    Raises:
        ValueError: not JSON, a member twice in one object, or a member of the wrong type; the text says which.
    """
    # Fluentd's out_file writes the time and the tag before the record; JSON has no bare tab.
    text = line.rpartition(b"\t")[2].strip()
    try:
        return _told(_tree(text)) if text else []
    except RecursionError as error:
        raise ValueError("no record: nested too deeply") from error


def _told(tree: dict[str, Any]) -> list[Told]:
    if "resourceLogs" not in tree:
        return _told_of_flat(tree)
    try:
        data = msgspec.convert(tree, _LogsData, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"no OTLP: {error}") from error
    return list(_told_of_otlp(data))


def _tree(text: bytes) -> dict[str, Any]:
    try:
        tree = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg} at character {error.pos}") from error
    if not isinstance(tree, dict):
        hint = "; with Fluent Bit, `format plain` writes what can be read" if isinstance(tree, list) else ""
        raise ValueError(f"no record: a JSON {type(tree).__name__} instead of an object{hint}")
    return tree


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{name!r} is there twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"no JSON: {name}")


def _told_of_otlp(data: _LogsData) -> Iterator[Told]:
    for resource_logs in data.resource_logs:
        resource = _pairs(resource_logs.resource)
        about, sealed_resource = dict(resource), _sealed(resource)
        for scope_logs in resource_logs.scope_logs:
            scope = _unique(_pairs(scope_logs.scope))
            for record in scope_logs.log_records:
                own = _pairs(record)
                if STREAM not in scope and STREAM in dict(own):  # it came through the Collector's Fluent receiver
                    flat = dict(own) | {"message": _plain(record.body)}
                    flat.pop(_BY_THE_COLLECTOR, None)
                    yield from _told_of_flat(flat)
                elif STREAM in scope or record.event_name.startswith(_OURS):
                    canonical = _canonical_of_otlp(sealed_resource, scope, own, record)
                    yield _told_of_record(about, scope, dict(own), record, canonical)


def _told_of_record(
    resource: dict[str, Any], scope: Mapping[str, Any], own: dict[str, Any], record: _Record, canonical: bytes
) -> Told:
    attributes = resource | own
    return Told(
        node=_node(attributes),
        sink=_text(scope, SINK),
        stream=_text(scope, STREAM),
        sequence=_number(own.get(SEQUENCE)),
        uid=_text(own, UID),
        event_name=record.event_name,
        time=record.time_unix_nano,
        attributes=attributes,
        canonical=canonical,
        chain=_text(own, CHAIN_HASH),
    )


def _canonical_of_otlp(
    resource: bytes, scope: Mapping[str, Any], own: Iterable[tuple[str, Any]], record: _Record
) -> bytes:
    """The canonical form of a log record in OTLP; attributes as pairs, in any order, perhaps one twice."""
    told: dict[str, Any] = {
        "body": _plain(record.body),
        "event_name": record.event_name,
        "observed_time_unix_nano": record.observed_time_unix_nano,
        SINK: scope.get(SINK, ""),
        STREAM: scope.get(STREAM, ""),
        "severity_number": record.severity_number,
        "span_id": record.span_id.lower(),
        "time_unix_nano": record.time_unix_nano,
        "trace_id": record.trace_id.lower(),
    }
    unsent = {"severity_text", "flags", "dropped_attributes_count"}
    told |= {name: value for name in unsent if (value := getattr(record, name))}
    members = [b'"record":' + _sealed((n, v) for n, v in own if n != CHAIN_HASH), b'"resource":' + resource]
    return sealed(members + [_member(name, value) for name, value in told.items()])


def _member(name: str, value: Any) -> bytes:
    # A time is unsigned and may be beyond int64; an attribute would be text there.
    return b'"%b":%d' % (name.encode(), value) if isinstance(value, int) else member(name, value, "otlp")


def _sealed(attributes: Iterable[tuple[str, Any]]) -> bytes:
    return sealed(member(name, value, "otlp") for name, value in attributes)


def _told_of_flat(record: Mapping[str, Any]) -> list[Told]:
    """The one record, if it is ours."""
    name = record.get("event_name")
    if STREAM not in record and not (isinstance(name, str) and name.startswith(_OURS)):
        return []
    time = _number(record.get("time_unix_nano")) or _number(record.get("observed_time_unix_nano")) or 0
    told = Told(
        node=_node(record),
        sink=_text(record, SINK),
        stream=_text(record, STREAM),
        sequence=_number(record.get(SEQUENCE)),
        uid=_text(record, UID),
        event_name=_text(record, "event_name"),
        time=time,
        attributes={name: value for name, value in record.items() if "." in name},
        canonical=_canonical_of_flat(record),
        chain=_text(record, CHAIN_HASH),
    )
    return [told]


def _canonical_of_flat(record: Mapping[str, Any]) -> bytes:
    """The canonical form of a Fluent record."""
    said = (pair for pair in record.items() if is_flat(pair[0]) and pair[0] != CHAIN_HASH)
    return sealed(member(name, value, "flat") for name, value in said)


def _pairs(holder: _Holder | _Record) -> list[tuple[str, Any]]:
    return [(item.key, _plain(item.value)) for item in holder.attributes]


def _array(value: Any) -> list[Any]:
    return [_plain(item) for item in value.get("values", [])]


def _map(value: Any) -> dict[str, Any]:
    return {item["key"]: _plain(item.get("value", {})) for item in value.get("values", [])}


def _held(*types: type) -> Callable[[Any], Any]:
    """A function that gives its value if it is of one of these very types: `true` is no integer."""

    def held(value: Any) -> Any:
        if type(value) not in types:
            raise TypeError(type(value))
        return value

    return held


_PLAIN: Mapping[str, Callable[[Any], Any]] = {
    "stringValue": _held(str),
    "boolValue": _held(bool),
    "intValue": lambda value: int(_held(int, str)(value)),
    "doubleValue": lambda value: float(_held(int, float, str)(value)),  # NaN and Infinity stand there as text
    "arrayValue": _array,
    "kvlistValue": _map,
    "bytesValue": lambda value: {"bytes": value},
}


def _plain(value: Any) -> Any:
    """What an AnyValue holds."""
    if type(text := value.get("stringValue")) is str and len(value) == 1:  # most of them
        return text
    try:
        ((kind, held),) = value.items() or (("", None),)
        return _PLAIN[kind](held) if kind else None
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no OTLP: {json.dumps(value)[:100]} is no AnyValue") from error


def _node(attributes: Mapping[str, Any]) -> str:
    return next((_text(attributes, name) for name in NODE if attributes.get(name)), "")


def _text(attributes: Mapping[str, Any], name: str) -> str:
    value = attributes.get(name, "")
    return value if isinstance(value, str) else json.dumps(value)


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
