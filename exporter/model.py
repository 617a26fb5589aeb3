"""The dictionary of the house: every type that passes from one stage to the next.

    RawSample -> Event -> (process, resource filled in) -> Payload -> Delivery

A stage takes one of these and gives the next; nothing else crosses a stage's border.
All times are integers in nanoseconds, on the boot clock inside the kernel (`boot_ns`)
and since the Unix epoch from `Event.time` on. `msgspec.Struct` rather than dataclass:
a frozen dataclass costs 0.7 µs to make, a Struct 0.1.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

Scalar = str | int | bool | float
Value = Scalar | tuple[str, ...] | tuple[int, ...]
"""What an attribute can hold: a scalar, or an array of one scalar type. Text is always valid UTF-8."""

Attributes = dict[str, Value]
Signal = Literal["logs", "traces"]
Ring = Literal["lifecycle", "activity"]
Ranges = tuple[tuple[int, int], ...]
"""Numbers as (first, last) pairs, both included, ascending."""

UID = "log.record.uid"
"""Boot, ring and position: a record that is sent again has the same."""
SEQUENCE = "podwitness.event.sequence"
"""Runs without holes through the records of one sink's stream."""

Keep = Callable[[str], bool]
"""Whether a sink's records of one event type keep the attribute of this name (resource attributes too)."""


class RawSample(NamedTuple):
    """One record of a ring buffer, as the kernel wrote it.

    `position` is the producer's byte position in the ring: with the ring's id it names the
    sample for as long as the machine is up.
    """

    ring: Ring
    ring_id: int
    position: int
    data: bytes


class Field(msgspec.Struct, frozen=True):
    """One member of a kernel struct and what becomes of it.

    `c` is the member's name, dotted where structs nest. `to` says who takes it: an attribute of
    the event, of the process image, or the process table alone (then `name` is the table's word).
    """

    c: str
    name: str
    to: Literal["event", "process", "table"] = "event"


class Hook(msgspec.Struct, frozen=True):
    """One way to see a kind of event, for kernels that have it.

    `programs` are attached where their sections say; all of them must run. `handler` is not attached: `on_call` calls
    it at the end of each of the system calls `calls` (names as in x86-64's table). `also` are further handlers, each
    with its calls. `cost` and `caveats` are for people.
    """

    programs: tuple[str, ...] = ()
    handler: str = ""
    calls: tuple[str, ...] = ()
    cost: str = ""
    caveats: str = ""
    also: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def handled(self) -> dict[str, str]:
        """The handler of each call."""
        handlers = ((self.handler, self.calls), *self.also)
        return {call: handler for handler, calls in handlers for call in calls}


class Kind(msgspec.Struct, frozen=True, eq=False):
    """A kind of event: what the kernel sends and what a record of it carries.

    `name` is the event type (`process.exec`); in BTF its struct and its `enum kind` member are the same
    name with underscores. `program` is the file in bpf/ that sends it, without `.bpf.c` (empty: the agent itself
    does). `carries` are the attributes of the process image that go on each record, `derived` those that enrich
    computes, `once` says that an image has one such record, so that nothing is kept for a second, `body` the logfmt
    keys of the display line. `ring` is where it goes; calls that are refused always go to `activity`. Of ring
    `activity` the least `importance` is left out first when memory is short. `hooks` are the ways to see it, the
    best one first; `by_default` is down where it is seen only if asked for.
    """

    name: str
    program: str = ""
    ring: Ring = "lifecycle"
    fields: tuple[Field, ...] = ()
    carries: tuple[str, ...] = ()
    severity: int = 9
    importance: int = 0
    hooks: tuple[Hook, ...] = ()
    by_default: bool = True
    once: bool = False
    unused: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()
    body: tuple[tuple[str, str], ...] = ()

    @property
    def event_name(self) -> str:
        """EventName on the wire: `podwitness.` and the kind's name."""
        return f"podwitness.{self.name}"

    @property
    def own(self) -> tuple[str, ...]:
        """Names of `Event.values`, in their order: fields of the event, then the derived ones."""
        return tuple(f.name for f in self.fields if f.to == "event") + self.derived

    @property
    def attributes(self) -> tuple[str, ...]:
        """Every attribute a record of this kind can carry, without repeats."""
        return tuple(dict.fromkeys((*self.carries, *self.own, UID, SEQUENCE)))


class Resource(msgspec.Struct, eq=False):
    """The observed workload: pod, container, host; its attributes never change.

    A change of the pod makes a new Resource. `fragments` belongs to the encoders: this Resource in
    their bytes, keyed by encoder, gone with the Resource.
    """

    attributes: Attributes
    fragments: dict[object, bytes] = msgspec.field(default_factory=dict)


