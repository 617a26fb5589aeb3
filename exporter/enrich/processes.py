"""The process table: who did it, exactly, also when pids are reused and when one process execs again.

Filled by the snapshot at start, then by fork, exec and exit as they are read. An image of a process is the triple
(pid, start time, self_exec_id): an event before an exec is never given to the program after it. The agent calls
`seed` once,
then `apply` for each event in the ring's order; it sets `event.process` and `event.resource` and gives the span of an
image whose life has ended. Bounded: beyond `max_processes` the least recently changed image goes.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from exporter import config
from exporter.enrich.arguments import Arguments
from exporter.enrich.resources import Resources
from exporter.enrich.traces import Traces
from exporter.model import Attributes, Event, Process, Span, Value
from exporter.probes.times import iso
from exporter.telemetry import Ledger

Redact = Callable[[tuple[str, ...]], tuple[str, ...]]
Key = tuple[int, int, int]

ANCESTORS = 8
"""How many ancestors a record names, nearest first."""
_FORK, _EXEC, _EXIT = "process.fork", "process.exec", "process.exit"
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


class ProcessTable:
    """Every process image that is alive, and those whose last events may still be on their way."""

    def __init__(
        self, traces: Traces, resources: Resources, redact: Redact, settings: config.Process, ledger: Ledger
    ) -> None:
        """`redact` is applied to arguments before anything of them is kept."""
        self._traces, self._resources, self._ledger = traces, resources, ledger
        self._arguments = Arguments(redact, settings.arguments)
        self._capacity = settings.max_processes
        self._images: OrderedDict[Key, Process] = OrderedDict()
        self._current: dict[int, Process] = {}  # by pid: its newest image
        self._ended: list[Process] = []  # since the last `forget`
        self._passed: list[Process] = []  # before it
        self._apply = {_FORK: self._fork, _EXEC: self._exec, _EXIT: self._exit}

    def __len__(self) -> int:
        """Images held now."""
        return len(self._images)

    @property
    def pending(self) -> bool:
        """Whether `forget` has something to do."""
        return bool(self._ended or self._passed)

    def seed(self, snapshot: Iterable[Event]) -> None:
        """Take in the processes that were there before; what the probes already told of is newer and stays."""
        for event in sorted(snapshot, key=lambda seen: seen.start_time):
            if (event.pid, event.start_time, event.exec_id) not in self._images:
                event.process = self._add(event, self._parent(event), began=event.start_time)

    def apply(self, event: Event) -> Span | None:
        """Set the event's process and resource; the span of the image that ended with this event, if one did."""
        change = self._apply.get(event.kind.name)
        if change:
            span = change(event)
        else:
            span = None
            event.process = self._images.get((event.pid, event.start_time, event.exec_id)) or self._unknown(event)
        event.resource = self._resources.of(event.cgroup, None)
        return span

    def forget(self) -> None:
        """Drop the images that ended before the last call: by now both rings were read past their end."""
        for process in self._passed:
            self._drop(process)
        self._passed, self._ended = self._ended, []

    def _fork(self, event: Event) -> None:
        event.process = self._add(event, self._parent(event), began=event.boot_time)

    def _exec(self, event: Event) -> Span | None:
        before = self._current.get(event.pid)
        if before is not None and before.start_time != event.start_time:
            before = None  # the pid was reused and its fork was lost
        parent = before.parent if before else self._parent(event)
        event.process = self._add(event, parent, began=event.boot_time, before=before)
        if before is None or before.number == event.process.number:
            if before:
                self._drop(before)  # the fork and its first exec are one image to the reader
            return None
        self._end(before, event.boot_time)
        return self._span(before, event, {}, failed=False)

    def _exit(self, event: Event) -> Span | None:
        process = self._images.get((event.pid, event.start_time, event.exec_id)) or self._unknown(event)
        event.process = process
        event.values = (*event.values, iso(event.time), event.boot_time - process.started)
        self._end(process, event.boot_time)
        if process.init:
            return None
        own = {name: value for name, value in zip(event.kind.own, event.values, strict=True) if value is not None}
        failed = own.get("process.exit.code", -1) != 0
        return self._span(process, event, own, failed=failed)

    def _span(self, process: Process, event: Event, own: Attributes, *, failed: bool) -> Span:
        offset = event.time - event.boot_time
        parent = process.parent
        joined = parent is not None and parent.trace_id == process.trace_id
        if failed:
            own = own | {"error.type": str(own.get("podwitness.process.exit.signal") or own.get("process.exit.code"))}
        return Span(
            process=process,
            resource=self._resources.of(process.cgroup, None),
            name=str(process.attributes.get("process.executable.name", "unknown")),
            start=process.started + offset,
            end=event.time,
            parent_span_id=parent.span_id if parent and joined else b"",
            attributes=own,
            failed=failed,
        )

    def _add(self, event: Event, parent: Process | None, *, began: int, before: Process | None = None) -> Process:
        facts = event.facts or {}
        number = max(0, int(facts.get("exec_count", 0)) - 1)  # type: ignore[arg-type]
        if before is not None and before.number == number:
            ids = (before.entity_id, before.trace_id, before.span_id, before.links)
        else:
            ids = self._traces.identify(event.pid, event.start_time, number, parent, began)
        entity_id, trace_id, span_id, links = ids
        path = facts.get("process.linux.cgroup")
        process = Process(
            pid=event.pid,
            start_time=event.start_time,
            exec_id=event.exec_id,
            number=number,
            started=began,
            entity_id=entity_id,
            trace_id=trace_id,
            span_id=span_id,
            parent=parent,
            cgroup=event.cgroup,
            attributes=self._attributes(event, facts, parent, entity_id),
            resource=self._resources.of(event.cgroup, str(path) if path else None),
            init=facts.get("process.vpid") == 1,
            links=links,
        )
        self._images[self._key(process)] = process
        self._current[process.pid] = process
        self._bound()
        return process

    def _attributes(self, event: Event, facts: dict[str, Value], parent: Process | None, entity_id: str) -> Attributes:
        known: Attributes = {"process.pid": event.pid}
        if parent is not None and event.kind.name == _FORK:
            known |= {name: parent.attributes[name] for name in _INHERITED if name in parent.attributes}
        known |= {name: value for name, value in facts.items() if "." in name}
        known |= self._arguments.attributes(facts)
        known["process.creation.time"] = iso(event.start_time + event.time - event.boot_time)
        known["podwitness.process.entity_id"] = entity_id
        known["process.interactive"] = "podwitness.process.tty.major" in facts
        path = known.get("process.executable.path")
        if path:
            known["process.executable.name"] = str(path).rpartition("/")[2] or str(path)
        return known | _lineage(parent)

    def _parent(self, event: Event) -> Process | None:
        facts = event.facts or {}
        pid, start = facts.get("process.parent_pid"), facts.get("parent_start_time")
        image = self._images.get((pid, start, facts.get("parent_exec_id")))  # type: ignore[arg-type]
        newest = self._current.get(pid)  # type: ignore[arg-type]
        return image or (newest if newest and newest.start_time == start else None)

    def _unknown(self, event: Event) -> Process:
        """An image nobody told us of (its fork and exec were lost): what the event itself says, counted."""
        self._ledger.note("process.unknown")
        return self._add(event, None, began=event.start_time)

    def _end(self, process: Process, at: int) -> None:
        process.exited = at
        self._ended.append(process)

    def _drop(self, process: Process) -> None:
        self._images.pop(self._key(process), None)
        if self._current.get(process.pid) is process:
            del self._current[process.pid]

    def _bound(self) -> None:
        while len(self._images) > self._capacity:
            self._drop(next(iter(self._images.values())))
            self._ledger.note("process.evicted")

    @staticmethod
    def _key(process: Process) -> Key:
        return process.pid, process.start_time, process.exec_id


def _lineage(parent: Process | None) -> Attributes:
    """What a record says of those above it."""
    if parent is None:
        return {}
    lineage: Attributes = {"podwitness.process.parent.entity_id": parent.entity_id}
    paths: list[str] = []
    above: Process | None = parent
    while above is not None and len(paths) < ANCESTORS:
        path = above.attributes.get("process.executable.path")
        paths.append(str(path) if path else f"[{above.attributes.get('podwitness.process.thread.name', '')}]")
        above = above.parent
    lineage["podwitness.process.parent.executable.path"] = paths[0]
    lineage["podwitness.process.ancestors"] = tuple(paths)
    return lineage
