"""Attribute values in protobuf: KeyValue and AnyValue of opentelemetry/proto/common/v1/common.proto.

`attribute` is the plain form, for what is encoded once and cached. `encoder` gives a function for one
attribute holding one type, with everything but the value laid out beforehand, for what is encoded with
each event. An integer beyond int64 (the kernel's u64 inode and device numbers) becomes its decimal text,
as OpenTelemetry's "Mapping Arbitrary Data to OTLP AnyValue" wants it.
"""

from collections.abc import Callable
from struct import pack
from typing import Any

from exporter.encode.wire import INT64_MAX, INT64_MIN, LOW, VARINTS, Heads, field, int64, utf8, varint
from exporter.model import Value

RESOURCE_TAG, SCOPE_TAG, LOG_TAG, SPAN_TAG = b"\x0a", b"\x1a", b"\x32", b"\x4a"
"""`attributes` of Resource (1), InstrumentationScope (3), LogRecord (6) and Span (9)."""


def any_value(value: Value) -> bytes:
    """AnyValue's bytes. `bool` is asked for before `int`: in Python it is one."""
    if isinstance(value, str):
        return field(b"\x0a", utf8(value))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        if INT64_MIN <= value <= INT64_MAX:
            return b"\x18" + int64(value)
        return field(b"\x0a", str(value).encode())
    if isinstance(value, float):
        return pack("<cd", b"\x21", value)
    return field(b"\x2a", b"".join([field(b"\x0a", any_value(item)) for item in value]))


def attribute(tag: bytes, name: str, value: Value) -> bytes:
    """One attribute as the field `tag` of its record, span or Resource."""
    return field(tag, field(b"\x0a", utf8(name)) + field(b"\x12", any_value(value)))


def encoder(tag: bytes, name: str, held: type) -> Callable[[Any], bytes]:
    """A function from a value of type `held` to the bytes of the attribute `name`."""
    if held is str:
        return _text(tag, name)
    if held is int:
        return _integer(tag, name)
    return lambda value: attribute(tag, name, value)


def text_heads(tag: bytes, name: str) -> Heads:
    """What stands before the text of the attribute `name`, by the text's length in bytes."""
    key = field(b"\x0a", utf8(name))

    def make(length: int) -> bytes:
        value = b"\x0a" + varint(length)
        inner = b"%b\x12%b%b" % (key, varint(len(value) + length), value)
        return tag + varint(len(inner) + length) + inner

    return Heads(make)


def _text(tag: bytes, name: str) -> Callable[[str], bytes]:
    heads = text_heads(tag, name)

    def encode(value: str) -> bytes:
        data = value.encode("utf-8", "backslashreplace")
        return heads[len(data)] + data

    return encode


def _integer(tag: bytes, name: str) -> Callable[[int], bytes]:
    key = field(b"\x0a", utf8(name))
    heads = [tag + varint(len(key) + n + 3) + key + b"\x12" + varint(n + 1) + b"\x18" for n in range(11)]
    text = _text(tag, name)

    def encode(value: int) -> bytes:
        if 0 <= value < 1 << 28:  # most of them, without a call
            data = VARINTS[value] if value < 1 << 14 else LOW[value & 0x3FFF] + VARINTS[value >> 14]
        elif INT64_MIN <= value <= INT64_MAX:
            data = int64(value)
        else:
            return text(str(value))
        return heads[len(data)] + data

    return encode
