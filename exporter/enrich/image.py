"""Process images: what the kernel said of a process, and what we add, as the attributes that its records carry.

The process table calls `Images` for each fork, exec and process of the snapshot, and `end_span` when an image ends.
An image holds copies of what is told of those above it, never the images themselves: a chain of processes that each
start one and exit would else stay in memory for as long as its last link lives.
"""

from collections.abc import Callable

from exporter import config
from exporter.enrich.arguments import Arguments
from exporter.enrich.facts import texts
from exporter.enrich.init_tree import MARK
from exporter.enrich.resources import Resources
from exporter.enrich.traces import Ids
from exporter.model import Attributes, Event, Process, Resource, Span
from exporter.probes.times import iso

Redact = Callable[[tuple[str, ...]], tuple[str, ...]]

ANCESTORS = 8
"""How many ancestors a record names, nearest first."""
LINEAGE = (
    "podwitness.process.parent.pid",
    "podwitness.process.parent.entity_id",
    "podwitness.process.parent.executable.path",
    "podwitness.process.ancestors",
)
"""What a record says of those above its process."""
_INHERITED = (
    "process.executable.path",
    "process.executable.name",
    "process.working_directory",
    "process.linux.cgroup",
    "process.command",
    "process.command_args",
    "process.args_count",
)
"""What a forked child has of its parent until it execs."""
_PATHS = {
    "process.executable.path": "podwitness.process.executable.path_truncated",
    "process.working_directory": "podwitness.process.working_directory_truncated",
}


class Images:
    """Makes process images."""

    def __init__(self, resources: Resources, redact: Redact, settings: config.Arguments) -> None:
        """`redact` is applied to arguments before anything of them is kept."""
        self._resources = resources
        self._arguments = Arguments(redact, settings)

    def first(self, event: Event, parent: Process | None, ids: Ids, number: int, began: int, forked_as: int) -> Process:
        """The first image that is known of a process, started by `parent`."""
        inherited: Attributes = {}
        if parent is not None and event.kind.name == "process.fork":
            inherited = {name: parent.attributes[name] for name in _INHERITED if name in parent.attributes}
        return self._image(event, ids, number, began, forked_as, _lineage(parent), inherited)

    def after(self, event: Event, before: Process, ids: Ids, number: int) -> Process:
        """The image that takes the place of `before` by an exec."""
        image = self._image(event, ids, number, event.boot_time, before.forked_as, before.lineage, {})
        image.init = before.init
        if MARK in before.attributes:
            image.attributes[MARK] = before.attributes[MARK]
        return image

    def add_arguments(self, event: Event) -> None:
        """Set the derived values of an exec that failed, which asked for arguments; without effect on others."""
        if event.kind.name == "process.exec_failed":
            event.values = (*event.values, *self._arguments.refused(event.facts or {}))

    def redact_again(self, process: Process) -> None:
        """Blot out what a rule forbids that is newer than the image; the rules it was made by find nothing more."""
        process.attributes |= self._arguments.redacted(process.attributes)

    def _image(
        self,
        event: Event,
        ids: Ids,
        number: int,
        began: int,
        forked_as: int,
        lineage: Attributes,
        inherited: Attributes,
    ) -> Process:
        facts = event.facts or {}
        path = facts.get("process.linux.cgroup")
        known: Attributes = {"process.pid": event.pid, **inherited}
        known |= {name: value for name, value in facts.items() if "." in name}
        known |= self._arguments.attributes(facts)
        known["process.creation.time"] = iso(event.start_time + event.time - event.boot_time)
        known["podwitness.process.entity_id"] = ids.entity_id
        known["process.interactive"] = "podwitness.process.tty.major" in facts
        return Process(
            pid=event.pid,
            start_time=event.start_time,
            exec_id=event.exec_id,
            number=number,
            started=began,
            entity_id=ids.entity_id,
            trace_id=ids.trace_id,
            span_id=ids.span_id,
            parent_span_id=ids.parent_span_id,
            lineage=lineage,
            cgroup=event.cgroup,
            attributes=_named(known) | lineage,
            resource=self._resources.of(event.cgroup, str(path) if path else None),
            forked_as=forked_as,
            init=facts.get("process.vpid") == 1,
            links=ids.links,
        )


def _named(known: Attributes) -> Attributes:
    """With the program's name; a path that was cut shows where, and what it ends with is no name then."""
    for name, flag in _PATHS.items():
        if flag in known and name in known:
            known[name] = f"…{known[name]}" if known[flag] == "start" else f"{known[name]}…"
    path = str(known.get("process.executable.path", ""))
    if path.endswith("…"):
        known["process.executable.name"] = known["podwitness.process.thread.name"]
    elif path:
        known["process.executable.name"] = path.rpartition("/")[2] or path
    return known


def _lineage(parent: Process | None) -> Attributes:
    """What a record says of those above it."""
    if parent is None:
        return {}
    thread = parent.attributes.get("podwitness.process.thread.name", "")
    path = str(parent.attributes.get("process.executable.path", f"[{thread}]"))
    above = texts(parent.lineage, "podwitness.process.ancestors")
    ancestors = (path, *above[: ANCESTORS - 1])
    return dict(zip(LINEAGE, (parent.pid, parent.entity_id, path, ancestors), strict=True))


def whole(process: Process) -> Ids:
    """The ids of an image, for one that goes on in its name."""
    return Ids(process.entity_id, process.trace_id, process.span_id, process.parent_span_id, process.links)


def end_span(process: Process, event: Event, resource: Resource, own: Attributes) -> Span | None:
    """The span of an image that `event` ended; none for the first process of a container."""
    if process.init:
        return None
    offset = event.time - event.boot_time
    failed = bool(own) and own.get("process.exit.code") != 0
    if failed:
        reason = own.get("podwitness.process.exit.signal") or own.get("process.exit.code")
        own = own | {"error.type": str(reason)}
    return Span(
        process=process,
        resource=resource,
        name=str(process.attributes.get("process.executable.name", "unknown")),
        start=process.started + offset,
        end=event.time,
        parent_span_id=process.parent_span_id,
        attributes=own,
        failed=failed,
    )
