"""The process table: who did it, exactly, also when pids are reused and when one process execs again.

Filled by the snapshot at start, then by fork, exec and exit as they are read. An image of a process is the triple
(pid, start time, self_exec_id): an event before an exec is never given to the program after it. The agent calls `seed`
once, then `apply` for each event in the ring's order; it sets `event.process` and `event.resource` and gives the span
of an image whose life has ended. Bounded in images and in bytes of arguments; `image.py` makes what is kept here,
`long_arguments.py` shortens it. A restarted agent gives `restore` what `journal` gave the one before it, and says by
`settle` that it has caught up.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set

import msgspec

from exporter import config
from exporter.enrich import namespaces
from exporter.enrich.credentials import Credentials
from exporter.enrich.departed import Departed
from exporter.enrich.facts import number
from exporter.enrich.image import Images, end_span, whole
from exporter.enrich.init_tree import MARK, in_init_tree
from exporter.enrich.journal import Journal, Key
from exporter.enrich.long_arguments import LongArguments
from exporter.enrich.resources import Resources
from exporter.enrich.restored import read
from exporter.enrich.targets import Targets
from exporter.enrich.traces import Traces
from exporter.model import Attributes, Event, Process, Span
from exporter.probes.times import iso
from exporter.telemetry import Ledger, log

Redact = Callable[[tuple[str, ...]], tuple[str, ...]]


class ProcessTable:
    """Every process image that is alive, and those whose last events may still be on their way."""

    def __init__(
        self,
        traces: Traces,
        resources: Resources,
        redact: Redact,
        settings: config.Process,
        ledger: Ledger,
        linger: int = 0,
    ) -> None:
        """`redact` is applied to arguments before anything of them is kept; `linger` as in `Departed`."""
        self._traces, self._resources, self._ledger = traces, resources, ledger
        self._make = Images(resources, redact, settings.arguments)
        self._capacity = self._most = settings.max_processes
        self._images: OrderedDict[Key, Process] = OrderedDict()  # least recently used first
        self._current: dict[int, Process] = {}  # by pid: its newest image
        self._departed = Departed(linger)
        self._journal = Journal(traces, resources)
        self._arguments = LongArguments(self._images, self._journal, ledger)
        self._credentials = Credentials(self._keep)
        self._targets = Targets(self._images, resources)
        self._restored: set[Key] = set()  # until `settle`
        self._waiting: dict[tuple[int, int], Event] = {}  # of the snapshot, until `settle`, by pid and start time
        self.images: Mapping[Key, Process] = self._images  # for who looks without an event
        self.left: Callable[[Process], None] = lambda _process: None  # is told of each image that is let go
        self._change = {"process.fork": self._fork, "process.exec": self._exec, "process.exit": self._exit}

    def __len__(self) -> int:
        """Images held now."""
        return len(self._images)

    @property
    def pending(self) -> bool:
        """Whether `forget` has something to do."""
        return self._departed.pending or self._credentials.pending

    def journal(self, *, whole: bool = False) -> tuple[bytes, bool]:
        """What the next agent must know that changed since the last call, once a commit; b"" for nothing.

        The second says that it is a checkpoint, which replaces all earlier entries; `whole` asks for one.
        """
        return self._journal.entry(self._images, self._current, whole=whole)

    def restore(self, entries: Sequence[bytes]) -> None:
        """Go on from the journal of the agent that ran before in this boot; call it before `seed`."""
        known = read(entries)
        if known.damaged:
            self._ledger.note("journal.damaged", known.damaged)
            log.warning(
                "%d parts of the journal cannot be read; processes may be told without parents and arguments",
                known.damaged,
            )
        self._resources.former.restore(known.resources)
        self._traces.restore(known.traces)
        for process in known.images.values():
            self._make.redact_again(process)
            self._keep(process)
            if process.exited:
                self._departed.end(process)
        newest = {pid: self._images.get(key) for pid, key in known.current.items()}
        self._current = {pid: process for pid, process in newest.items() if process}
        self._restored = set(self._images)

    def seed(self, snapshot: Iterable[Event]) -> None:
        """Take in the processes that were there before; what the probes already told of is newer and stays.

        After `restore` the rings may hold what made them, with the images between: then the snapshot waits.
        """
        for event in sorted(snapshot, key=lambda seen: seen.start_time):
            if (event.pid, event.start_time, event.exec_id) in self._images:
                continue
            if self._restored:
                self._waiting[event.pid, event.start_time] = event
            else:
                event.process = self._begin(event, began=event.start_time)

    def settle(self, alive: Set[tuple[int, int]] | None) -> None:
        """All is read that was in the rings when the snapshot was made; call it once after `restore`.

        `alive` are pid and start time of all processes in the snapshot: what was restored and is not among them has
        ended unheard. None where the snapshot cannot see all processes.
        """
        while self._waiting:
            self._summon(*next(iter(self._waiting)))
        for process in [self._images[key] for key in self._restored if key in self._images]:
            lives = alive is None or (process.pid, process.start_time) in alive
            if not process.exited and not (lives and self._current.get(process.pid) is process):
                self._drop(process)
        self._restored = set()
        self._resources.former.settle({process.cgroup for process in self._images.values()})

    def apply(self, event: Event) -> Span | None:
        """Set the event's process and resource; the span of the image that ended with this event, if one did."""
        self._departed.see(event.boot_time)
        change = self._change.get(event.kind.name)
        span = change(event) if change else None
        if not change:
            process = self._credentials.before(event, self._image_of(event))
            namespaces.complete(event, process, self._resources.of(event.cgroup, None))
            event.process = self._credentials.of(event, process)
            self._targets.add(event)
            self._make.add_arguments(event)
        event.resource = self._resources.of(event.cgroup, None)
        return span

    def shorten(self, longest: int | None) -> None:
        """Keep so many characters of the arguments of each image, new ones too, once their exec is told; None: all."""
        self._arguments.limit(longest)

    def bound(self, share: float) -> None:
        """Keep only this share of the images that the settings allow, the most recently used."""
        self._capacity = max(1, int(self._most * share))
        self._evict()

    def clear_fragments(self) -> None:
        """Let go of what encoders keep with the images; they make it again where it is wanted."""
        for process in self._images.values():
            process.fragments.clear()
            process.resource.fragments.clear()

    def forget(self) -> None:
        """Drop the images that ended before the last call: by now both rings were read past their end."""
        for process in self._departed.leave():
            self._drop(process)
        self._arguments.told()
        self._credentials.forget()

    def _image_of(self, event: Event) -> Process:
        return self._images.get((event.pid, event.start_time, event.exec_id)) or self._missed(event)

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
        process = self._image_of(event)
        self._waiting.pop((event.pid, event.start_time), None)
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
        process = self._make.first(event, parent, ids, nth, began, event.exec_id - executions)
        self._mark(process, parent, event.facts or {})
        return self._keep(process)

    def _mark(self, process: Process, parent: Process | None, facts: Attributes) -> None:
        """Say whether a new process came into its container from outside."""
        leader = None if "cloner" in facts else self._current.get(number(facts, "process.session_leader.pid", -1))
        known = [image.attributes if image else None for image in (parent, leader)]
        mark = in_init_tree(process.attributes, *known)
        if mark is not None:
            process.attributes[MARK] = mark

    def _missed(self, event: Event) -> Process:
        """An image whose exec nobody told of: what is known of the process says so. Else what the event itself says."""
        known = self._current.get(event.pid)
        seen = self._waiting.get((event.pid, event.start_time))
        if seen and (known is None or known.start_time != event.start_time or seen.exec_id == event.exec_id):
            self._summon(event.pid, event.start_time)
            known = self._current.get(event.pid)
            if found := self._images.get((event.pid, event.start_time, event.exec_id)):
                return found
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
        if (pid, start) in self._waiting and (newest is None or newest.start_time != start):
            self._summon(pid, start)
            newest = self._current.get(pid)
        found = self._images.get((pid, start, image)) or (newest if newest and newest.start_time == start else None)
        if found:
            self._images.move_to_end(_key(found))
            self._journal.move(_key(found))
        return found

    def _summon(self, pid: int, start_time: int) -> None:
        """What the snapshot says of a process nobody else has told of, and of those above it that are as unknown."""
        line: list[Event] = []
        while event := self._waiting.pop((pid, start_time), None):
            known = self._current.get(pid)
            if known and (known.start_time, known.exec_id) >= (start_time, event.exec_id):
                break
            line.append(event)
            pid, start_time = (
                number(event.facts or {}, name, -1) for name in ("process.parent_pid", "parent_start_time")
            )
        for event in reversed(line):  # no recursion: a line of processes can be long
            if (known := self._current.get(event.pid)) and known.start_time == event.start_time:
                self._drop(known)  # its exec was lost
            event.process = self._begin(event, began=event.start_time)

    def _keep(self, process: Process) -> Process:
        key = _key(process)
        if process.pid in self._current:
            self._journal.mark(_key(self._current[process.pid]))
        if key not in self._images:
            self._journal.move(key)
        self._images[key] = process
        self._current[process.pid] = process
        self._journal.write(key)
        self._arguments.keep(key, process)
        self._evict()
        return process

    def _evict(self) -> None:
        while len(self._images) > self._capacity:
            self._drop(next(iter(self._images.values())))
            self._ledger.note("process.evicted")

    def _end(self, process: Process, at: int) -> None:
        process.exited = at
        self._journal.mark(_key(process))
        self._departed.end(process)

    def _drop(self, process: Process) -> None:
        key = _key(process)
        self._journal.mark(key)
        if self._images.get(key) is process:
            del self._images[key]
            self._arguments.drop(key)
            self.left(process)
        if self._current.get(process.pid) is process:
            del self._current[process.pid]


def _key(process: Process) -> Key:
    return process.pid, process.start_time, process.exec_id