class Process(msgspec.Struct, eq=False):
    """One image of a process: the same pid makes a new one with each exec.

    Identity is (`pid`, `start_time` in boot ns, `exec_id`: the kernel's `self_exec_id`). `forked_as` is the exec_id it
    was forked with, `number` counts the execs of this pid before this one: 0 for the fork and the first exec.
    `started` is when this image began (boot ns). `lineage` are the attributes that tell of those above it: copies, so
    that nobody's ancestors stay in memory. `parent_span_id` is empty where a trace begins. `init` tells the first
    process of a pid namespace: it gets no span, which would end only with the container.
    `attributes` hold every attribute known, arguments already redacted; `fragments` belongs to the
    encoders as in Resource.
    """

    pid: int
    start_time: int
    exec_id: int
    number: int
    started: int
    entity_id: str
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    lineage: Attributes
    cgroup: int
    attributes: Attributes
    resource: Resource
    forked_as: int = 0
    init: bool = False
    links: tuple[tuple[bytes, bytes], ...] = ()
    exited: int = 0
    fragments: dict[object, bytes] = msgspec.field(default_factory=dict)


class Event(msgspec.Struct, eq=False):
    """One thing that happened. Decode fills what the kernel said, enrich who did it.

    `values` are aligned with `kind.own` (None: not known). `facts` hold what the process table takes.
    `time` and `observed` are Unix ns: when it happened, when the agent read it. `untold` says why it goes no further,
    where enrich finds that it is not what its kind says.
    """

    kind: Kind
    uid: str
    boot_time: int
    pid: int
    start_time: int
    exec_id: int
    cgroup: int
    values: tuple[Value | None, ...]
    facts: dict[str, Value] | None = None
    time: int = 0
    observed: int = 0
    process: Process = msgspec.UNSET  # type: ignore[assignment]  # set by enrich before anyone reads it
    resource: Resource = msgspec.UNSET  # type: ignore[assignment]
    untold: str = ""

    def attributes(self) -> Attributes:
        """All attributes of the record, process image first; for readers that are not on the hot path."""
        known = self.process.attributes
        found = {name: known[name] for name in self.kind.carries if name in known}
        found |= {n: v for n, v in zip(self.kind.own, self.values, strict=True) if v is not None}
        found["log.record.uid"] = self.uid
        return found


class Span(msgspec.Struct, eq=False):
    """The life of one process image, exec to exit or to its next exec; Unix ns.

    `parent_span_id` is empty for the root of a trace. `attributes` are the span's own.
    """

    process: Process
    resource: Resource
    name: str
    start: int
    end: int
    parent_span_id: bytes
    attributes: Attributes
    failed: bool


class Stream(msgspec.Struct):
    """The numbered records of one sink, from when it was first there: what comes next in it.

    `id` is random, made with the stream; `next` is the sequence number of the next record; `chain` the hash of the last
    one, where records are chained (empty before the first). Encoders advance it; the spool keeps it.
    """

    sink: str
    id: str
    next: int = 1
    chain: bytes = b""


class Payload(msgspec.Struct, eq=False):
    """A batch in its wire format: `records` says how many events or spans are in it.

    `tag` is the Fluent tag, empty elsewhere. `sequences` are the `podwitness.event.sequence` numbers in it (none in
    spans) and `stream` the id of the stream they count. `gzip` says that `data` is compressed; `size` is what it holds
    uncompressed, in bytes.
    """

    signal: Signal
    data: bytes
    records: int
    tag: str = ""
    sequences: Ranges = ()
    gzip: bool = False
    size: int = 0
    stream: str = ""

    def __post_init__(self) -> None:
        """An encoder need not say the size of what it did not compress."""
        self.size = self.size or len(self.data)


class Delivery(msgspec.Struct, frozen=True):
    """What the receiver said of one attempt.

    `accepted`: it has the payload, except for `rejected` records, which must not be sent again.
    `retry`: send the same again, not before `delay` seconds (None: back off). `unanswered`: the receiver took all of it
    and did not acknowledge it; again, but not for ever. `too_large`: send it in halves. `refused`: never again.
    `closed`: nobody is there any more, nor will be.
    """

    outcome: Literal["accepted", "retry", "unanswered", "too_large", "refused", "closed"]
    reason: str = ""
    rejected: int = 0
    delay: float | None = None


class Loss(msgspec.Struct, frozen=True):
    """Records that will never arrive: `count` of them, or None where nobody can know how many.

    `sink` is `*` where it concerns all. `since` and `until` (Unix ns) enclose when they were lost, `sequences` are the
    numbers they had in the sink's stream, if they had any yet; `stream` is its id, empty where that is not known.
    """

    sink: str
    stage: str
    reason: str
    count: int | None
    since: int
    until: int
    sequences: Ranges = ()
    stream: str = ""


def joined(*several: Ranges) -> Ranges:
    """All numbers of `several`, as ascending ranges that do not touch."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(pair for ranges in several for pair in ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return tuple(found)
