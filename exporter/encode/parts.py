"""What a log record of each kind is made of, worked out once when the encoder is built.

`parts` asks the sink's `keep` for each attribute of each kind and divides them: those of the process image,
those of the event, and the pairs of the body. Kinds that carry the same attributes of a process share its
fragment, and kinds with an attribute in common share what is remembered of its values.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from exporter.encode import body
from exporter.encode.fragments import Encoding, Image, Known, Line, Place, Row, Rows
from exporter.model import SEQUENCE, UID, Keep, Kind


class Parts(NamedTuple):
    """The parts of a kind's record.

    `kept` marks the event's own values that are sent (None: all of them), `texts` are the indexes of those in
    the body, `uid` and `sequence` say whether log.record.uid and the number in the stream are sent.
    """

    kind: Kind
    place: Place
    image: Image
    line: Line
    rows: Rows
    kept: tuple[bool, ...] | None
    texts: tuple[int, ...]
    uid: bool
    sequence: bool


class Shared:
    """What the kinds of one encoder have in common, and the memory of values already encoded."""

    FORGET = 100_000

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self._images: dict[tuple[tuple[str, ...], bool], Image] = {}
        self._lines: dict[tuple[tuple[tuple[str, str], ...], frozenset[str], bool], Line] = {}
        self._places: dict[Keep, Place] = {}
        self._attributes: dict[tuple[str, type], Known] = {}
        self._texts: dict[tuple[str, type], Known] = {}
        self._events = 0

    def count(self, events: int) -> None:
        """So many events come; now and then, forget old values to make room for those of today."""
        self._events += events
        if self._events >= self.FORGET:
            self._events = 0
            for known in (*self._attributes.values(), *self._texts.values()):
                known.clear()

    def image(self, names: tuple[str, ...], *, once: bool) -> Image:
        """The fragment of process images for the kinds that carry these names."""
        return self._images.setdefault((names, once), Image(names, self.encoding, self.attribute, once=once))

    def line(self, pairs: tuple[tuple[str, str], ...], own: frozenset[str], *, once: bool) -> Line:
        """The body for the kinds that have these pairs."""
        return self._lines.setdefault((pairs, own, once), Line(pairs, own, self.encoding, once=once))

    def place(self, keep: Keep) -> Place:
        """The fragment of Resources for this selection."""
        return self._places.setdefault(keep, Place(keep, self.encoding.resource))

    def attribute(self, name: str, held: type) -> Known:
        """The values of an attribute, of one type."""
        if (known := self._attributes.get((name, held))) is None:
            known = Known(_nothing if held is type(None) else self.encoding.attribute(name, held), held)
            self._attributes[name, held] = known
        return known

    def text(self, key: str, held: type) -> Known:
        """The pairs of the body under `key`, for values of one type."""
        if (known := self._texts.get((key, held))) is None:
            text = self.encoding.text
            known = Known(_nothing if held is type(None) else lambda v: text(body.pair(key, v)), held)
            self._texts[key, held] = known
        return known


def parts(kinds: Sequence[Kind], keep: Mapping[str, Keep], shared: Shared) -> dict[Kind, Parts]:
    """The parts of each kind's records, as far as `keep[kind.name]` lets them through."""
    return {kind: _parts(kind, keep[kind.name], shared) for kind in kinds}


def _parts(kind: Kind, keep: Keep, shared: Shared) -> Parts:
    own = kind.own
    kept = tuple(map(keep, own))
    # Keys of a record are unique: a name that the event has itself is not taken from the process.
    carried = tuple(n for n in dict.fromkeys(kind.carries) if n not in (*own, UID, SEQUENCE) and keep(n))
    pairs = tuple(pair for pair in kind.body if pair[1] in kind.attributes and keep(pair[1]))
    return Parts(
        kind=kind,
        place=shared.place(keep),
        image=shared.image(carried, once=kind.once),
        line=shared.line(pairs, frozenset(name for _, name in pairs if name in own), once=kind.once),
        rows=Rows(partial(_row, own=own, kept=kept, pairs=pairs, shared=shared)),
        kept=None if all(kept) else kept,
        texts=tuple(own.index(name) for _, name in pairs if name in own),
        uid=keep(UID),
        sequence=keep(SEQUENCE),
    )


def _row(
    types: tuple[type, ...],
    own: tuple[str, ...],
    kept: tuple[bool, ...],
    pairs: tuple[tuple[str, str], ...],
    shared: Shared,
) -> Row:
    held = dict(zip(own, types, strict=True))
    return (
        tuple(shared.attribute(name, held[name]) for name, sent in zip(own, kept, strict=True) if sent),
        tuple(shared.text(key, held[name]) for key, name in pairs if name in held),
    )


def _nothing(_value: Any) -> bytes:
    return b""
