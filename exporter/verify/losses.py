"""What the stream itself says is lost (`podwitness.agent.events_lost`), held against what is missing from it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from exporter.model import Ranges
from exporter.probes.agent import EVENTS_LOST
from exporter.verify.findings import Lost

_RANGE = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?")
STAGE, REASON, COUNT, FROM, TO, SEQUENCES, STREAM = EVENTS_LOST.own


class Statement(NamedTuple):
    """Numbers that a record says are lost."""

    first: int
    last: int
    stage: str
    reason: str
    stated_at: str


class Losses:
    """The statements of one stream; `own` is its id, empty where nothing says it."""

    def __init__(self, own: str = "") -> None:
        self._own = own
        self.elsewhere: dict[str, list[Statement]] = {}
        """What it says of other streams, by their ids: the sink's earlier ones."""
        self._numbered: list[Statement] = []
        self._others: dict[tuple[str, str], Lost] = {}

    def take(self, attributes: Mapping[str, Any], place: str) -> None:
        """One record of kind EVENTS_LOST. Raises ValueError where its ranges are none."""
        stage, reason = (str(attributes.get(name, "")) for name in (STAGE, REASON))
        ranges = _ranges(attributes.get(SEQUENCES))
        stream = str(attributes.get(STREAM) or self._own)
        known_here = not self._own or stream == self._own
        numbered = self._numbered if known_here else self.elsewhere.setdefault(stream, [])
        numbered += [Statement(first, last, stage, reason, place) for first, last in ranges]
        count = attributes.get(COUNT)
        count = count if isinstance(count, int) else None
        rest = None if count is None else count - sum(last - first + 1 for first, last in ranges)
        if ranges if rest is None else rest <= 0:
            return
        since, until = (str(attributes.get(name, "")) for name in (FROM, TO))
        known = self._others.setdefault((stage, reason), Lost(stage, reason, 0, since, until))
        known.count = None if known.count is None or rest is None else known.count + rest
        known.since, known.until = min(known.since, since), max(known.until, until)

    def add(self, statements: Iterable[Statement]) -> None:
        """What another stream says of this one."""
        self._numbered += statements

    def without_numbers(self) -> list[Lost]:
        """Losses of what had no number, by stage and reason."""
        return [self._others[key] for key in sorted(self._others)]

    def explain(self, gaps: Ranges) -> Iterator[tuple[int, int, Statement | None]]:
        """The gaps, in pieces that one statement covers, or none."""
        stated = list(_disjoint(sorted(self._numbered)))
        at = 0
        for begin, end in gaps:
            while at < len(stated) and stated[at].last < begin:
                at += 1
            rest, here = begin, at
            while here < len(stated) and stated[here].first <= end:
                one = stated[here]
                if one.first > rest:
                    yield rest, one.first - 1, None
                yield max(rest, one.first), min(end, one.last), one
                rest = one.last + 1
                here += 1
            if rest <= end:
                yield rest, end, None


def _disjoint(statements: Iterable[Statement]) -> Iterator[Statement]:
    """Each number stated once, by the first that does; ascending."""
    end = 0
    for one in statements:
        if one.last > end:
            yield one._replace(first=max(one.first, end + 1))
            end = one.last


def _ranges(told: object) -> Ranges:
    """`7-9` or `7`, several in a list or with commas between."""
    if told is None:
        return ()
    parts = ",".join(map(str, told)) if isinstance(told, (list, tuple)) else str(told)
    found = []
    for part in filter(None, (part.strip() for part in parts.split(","))):
        numbers = _RANGE.fullmatch(part)
        first, last = (int(numbers[1]), int(numbers[2] or numbers[1])) if numbers else (0, 0)
        if not 0 < first <= last:
            raise ValueError(f"states lost numbers that are none: {part[:40]!r}")
        found.append((first, last))
    return tuple(found)
