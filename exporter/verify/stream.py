"""One stream under verification: records in whatever order they come, and at the end what is true of them.

What is kept of a record is its fingerprint, and only at the ends of the runs seen so far its place and its hash too: a
record between two others needs no more. So memory grows by 17 bytes a record, and a little with each gap.
"""

from collections.abc import Mapping, Sequence
from heapq import heappush, heappushpop
from typing import TYPE_CHECKING, NamedTuple

from exporter.encode.reading import Told
from exporter.model import Ranges
from exporter.probes.agent import AGENT_STOPPED, CHAIN_SIGNED, EVENTS_LOST
from exporter.sink.spool.reading import Spooled
from exporter.sink.spool.rows import without
from exporter.verify.chained import Chained, Link, link
from exporter.verify.findings import Fault, Finding, Kept, Missing
from exporter.verify.losses import Losses, Statement
from exporter.verify.numbers import Numbers
from exporter.verify.sources import Place

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LOST, STOPPED, SIGNED = EVENTS_LOST.event_name, AGENT_STOPPED.event_name, CHAIN_SIGNED.event_name
NAMED = 20
"""Faults that are told one by one: those with the lowest numbers; the rest is counted."""
LARGEST = (1 << 63) - 1

_WHAT = {
    "changed": "it came twice, under the same uid, and says something else",
    "other": "its number was there before, with another uid: one of the two was inserted or renumbered",
}


class Seen(NamedTuple):
    """The sink's stream in the node's own spool, before the input was read and after."""

    before: Spooled
    after: Spooled


class _End(NamedTuple):
    """A record at the end of a run: one of its neighbours was not seen yet."""

    link: Link
    place: Place
    uid: str
    event_name: str


