"""What receivers make of our payloads: the lines that stand in their files, by other libraries than ours."""

import base64
import json
import math
from random import Random
from typing import Any

import msgpack
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from exporter.model import Payload

IDS = {"traceId", "spanId"}


def collector_line(data: LogsData, chance: Random) -> bytes:
    """The line of the Collector's file exporter, in one of the many ways that JSON allows."""
    return json.dumps(_reworded(MessageToDict(data, use_integers_for_enums=True), chance)).encode()


def _reworded(node: Any, chance: Random) -> Any:
    """Ids in hex; other orders; 64-bit integers as numbers or text, whole doubles with or without a point."""
    if isinstance(node, list):
        items = [_reworded(item, chance) for item in node]
        if items and isinstance(items[0], dict) and "key" in items[0]:
            chance.shuffle(items)
        return items
    if not isinstance(node, dict):
        return node
    pairs = [(name, _member(name, value, chance)) for name, value in node.items()]
    chance.shuffle(pairs)
    return dict(pairs)


def _member(name: str, value: Any, chance: Random) -> Any:
    if name in IDS:
        return base64.b64decode(value).hex()
    if name == "intValue" or name.endswith("UnixNano"):
        return int(value) if chance.random() < 0.5 else value
    if name == "doubleValue" and isinstance(value, float) and value.is_integer():
        return int(value) if chance.random() < 0.5 else value
    return _reworded(value, chance)


def fluent_lines(payload: Payload, chance: Random) -> list[bytes]:
    """A line for each record, as Fluentd, Fluent Bit and Vector write it to a file, with keys of theirs."""
    unpacker = msgpack.Unpacker(strict_map_key=True)
    unpacker.feed(payload.data)
    lines = []
    for _time, record in unpacker:
        pairs = [(name, _jsonable(value)) for name, value in record.items()]
        pairs += [("date", 1.5), ("tag", payload.tag), ("host", "10.0.0.1"), ("source_type", "fluent")]
        chance.shuffle(pairs)
        before = b"2026-11-20T09:15:02+00:00\tpodwitness\t" if chance.random() < 0.3 else b""
        lines.append(before + json.dumps(dict(pairs), ensure_ascii=chance.random() < 0.5).encode() + b"\n")
    return lines


def _jsonable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return [_jsonable(item) for item in value] if isinstance(value, list) else value
