r"""Protobuf's wire format, as far as OTLP needs it: varints, length-delimited fields, text.

Pure functions on integers and bytes, used by the OTLP encoder; tags are the finished tag bytes
(`b"\x0a"` is field 1, length-delimited).
"""

from collections.abc import Callable

MASK64 = (1 << 64) - 1
INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


VARINTS = tuple(map(_varint, range(1 << 14)))
"""Every varint of one and two bytes: the length of nearly every record is in here."""

LOW = tuple(bytes((n & 0x7F | 0x80, n >> 7 | 0x80)) for n in range(1 << 14))
"""14 bits that are not the last of their varint."""


def varint(number: int) -> bytes:
    """Unsigned `number` as a varint."""
    if number < 1 << 14:
        return VARINTS[number]
    return LOW[number & 0x3FFF] + varint(number >> 14)


def int64(number: int) -> bytes:
    """Signed `number` as a varint: two's complement, ten bytes when negative."""
    return varint(number & MASK64)


def utf8(text: str) -> bytes:
    r"""Text as protobuf wants it. A lone surrogate, which would lose the whole batch, becomes `\udc80`."""
    return text.encode("utf-8", "backslashreplace")


def field(tag: bytes, data: bytes) -> bytes:
    """A length-delimited field: a message, text or bytes."""
    return b"%b%b%b" % (tag, varint(len(data)), data)


class Heads(dict[int, bytes]):
    """What stands before text of `n` bytes, by n: made once for each length that occurs.

    Lengths of nested messages depend on the text's length alone, so the key of an attribute and all lengths
    around its value come out of one look-up.
    """

    __slots__ = ("_make",)

    KEPT = 4096

    def __init__(self, make: Callable[[int], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, length: int) -> bytes:
        head = self._make(length)
        if length < self.KEPT:
            self[length] = head
        return head
