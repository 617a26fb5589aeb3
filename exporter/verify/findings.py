"""What `podwitness verify` finds out about a stream: the words of its report, as they are in its JSON.

Numbers are `podwitness.event.sequence`, ranges include both ends, a place is `file:line`.
"""

from typing import Literal

import msgspec

from exporter.model import Ranges


class Missing(msgspec.Struct, frozen=True, omit_defaults=True):
    """Records that are not there, and why, where a record says so; else the neighbours show where to look."""

    first: int
    last: int
    explained: bool
    stage: str = ""
    reason: str = ""
    stated_at: str = ""
    after: str = ""
    before: str = ""


class Lost(msgspec.Struct, omit_defaults=True):
    """Losses that never had a number, as the agent states them; `count` None: nobody could count them."""

    stage: str
    reason: str
    count: int | None
    since: str = ""
    until: str = ""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record that is not as the agent made it."""

    sequence: int
    what: str
    uid: str = ""
    place: str = ""


class ChainFinding(msgspec.Struct, omit_defaults=True):
    """What the hashes and their signatures prove.

    `unproven` are records whose own content nothing vouches for, because the one before them is missing. `signed` are
    the ranges that a valid signature covers; None: no key was given.
    """

    records: int
    unproven: list[int]
    signatures: int
    valid: int
    signed: Ranges | None


class Kept(msgspec.Struct, omit_defaults=True):
    """What the node's own spool says of the sink: the stream's next number, and those that still wait there.

    Without `next` the node has no such stream, or by now another one: `other_stream`.
    """

    next: int = 0
    waiting: Ranges = ()
    other_stream: str = ""


class Finding(msgspec.Struct):
    """One stream: the records of one sink of one node, from when that sink was first there.

    `start` is the first number that was asked for: 1, or that of `--from`.
    """

    node: str
    sink: str
    stream: str
    complete: bool
    records: int
    first: int | None
    last: int | None
    duplicates: int
    unnumbered: int
    disordered: int
    disordered_at: str
    end: Literal["stopped", "open"]
    missing: list[Missing]
    lost: list[Lost]
    fault_count: int
    faults: list[Fault]
    chain: ChainFinding | None
    spool: Kept | None
    start: int


class Unreadable(msgspec.Struct):
    """Lines that are no records; the first one is named."""

    count: int = 0
    first: str = ""
    why: str = ""


class Report(msgspec.Struct):
    """All streams of the input."""

    complete: bool
    lines: int
    foreign: int
    unreadable: Unreadable
    streams: list[Finding]
