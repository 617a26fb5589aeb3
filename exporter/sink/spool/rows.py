"""What is in the spool: a row for each payload, and the statement of all that ought to be there.

A row's id is its sink's number and its place in that sink's queue, so that rows of one sink lie together, in order.
What is said of the payload (`Meta`) and the payload itself have a checksum each: damage is found, and told by number.

The statement is written with each commit, into the database and into a file beside it (`spool_file.Folder.mark`). What
it names and nobody finds is lost, and counted exactly, whatever became of the database.
"""

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import msgspec
from isal import isal_zlib

from exporter.model import Loss, Payload, Ranges, Signal, joined
from exporter.sink.spool.clock import Moment

S = TypeVar("S")

PLACES = 40
"""Bits of a row's id for its place in the queue; the sink's number is above them."""


class Meta(msgspec.Struct, frozen=True, array_like=True):
    """A payload without its data; `written` is on the spool's clock."""

    sink: str
    wire: str
    signal: Signal
    tag: str
    records: int
    sequences: Ranges
    gzip: bool
    size: int
    written: int
    stream: str = ""  # older rows have none


class Tally(msgspec.Struct, frozen=True, array_like=True):
    """Some rows: their ids, how many records are in them, and the numbers of those by their stream's id.

    `sequences` are of rows that do not say their stream: an older format.
    """

    rows: Ranges = ()
    records: int = 0
    sequences: Ranges = ()
    streams: dict[str, Ranges] = {}

    @classmethod
    def of(cls, row: int, payload: "Payload | Meta") -> "Tally":
        """One row."""
        sequences, stream = payload.sequences, payload.stream
        named = {stream: sequences} if stream and sequences else {}
        return cls(((row, row),), payload.records, () if named else sequences, named)

    @property
    def shares(self) -> list[tuple[str, int, Ranges]]:
        """By stream: its id, how many records, and their numbers; last what has no numbers."""
        named = [*self.streams.items(), *((("", self.sequences),) if self.sequences else ())]
        if len(named) < 2:
            return [(stream, self.records, ranges) for stream, ranges in named or (("", ()),)]
        counted = [(stream, sum(last - first + 1 for first, last in ranges), ranges) for stream, ranges in named]
        rest = self.records - sum(count for _, count, _ in counted)
        return [*counted, *([("", rest, ())] if rest > 0 else [])]

    def plus(self, *others: "Tally") -> "Tally":
        """These rows and those, which are none of these."""
        several = (self, *others)
        return Tally(
            joined(*(tally.rows for tally in several)),
            sum(tally.records for tally in several),
            joined(*(tally.sequences for tally in several)),
            {
                stream: joined(*(tally.streams.get(stream, ()) for tally in several))
                for stream in dict.fromkeys(stream for tally in several for stream in tally.streams)
            },
        )

    def minus(self, other: "Tally") -> "Tally":
        """These rows without those."""
        return Tally(
            without(self.rows, other.rows),
            max(self.records - other.records, 0),
            without(self.sequences, other.sequences),
            {
                stream: left
                for stream, ranges in self.streams.items()
                if (left := without(ranges, other.streams.get(stream, ())))
            },
        )


class Holding(msgspec.Struct, frozen=True, array_like=True):
    """One sink's part of the statement: its number in row ids, the place of its next row, and its rows."""

    number: int
    next: int
    tally: Tally


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """What the spool holds after a commit.

    `spool` is the random name of this spool, `streams` are the sealed values of `stream.<sink>` (their numbers must
    not be given out twice), `states` is how many values there are, `journal` the first entry and the one after the
    last, `losses` are those that nobody was told of yet and that no row stands for. `doubts` are the same in an older
    format: (sink, reason).
    """

    spool: str
    commit: int
    positions: dict[int, int]
    queues: dict[str, Holding]
    streams: dict[str, bytes]
    states: int
    journal: tuple[int, int]
    clock: Moment
    doubts: tuple[tuple[str, str], ...] = ()
    losses: tuple[Loss, ...] = ()


class Stored(NamedTuple):
    """A row as it is in the table `payload`."""

    id: int
    meta: bytes
    meta_sum: int
    data_sum: int
    data: bytes

    def told(self) -> Meta | None:
        """What the row says of its payload; None where it is damaged."""
        return meta_of(self.id, self.meta, self.meta_sum)

    @property
    def whole(self) -> bool:
        """Whether the payload's data is what was written."""
        return isinstance(self.data, bytes) and checksum(self.data, self.meta_sum) == self.data_sum


def stored(row: int, meta: Meta, data: bytes) -> Stored:
    """The row `row` for a payload whose data, sealed or not, is `data`."""
    encoded = msgspec.msgpack.encode(meta)
    meta_sum = checksum(encoded, row & 0xFFFFFFFF)
    return Stored(row, encoded, meta_sum, checksum(data, meta_sum), data)


def meta_of(row: object, encoded: object, meta_sum: object) -> Meta | None:
    """The decoded meta of a row; None where it is damaged."""
    if not isinstance(row, int) or not isinstance(encoded, bytes) or checksum(encoded, row & 0xFFFFFFFF) != meta_sum:
        return None
    return decoded(encoded, Meta)


def payload_of(meta: Meta, data: bytes) -> Payload:
    """The payload as it was put."""
    return Payload(meta.signal, data, meta.records, meta.tag, meta.sequences, meta.gzip, meta.size, meta.stream)


def checksum(data: bytes, start: int = 0) -> int:
    """CRC-32 of `data`: isal's takes 5 µs for a payload, zlib's 60."""
    return isal_zlib.crc32(data, start)


def decoded(data: bytes, of: type[S]) -> S | None:
    """`data` as a struct; None where it is none."""
    try:
        return msgspec.msgpack.decode(data, type=of)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def without(ranges: Ranges, taken: Ranges) -> Ranges:
    """The numbers in `ranges` that are not in `taken`; both ascending."""
    if not taken or not ranges:
        return ranges
    left: list[tuple[int, int]] = []
    place = 0
    for first, last in ranges:
        while place < len(taken) and taken[place][1] < first:
            place += 1
        at, begin = place, first
        while at < len(taken) and taken[at][0] <= last:
            if taken[at][0] > begin:
                left.append((begin, taken[at][0] - 1))
            begin = taken[at][1] + 1
            at += 1
        if begin <= last:
            left.append((begin, last))
    return tuple(left)


def numbers(ranges: Ranges) -> Iterable[int]:
    """Each number of `ranges`, ascending."""
    for first, last in ranges:
        yield from range(first, last + 1)


def within(number: int, ranges: Ranges) -> bool:
    """Whether `number` is in one of the `ranges`."""
    return any(first <= number <= last for first, last in ranges)