class Stream:
    """The records of one stream."""

    def __init__(self, sink: str, stream: str, keys: "Sequence[Ed25519PublicKey] | None") -> None:
        """`stream` is its id; `keys` as for `Chained`."""
        self._sink, self._id, self._keys = sink, stream, keys
        self.start = 1  # the first number that is asked for
        self._node = ""
        self._numbers, self._losses, self._chain = Numbers(), Losses(stream), Chained(stream, keys)
        self._ends: dict[int, _End] = {}
        self._records = self._duplicates = self._unnumbered = self._disordered = self._fault_count = 0
        self._faults: list[tuple[int, int, Fault]] = []  # a heap, the highest number first
        self._stray = self._disordered_at = ""
        self._stopped = 0  # the number of the last record that says so
        self._line, self._highest, self._before = Place("", 0), 0, 0  # of the file: up to this line, and before it

    @property
    def name(self) -> str:
        """Its id, or what else is known of it."""
        return self._id or f"{self._node or '?'} {self._sink or '?'}"

    @property
    def begins(self) -> bool:
        """Whether its first record is there, or none has a number."""
        return 1 in self._numbers or not self._records

    def take(self, told: Told, place: Place) -> None:
        """One record."""
        self._node = self._node or told.node
        number = told.sequence
        if number is None:
            self._unnumbered += 1
            self._stray = self._stray or f"{told.uid or told.event_name} at {place}"
            return
        if not 0 < number <= LARGEST:
            self._fault(number, told.uid, place, "no record has such a number")
            return
        sight = self._numbers.see(number, told.uid, hash((told.canonical, told.chain)))
        if sight == "again":
            self._duplicates += 1
        elif sight == "new":
            self._add(number, told, place)
        else:
            self._fault(number, told.uid, place, _WHAT[sight])

    def _add(self, number: int, told: Told, place: Place) -> None:
        self._records += 1
        self._order(number, place)
        if told.event_name == LOST:
            try:
                self._losses.take(told.attributes, str(place))
            except ValueError as error:
                self._fault(number, told.uid, place, f"it {error}")
        if told.event_name == STOPPED:
            self._stopped = max(self._stopped, number)
        one = link(number, told.canonical, told.chain, told.event_name, told.attributes)
        self._chain.see(one)
        self._place(_End(one, place, told.uid, told.event_name))

    def _has_stopped(self, last: int) -> bool:
        """Whether the agent ended with the record `last`; behind its word there may be the signature that covers it."""
        return self._stopped == last - (self._ends[last].event_name == SIGNED)

    def _order(self, number: int, place: Place) -> None:
        """A line's records may stand in any order; lines come in theirs, unless somebody moved them."""
        if place != self._line:
            if place.file != self._line.file:
                self._highest = 0
            self._line, self._before = place, self._highest
        if number < self._before:
            self._disordered += 1
            self._disordered_at = self._disordered_at or f"{number} at {place}"
        self._highest = max(self._highest, number)

    def _place(self, end: _End) -> None:
        """Join the record to its neighbours, as far as they are there, and forget what has both of them now."""
        number = end.link.sequence
        before, after = self._ends.get(number - 1), self._ends.get(number + 1)
        if before or number == 1:
            self._check(before, end)
            end = end._replace(link=end.link._replace(canonical=b""))
        if after:
            self._check(end, after)
            self._ends[number + 1] = after._replace(link=after.link._replace(canonical=b""))
        if not (before and after):
            self._ends[number] = end
        if before and number - 2 in self._numbers:
            del self._ends[number - 1]
        if after and number + 2 in self._numbers:
            del self._ends[number + 1]

    def _check(self, before: _End | None, end: _End) -> None:
        if what := self._chain.check(before.link if before else None, end.link):
            self._fault(end.link.sequence, end.uid, end.place, what)

    def _fault(self, sequence: int, uid: str, place: Place | str, what: str) -> None:
        self._fault_count += 1
        item = (-sequence, self._fault_count, Fault(sequence, what, uid, str(place)))
        if len(self._faults) < NAMED:
            heappush(self._faults, item)
        else:
            heappushpop(self._faults, item)

    def tell(self, others: "Mapping[str, Stream]") -> None:
        """What it states of earlier streams of its node and sink; `others` by their ids."""
        for stream, statements in self._losses.elsewhere.items():
            other = others.get(stream)
            if other is not None and (other._node, other._sink) == (self._node, self._sink):
                other._losses.add(statements)

    def finding(self, spools: Mapping[str, Seen] | None) -> Finding:
        """What is true of the stream; `spools` is what the node's own spool knows of its sinks, if it is there."""
        seen = self._numbers.ranges()
        first, last = (seen[0][0], seen[-1][1]) if seen else (None, None)
        self._look_for_copies()
        chain = self._chain.finding(seen)
        if self._keys is not None and last is not None and not (chain and chain.valid):
            self._fault(last, "", "", "no valid signature is in this stream, or none could be checked")
        if self._unnumbered and seen:
            self._fault(0, "", "", f"{self._unnumbered} records have no number, the first is {self._stray}")
        if last is not None and last < self.start:
            self._fault(0, "", "", f"no record from {self.start} on is in the input")
        missing = [self._missing(*piece) for piece in self._losses.explain(_gaps(seen, self.start))]
        spool = None
        if spools is not None and last is not None:
            spool = self._compare(spools.get(self._sink), last, missing)
        return Finding(
            node=self._node,
            sink=self._sink,
            stream=self._id,
            complete=bool(seen) and not self._fault_count and all(one.explained for one in missing),
            records=self._records,
            first=first,
            last=last,
            duplicates=self._duplicates,
            unnumbered=self._unnumbered,
            disordered=self._disordered,
            disordered_at=self._disordered_at,
            end="stopped" if last and self._has_stopped(last) else "open",
            missing=missing,
            lost=self._losses.without_numbers(),
            fault_count=self._fault_count,
            faults=[fault for _number, _count, fault in sorted(self._faults, key=lambda one: (-one[0], one[1]))],
            chain=chain,
            spool=spool,
            start=self.start,
        )

    def _look_for_copies(self) -> None:
        for numbers in self._numbers.shared():
            others = ", ".join(map(str, numbers[:-1][:5]))
            self._fault(numbers[-1], "", "", f"it has the uid of record {others}: one was renumbered or inserted")

    def _missing(self, first: int, last: int, stated: Statement | None) -> Missing:
        after, before = self._ends.get(first - 1), self._ends.get(last + 1)
        return Missing(
            first,
            last,
            stated is not None,
            stated.stage if stated else "",
            stated.reason if stated else "",
            stated.stated_at if stated else "",
            str(after.place) if after else "",
            str(before.place) if before else "",
        )

    def _compare(self, spool: Seen | None, last: int, missing: list[Missing]) -> Kept:
        """With the numbers that the node has given out; those that wait there are no loss."""
        if spool is None or spool.before.stream != self._id:
            return Kept(other_stream=spool.before.stream if spool else "")
        kept = Kept(spool.before.next, spool.before.waiting)
        beyond = without(((last + 1, kept.next - 1),), kept.waiting) if kept.next > last + 1 else ()
        missing += [self._missing(*piece) for piece in self._losses.explain(beyond)]
        if spool.after.stream == self._id and last >= spool.after.next:
            self._fault(last, "", str(self._ends[last].place), f"the node gave out none after {spool.after.next - 1}")
        return kept


def _gaps(seen: Ranges, start: int) -> Ranges:
    """What is not there from `start` up to the last number."""
    return without(((start, seen[-1][1]),), seen) if seen and seen[-1][1] >= start else ()
