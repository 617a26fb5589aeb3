"""Events, spans and what they hang on: plain makers, and hypothesis strategies for what nobody thought of.

Tests of every encoder use these, so that all of them meet the same hostile text and odd numbers.
"""

import math
from collections.abc import Iterator
from random import Random
from typing import Protocol

from hypothesis import strategies as st

from exporter.model import Attributes, Event, Field, Kind, Payload, Process, Resource, Span, Stream, Value
from exporter.probes import TOLD

TOUCH = Kind(
    name="test.touch",
    program="test",
    ring="activity",
    fields=tuple(Field(name, name) for name in ("a.text", "a.number", "a.flag", "a.list")),
    derived=("a.derived",),
    carries=("process.pid", "process.executable.path", "process.command_args"),
    severity=5,
    body=(
        ("path", "process.executable.path"),
        ("text", "a.text"),
        ("pid", "process.pid"),
        ("number", "a.number"),
        ("args", "process.command_args"),
        ("absent", "a.absent"),
    ),
)
"""Values of the process and of the event by turns in the body; some not in the body; one that no record has."""

BARE = Kind(name="bare", program="test", ring="lifecycle", fields=(), carries=(), severity=0)
"""Nothing but its name."""

KNOCK = Kind(
    name="test.knock",
    program="test",
    ring="activity",
    fields=(Field("a.text", "a.text"), Field("port", "a.port")),
    carries=("process.pid", "process.executable.path", "process.command_args"),
    body=(("port", "a.port"), ("pid", "process.pid")),
)
"""Carries what TOUCH carries and has a value in common with it; one value of its own in the body."""

ALL_KINDS = (*TOLD, TOUCH, BARE, KNOCK)

PROCESS_ATTRIBUTES: Attributes = {
    "process.pid": 41822,
    "process.vpid": 7,
    "process.parent_pid": 1,
    "process.executable.path": "/usr/bin/bash",
    "process.executable.name": "bash",
    "process.command_args": ("bash", "-c", "id"),
    "process.user.id": 0,
    "process.interactive": False,
    "podwitness.process.entity_id": "bm9kZTo0MTgyMg==",
}


def make_resource(**more: Value) -> Resource:
    return Resource({"k8s.pod.name": "checkout-7d9c", "k8s.namespace.name": "shop", "host.name": "node-1", **more})


def make_process(attributes: Attributes = PROCESS_ATTRIBUTES, resource: Resource | None = None) -> Process:
    return Process(
        pid=41822,
        start_time=1,
        exec_id=1,
        number=0,
        started=1,
        entity_id="bm9kZTo0MTgyMg==",
        trace_id=bytes(range(16)),
        span_id=bytes(range(8, 16)),
        parent_span_id=b"",
        lineage={},
        cgroup=1,
        attributes=attributes,
        resource=resource or make_resource(),
    )


def make_event(kind: Kind, process: Process, values: tuple[Value | None, ...] = (), uid: str = "boot-l-0-0") -> Event:
    return Event(
        kind=kind,
        uid=uid,
        boot_time=1,
        pid=process.pid,
        start_time=process.start_time,
        exec_id=process.exec_id,
        cgroup=process.cgroup,
        values=values or (None,) * len(kind.own),
        time=1_795_166_102_114_000_000,
        observed=1_795_166_102_119_500_000,
        process=process,
        resource=process.resource,
    )


def make_stream(first: int = 1) -> Stream:
    """A stream whose next record is number `first`."""
    return Stream(sink="siem", id="5eed5eed5eed5eed", next=first)


def make_agent_event(kind: Kind, *values: Value | None) -> Event:
    """What the agent tells of itself: by no process, on the host."""
    process = make_process({}, Resource({"host.name": "node-1", "k8s.node.name": "node-1"}))
    process.trace_id = process.span_id = b""
    return make_event(kind, process, values, uid="boot-a-0")


def make_span(process: Process, *, failed: bool = False, parent: bytes = b"", **attributes: Value) -> Span:
    return Span(
        process=process,
        resource=process.resource,
        name="bash",
        start=1_795_166_102_114_000_000,
        end=1_795_166_102_119_500_000,
        parent_span_id=parent,
        attributes=attributes,
        failed=failed,
    )


texts = st.text(st.characters(), max_size=60)  # every code point, lone surrogates too
numbers = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 200)
floats = st.floats().map(lambda number: math.nan if math.isnan(number) else number)
values: st.SearchStrategy[Value] = (
    texts
    | numbers
    | st.booleans()
    | floats
    | st.lists(texts, max_size=4).map(tuple)
    | st.lists(numbers, max_size=4).map(tuple)
)
attribute_names = st.text("abcdefghijklmnopqrstuvwxyz._/-%", min_size=1, max_size=40) | st.text(min_size=1, max_size=20)
resources = st.dictionaries(attribute_names, values, max_size=6).map(Resource)


@st.composite
def processes(draw: st.DrawFn) -> Process:
    """A process image with a random choice of the attributes that kinds carry."""
    names = sorted({name for kind in ALL_KINDS for name in kind.carries})
    process = make_process(draw(st.dictionaries(st.sampled_from(names), values, max_size=8)), draw(resources))
    process.trace_id = draw(st.binary(min_size=16, max_size=16) | st.just(b""))
    process.span_id = draw(st.binary(min_size=8, max_size=8)) if process.trace_id else b""
    process.links = draw(st.just(()) | st.tuples(st.tuples(st.binary(min_size=16, max_size=16), st.just(b"8 bytes."))))
    return process


@st.composite
def workloads(draw: st.DrawFn, *, events: int) -> list[Event]:
    """So many events of a few processes, with values out of a small pool: they come again, in other types too."""
    people = draw(st.lists(processes(), min_size=1, max_size=4))
    pool: list[Value | None] = [None, 0, 1, True, False, 1.0, "", (), *draw(st.lists(values, min_size=1, max_size=25))]
    chance = Random(draw(st.integers(0, 1 << 32)))
    made = []
    for number in range(events):
        kind = chance.choice(ALL_KINDS)
        event = make_event(kind, chance.choice(people), tuple(chance.choice(pool) for _ in kind.own), f"uid-{number}")
        event.time, event.observed = chance.getrandbits(64), chance.getrandbits(64)
        made.append(event)
    return made


@st.composite
def spans(draw: st.DrawFn) -> Span:
    """A span of any process."""
    span = make_span(draw(processes()), failed=draw(st.booleans()), parent=draw(st.just(b"") | st.just(b"parent!!")))
    span.name = draw(texts)
    span.attributes = draw(st.dictionaries(attribute_names, values, max_size=4))
    span.start, span.end = draw(st.integers(0, (1 << 64) - 1)), draw(st.integers(0, (1 << 64) - 1))
    return span


class Flushes(Protocol):
    """Any encoder, at its end."""

    def flush(self) -> Iterator[Payload]:
        """What is left."""


def last(encoder: Flushes) -> Payload | None:
    """The one batch that is left; None where nothing is."""
    return next(encoder.flush(), None)
