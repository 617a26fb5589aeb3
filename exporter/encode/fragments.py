"""Fragments: what is serialised once and spliced into many records.

`Image` is the process's part of a record, `Line` its part of the body, `Place` the Resource. Each keeps its
bytes with the Process or Resource they were made of, under itself as the key, so that they go when it goes.
`Rows` holds what is already encoded of the events' own values. The OTLP encoders, protobuf and JSON, build
their records of these; an `Encoding` says how the bytes look.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from exporter.encode import body
from exporter.model import Attributes, Keep, Process, Resource, Value


class Encoding(NamedTuple):
    """The bytes of one wire format.

    `attribute` gives the encoder of one attribute of a log record for values of one type, `image` the ids
    of a process image and its encoded attributes, `resource` a Resource with these attributes, `text` a piece of
    the body.
    """

    attribute: Callable[[str, type], Callable[[Any], bytes]]
    image: Callable[[Process, Sequence[bytes]], bytes]
    resource: Callable[[Attributes], bytes]
    text: Callable[[str], bytes]


class Image:
    """Ids and attributes of a process image; kinds that carry the same names share it.

    `attribute` gives what is remembered of one attribute's values of one type: most processes have the same.
    """

    def __init__(
        self, names: Sequence[str], encoding: Encoding, attribute: Callable[[str, type], "Known"], *, once: bool
    ) -> None:
        self._names = names
        self._once = once
        self._encode = encoding.image
        self._attribute = attribute

    def __call__(self, process: Process) -> bytes:
        """Make the fragment; leave it with the process where another record may want it."""
        known, attribute = process.attributes, self._attribute
        found = [(name, known[name]) for name in self._names if name in known]
        parts = [attribute(name, type(value))[value] for name, value in found if value is not None]
        data = self._encode(process, parts)
        if not self._once:
            process.fragments[self] = data
        return data


class Line:
    """The body after its first word, as a template for the event's own values."""

    def __init__(
        self, pairs: Sequence[tuple[str, str]], own: frozenset[str], encoding: Encoding, *, once: bool
    ) -> None:
        self._pairs = pairs
        self._once = once
        self._own = own
        self._text = encoding.text

    def __call__(self, process: Process) -> bytes:
        """Make the fragment; leave it with the process where another record may want it."""
        data = body.template(self._pairs, process.attributes, self._own, self._text)
        data = data if self._own else data % ()
        if not self._once:
            process.fragments[self] = data
        return data


class Place:
    """A Resource with the attributes that `keep` lets through."""

    def __init__(self, keep: Keep, encode: Callable[[Attributes], bytes]) -> None:
        self._keep = keep
        self._encode = encode

    def __call__(self, resource: Resource) -> bytes:
        """Make the fragment and leave it with the Resource."""
        kept = {k: v for k, v in resource.attributes.items() if v is not None and self._keep(k)}
        data = self._encode(kept)
        # Equal selections of several kinds end in one object: memory, and groups found by identity.
        data = resource.fragments.setdefault(data, data)
        resource.fragments[self] = data
        return data


class Known(dict[Value | None, bytes]):
    """What is already encoded of one attribute's values, all of one type: ports, paths, flags come again.

    Bounded: once it is full, new values are encoded and not remembered until somebody clears it.
    """

    __slots__ = ("_encode", "_entries")

    ENTRIES = 2048
    ENTRY_BYTES = 1536  # the names of all capabilities

    def __init__(self, encode: Callable[[Any], bytes], held: type) -> None:
        super().__init__()
        self._encode = encode
        # 1 == 1.0 == True and 0.0 == -0.0: safe where all are of one type, but for floats and inside tuples, which
        # therefore are remembered when they are of text only.
        self._entries = self.ENTRIES if held in (str, int, bool, tuple, type(None)) else 0

    def __missing__(self, value: Value) -> bytes:
        data = self._encode(value)
        if len(self) < self._entries and len(data) <= self.ENTRY_BYTES and _is_safe(value):
            self[value] = data
        return data


def _is_safe(value: Value | None) -> bool:
    return not isinstance(value, tuple) or all(isinstance(item, str) for item in value)


Row = tuple[tuple[Known, ...], tuple[Known, ...]]
"""What is known of a row of values: for each attribute that is kept, and for each in the body."""


class Rows(dict[tuple[type, ...], Row]):
    """A Row for each combination of types that the values of one kind come in."""

    __slots__ = ("_make",)

    COMBINATIONS = 1024

    def __init__(self, make: Callable[[tuple[type, ...]], Row]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, types: tuple[type, ...]) -> Row:
        if len(self) >= self.COMBINATIONS:
            self.clear()
        self[types] = row = self._make(types)
        return row
