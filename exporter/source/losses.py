"""What the kernel could not hand over: counters of the probes become news, each told once.

Counters only grow. `Losses.news` compares them with what was told before; `state` is that, to be kept on disk together
with the records that tell of it, so that what is lost while no agent runs is told once, by the next. Times are boot ns.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import msgspec

from exporter.source import descriptors
from exporter.source.words import Words
from exporter.telemetry import log

GENERATION_REMOVED = "generation_removed"


class Lost(NamedTuple):
    """`samples` that never came: of `ring` (`*`: nobody can know of which), between `since` and `until`, boot ns.

    Reasons: `ring_full`, `no_reader` (the lease was over), `shed_memory` (left out on the agent's order),
    `undispatched` (no generation took the event), `recursion` (the kernel does not run a program inside itself),
    `generation_removed` (in the rings of a generation before the last one, never read to their end).
    """

    ring: str
    reason: str
    samples: int
    since: int
    until: int


class Tally(NamedTuple):
    """A counter: `key` names it while the machine is up. Times are 0 where the kernel does not note them.

    `take_since` says when the first loss was after the last such call.
    """

    key: str
    ring: str
    reason: str
    total: Callable[[], int]
    take_since: Callable[[], int] = lambda: 0
    until: Callable[[], int] = lambda: 0


class _State(msgspec.Struct):
    looked: int
    told: dict[str, int]


class Losses:
    """Which losses were told already."""

    def __init__(self, looked: int) -> None:
        """`looked`: nothing was lost before."""
        self._state = _State(looked, {})
        self._handed: dict[str, int] = {}  # by the last `state`
        self._saved: dict[str, int] = {}  # by one that is safe
        self._is_exact = True

    def news(self, tallies: Iterable[Tally], now: int) -> list[Lost]:
        """What was lost since the last call. `tallies` are all counters there are: the others' past is forgotten."""
        looked, told, found = self._state.looked, {}, []
        for tally in tallies:
            since = tally.take_since()  # this order is the other half of note_loss() in bpf/loss.h
            count, until = tally.total(), tally.until() or now
            more = count - self._state.told.get(tally.key, 0)
            if more > 0:
                since = since if since and self._is_exact else looked
                found.append(Lost(tally.ring, tally.reason, more, since, max(since, until)))
            told[tally.key] = count
        self._state, self._is_exact = _State(now, told), True
        return found

    def state(self) -> bytes:
        """What has been told, for `restore`; keep it with the records that tell of it, then `confirm`."""
        self._handed = dict(self._state.told)
        return msgspec.json.encode(self._state)

    def confirm(self) -> None:
        """The last `state` is safe, and so are the records."""
        self._saved = self._handed

    def adopt(self, tallies: Iterable[Tally], now: int) -> None:
        """All that these have counted was told by somebody."""
        self.news(tallies, now)

    def restore(self, state: bytes, taken: int) -> None:
        """Go on from what another agent has told; `taken` is when the beginnings were last taken from the counters.

        Where that was later than `state`, an agent ended before it could tell: then all began at the last told look.
        Without a state all that was ever counted is told again.
        """
        if not state:
            return
        try:
            self._state = msgspec.json.decode(state, type=_State)
        except msgspec.DecodeError as error:
            log.warning("losses that were told may be told again: %s", error)
            return
        self._handed = self._saved = dict(self._state.told)
        self._is_exact = taken <= self._state.looked

    def settled(self, tallies: Iterable[Tally]) -> bool:
        """Whether a `state` that is safe tells of all that these have counted."""
        return all(tally.total() <= self._saved.get(tally.key, 0) for tally in tallies)


def in_words(words: Words, member: str, at: int, *, key: str, ring: str, reason: str) -> Tally:
    """The tally of a `struct loss` in a mapped struct; `member` is its name with a dot behind it, or empty."""

    def take_since() -> int:
        since = words.get(f"{member}since", at)
        if since:
            words.set(f"{member}since", 0, at)
        return since

    return Tally(
        key,
        ring,
        reason,
        lambda: words.get(f"{member}count", at),
        take_since,
        lambda: words.get(f"{member}until", at),
    )


def recursion(programs: Mapping[str, int]) -> Iterator[Tally]:
    """The tallies of attached programs, whose fds these are: the kernel does not run one inside itself."""
    for fd in programs.values():
        key = f"{descriptors.program_id(fd)}.recursion"
        yield Tally(key, "*", "recursion", partial(descriptors.recursion_misses, fd))


def boot_now() -> int:
    """Nanoseconds on the boot clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
