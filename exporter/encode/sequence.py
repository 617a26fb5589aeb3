"""The attribute with a record's number in its stream, 128 at a time: but for seven bits their numbers are equal.

A varint's first byte holds the lowest seven bits, and the lengths before it depend on how many bytes follow. So an
attribute is one of 128 beginnings, which hardly ever change, and an end that the whole block shares. Used by OTLP in
protobuf, where encoding each number by itself costs a tenth of all that is done for a record.
"""

from collections.abc import Callable, Sequence

from exporter.encode.wire import varint

Blocks = Callable[[int], tuple[Sequence[bytes], bytes]]
"""From a number without its lowest seven bits to the 128 beginnings, by those bits, and their end."""


def numbered(before: bytes, encode: Callable[[int], bytes]) -> Blocks:
    """The blocks of the attribute that `encode` makes of a number; `before` stands before each."""
    beginnings: dict[int, Sequence[bytes]] = {}  # by the length of the end

    def block(high: int) -> tuple[Sequence[bytes], bytes]:
        end = varint(high) if high else b""
        if len(end) not in beginnings:
            whole = [before + encode(high << 7 | low) for low in range(128)]
            beginnings[len(end)] = tuple(attribute[: len(attribute) - len(end)] for attribute in whole)
        return beginnings[len(end)], end

    return block


def unnumbered(before: bytes) -> Blocks:
    """Where numbers are not sent, only what stands before them."""
    block = (before,) * 128, b""
    return lambda _high: block
