"""The process table: who did it, exactly, also when pids are reused and when one process execs again.

Filled by the snapshot at start, then by fork, exec and exit as they are read. An image of a process is the triple
(pid, start time, self_exec_id): an event before an exec is never given to the program after it. The agent calls `seed`
once, then `apply` for each event in the ring's order; it sets `event.process` and `event.resource` and gives the span
of an image whose life has ended. Bounded in images and in bytes of arguments; `image.py` makes what is kept here.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from exporter import config
from exporter.enrich.facts import number, texts
from exporter.enrich.image import Images, end_span, shorten_arguments, whole
from exporter.enrich.resources import Resources
from exporter.enrich.traces import Traces
from exporter.model import Event, Process, Span
from exporter.probes.times import iso
from exporter.telemetry import Ledger

Redact = Callable[[tuple[str, ...]], tuple[str, ...]]
Key = tuple[int, int, int]

ARGUMENT_BYTES = 16 * 1024 * 1024
"""Of all images together; beyond it the oldest long arguments are shortened, once their exec has been told."""
LONG_ARGUMENTS = 1024


class ProcessTable:
    """Every process image that is alive, and those whose last events may still be on their way."""

    def __init__(
        self, traces: Traces, resources: Resources, redact: Redact, settings: config.Process, ledger: Ledger
    ) -> None:
        """`redact` is applied to arguments before anything of them is kept."""
        self._traces, self._resources, self._ledger = traces, resources, ledger
        self._make = Images(resources, redact, settings.arguments)
        self._capacity = settings.max_processes
        self._images: OrderedDict[Key, Process] = OrderedDict()  # least recently used first
        self._current: dict[int, Process] = {}  # by pid: its newest image
        self._long: OrderedDict[Key, int] = OrderedDict()  # images with long arguments, and their bytes
        self._long_bytes = 0
        self._ended: list[Process] = []  # since the last `forget`
        self._passed: list[Process] = []  # before it
        self._change = {"process.fork": self._fork, "process.exec": self._exec, "process.exit": self._exit}

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
                event.process = self._begin(event, began=event.start_time)

    def apply(self, event: Event) -> Span | None:
        """Set the event's process and resource; the span of the image that ended with this event, if one did."""
        change = self._change.get(event.kind.name)
        span = None
        if change:
            span = change(event)
        else:
            event.process = self._images.get((event.pid, event.start_time, event.exec_id)) or self._missed(event)
        event.resource = self._resources.of(event.cgroup, None)
        return span

    def forget(self) -> None:
        """Drop the images that ended before the last call: by now both rings were read past their end."""
        for process in self._passed:
            self._drop(process)
        self._passed, self._ended = self._ended, []

    def _fork(self, event: Event) -> None:
        event.process = self._begin(event, began=event.boot_time)

    def _exec(self, event: Event) -> Span | None:
        before = self._current.get(event.pid)
        if before is None or before.start_time != event.start_time:
            event.process = self._begin(event, began=event.boot_time)
            return None
        nth = max(0, event.exec_id - before.forked_as - 1)
        if nth == before.number:  # the fork and its first exec are one image to the reader
            event.process = self._keep(self._make.after(event, before, whole(before), nth))
            self._drop(before)
            return None
        event.process = self._keep(self._make.after(event, before, self._traces.next_image(before, nth), nth))
        self._end(before, event.boot_time)
        return end_span(before, event, self._resources.of(before.cgroup, None), {})

    def _exit(self, event: Event) -> Span | None:
        process = self._images.get((event.pid, event.start_time, event.exec_id)) or self._missed(event)
        event.process = process
        event.values = (*event.values, iso(event.time), event.boot_time - process.started)
        self._end(process, event.boot_time)
        own = {name: value for name, value in zip(event.kind.own, event.values, strict=True) if value is not None}
        return end_span(process, event, self._resources.of(process.cgroup, None), own)

    def _begin(self, event: Event, *, began: int) -> Process:
        """The first image that we know of a process, under the one that started it."""
        old = self._current.get(event.pid)
        if old is not None and old.start_time != event.start_time:
            self._drop(old)  # the pid was reused, and its end was lost
        parent = self._parent(event)
        executions = number(event.facts or {}, "exec_count")
        nth = max(0, executions - 1)
        ids = self._traces.identify(event.pid, event.start_time, nth, parent, began)
        return self._keep(self._make.first(event, parent, ids, nth, began, event.exec_id - executions))

    def _missed(self, event: Event) -> Process:
        """An image whose exec nobody told of: what is known of the process says so. Else what the event itself says."""
        known = self._current.get(event.pid)
        if known is None or known.start_time != event.start_time:
            self._ledger.note("process.unknown")
            return self._begin(event, began=event.start_time)
        self._ledger.note("process.exec_missed")
        self._drop(known)
        said = {**known.attributes, "podwitness.process.exec_missed": True}
        return self._keep(msgspec.structs.replace(known, exec_id=event.exec_id, attributes=said, fragments={}))

    def _parent(self, event: Event) -> Process | None:
        """The image that started the event's process: at a fork the cloner, else the kernel's parent."""
        facts = event.facts or {}
        who = ("cloner", "cloner_start_time", "cloner_exec_id")
        if "cloner" not in facts:
            who = ("process.parent_pid", "parent_start_time", "parent_exec_id")
        pid, start, image = (number(facts, name, -1) for name in who)
        newest = self._current.get(pid)
        found = self._images.get((pid, start, image)) or (newest if newest and newest.start_time == start else None)
        if found:
            self._images.move_to_end(_key(found))
        return found

    def _keep(self, process: Process) -> Process:
        key = _key(process)
        self._images[key] = process
        self._current[process.pid] = process
        self._keep_arguments(key, process)
        while len(self._images) > self._capacity:
            self._drop(next(iter(self._images.values())))
            self._ledger.note("process.evicted")
        return process

    def _keep_arguments(self, key: Key, process: Process) -> None:
        size = sum(map(len, texts(process.attributes, "process.command_args")))
        if size <= LONG_ARGUMENTS:
            return
        self._long_bytes += size - self._long.get(key, 0)
        self._long[key] = size
        while self._long_bytes > ARGUMENT_BYTES:
            oldest, size = self._long.popitem(last=False)
            self._long_bytes -= size
            shorten_arguments(self._images[oldest], LONG_ARGUMENTS)
            self._ledger.note("process.arguments_shortened")

    def _end(self, process: Process, at: int) -> None:
        process.exited = at
        self._ended.append(process)

    def _drop(self, process: Process) -> None:
        key = _key(process)
        if self._images.get(key) is process:
            del self._images[key]
            self._long_bytes -= self._long.pop(key, 0)
        if self._current.get(process.pid) is process:
            del self._current[process.pid]


def _key(process: Process) -> Key:
    return process.pid, process.start_time, process.exec_id
