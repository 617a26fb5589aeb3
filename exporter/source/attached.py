"""What looks at the kernel for one agent: chosen, loaded and attached, or taken over from the agent before.

`programs.py` makes one `Attached` and reads what it gives. The order matters: the iterator makes the maps and tells who
we are; the rules are written; then the probes begin, which leave us out. What the kernel refuses to load is left out of
the plan, and all begins again.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from exporter import config, probes
from exporter.errors import KernelError
from exporter.model import Ring
from exporter.source import bursts, descriptors
from exporter.source.bursts import Bursts
from exporter.source.destinations import Destinations
from exporter.source.features import Features
from exporter.source.filters import Filters
from exporter.source.generations import CALLS, Generation
from exporter.source.hooks import Plan, choose
from exporter.source.kept import Kept
from exporter.source.losses import boot_now
from exporter.source.objects import Asked, LoadError, Objects, unfilled
from exporter.source.persistence import Persistence
from exporter.source.pins import DISPATCH
from exporter.source.tasks import Tasks
from exporter.telemetry import log

LEASE = 600 * 10**9
"""Pinned probes stop this long after the last `renew`, in ns."""


class Cgroups(NamedTuple):
    """What the probes must know of cgroups: the tree that names containers, which of its paths are one, where it is."""

    hierarchy: str
    is_container: Callable[[str], bool]
    mount: Path = Path("/sys/fs/cgroup")


class Attached:
    """The probes, while they are ours. `old` are generations of an earlier build, to be read first."""

    def __init__(
        self, settings: config.Kernel, cgroups: Cgroups, asked: Asked, directory: Path, keep: Path | None
    ) -> None:
        """As `Kernel.open`."""
        self._settings, self._cgroups, self._asked = settings, cgroups, asked
        self._directory, self._keep = directory, keep
        self.faults = dict[str, str]()  # programs that did not load, and why
        while not self._opens():
            pass

    def _opens(self) -> bool:
        """Whether all programs of the plan run; if not, it is another plan the next time."""
        sizes: dict[Ring, int] = {
            "lifecycle": self._settings.lifecycle_ring_bytes,
            "activity": self._settings.activity_ring_bytes,
        }
        self.resumed = False
        with ExitStack() as opened:
            self.objects = Objects(self._directory, self._asked, self._cgroups.hierarchy, sizes)
            opened.callback(self.objects.close)
            try:
                self._start(opened)
            except LoadError as error:
                if not error.reasons.keys() - self.faults.keys():
                    raise
                self.faults |= error.reasons
                return False
            self._opened = opened.pop_all()
        return True

    def _start(self, opened: ExitStack) -> None:
        """The iterator first: it makes the maps and tells who we are; then the probes, which leave us out."""
        self.plan = self._choose()
        self.persistence = self._open_pins(opened)
        maps = self.persistence.maps() if self.persistence else {}
        is_ours = bool(maps)
        if is_ours and self.persistence:
            self._check_pinned(self.persistence, maps)
        try:
            self.objects.load_snapshot(maps)
        finally:
            descriptors.close_all(maps)
        self.current = Generation(self.objects.types, self.objects.layouts, self.objects.maps())
        opened.callback(self.current.close)
        if self.persistence and self.persistence.unsaved(self.objects.layouts):
            self.current.reader.set("unsaved", 1)  # before the switch: the others' words go with their pins
        self.tasks = Tasks(self.objects.snapshot, self.objects.types, Path(self._settings.proc_root))
        self._begin()
        self.filters = Filters(self._asked.observe, self._cgroups.mount, self.objects.maps())
        self.filters.write()
        self.bursts = Bursts(
            self._directory / f"{bursts.OBJECT}.bpf.o",
            self.objects.maps(),
            self.current.reader,
            self._asked.observe.aggregate.milliseconds,
        )
        opened.callback(self.bursts.close)
        self.destinations = Destinations(self.objects.maps(), self.objects.layouts, self._asked.observe.network)
        if not is_ours:
            self._load_programs()
        self.old = self.persistence.begin(self.objects.layouts) if self.persistence else []
        for generation in self.old:
            if generation.destinations >= 0:
                self.destinations.inherit(generation.destinations)

    def _choose(self) -> Plan:
        """Raises KernelError where a kind cannot be seen that has to be."""
        sections, features = self.objects.sections, Features(self._directory / "feature.bpf.o")

        def obstacle(program: str) -> str:
            fault = self.objects.faults.get(program) or self.faults.get(program)
            return fault or features.obstacle(sections[program])

        plan = choose(self._asked.followed, obstacle)
        counted = frozenset(self._asked.followed) - frozenset(self._asked.kinds)
        needed = self._asked.followed if self._settings.strict else (*probes.LIFE, *counted)
        for choice in plan.unseen:
            if choice.kind in needed:
                hint = (
                    ""
                    if choice.kind in probes.LIFE
                    else "leave it out (observe.types.exclude), or kernel.strict: false"
                )
                raise KernelError(f"cannot be seen here: {choice.reason}", where=choice.kind.name, hint=hint)
        return plan

    def _check_pinned(self, persistence: Persistence, maps: Mapping[str, int]) -> None:
        """What did not load when the pinned generation began does not run now either."""
        empty = persistence.empty_hooks() + unfilled(maps[CALLS], self.plan)
        if empty:
            reason = "did not load when the pinned programs began (`podwitness unload` first has it tried again)"
            raise LoadError(dict.fromkeys(empty, reason))

    def _open_pins(self, opened: ExitStack) -> Persistence | None:
        path = Path(self._settings.pin_path)
        if not self._keep:
            return None
        if not self._settings.persist:
            if path.exists():
                log.warning("programs of an earlier agent are pinned in %s: `podwitness unload` removes them", path)
            return None
        objects = self.objects
        kept = Kept(self._keep, objects.identity(), objects.paths())
        found = Persistence(path, kept, self._directory / f"{DISPATCH}.bpf.o", self.plan.attached)
        opened.callback(found.close)
        self.resumed = found.resumed
        return found

    def _load_programs(self) -> None:
        objects = self.objects
        objects.load_programs(self.plan)
        if self.persistence:
            self.persistence.switch(objects.maps(), objects.program_fds(), objects.layouts)
        else:
            objects.attach(self.plan.attached)

    def _begin(self) -> None:
        """Tell the probes who reads: our process id on the host, and our cgroup where that is a container's."""
        us, reader = self.tasks.ourselves(), self.current.reader
        own_cgroup = self._cgroups.is_container(str((us.facts or {}).get("process.linux.cgroup", "/")))
        reader.set("agent_tgid", 0)
        reader.set("agent_start", us.start_time)
        reader.set("agent_cgroup", us.cgroup if own_cgroup else 0)
        reader.set("agent_tgid", us.pid)  # last: the others are its own by now
        reader.set("shed", 0)
        self.renew()
        if own_cgroup:
            log.info("what happens in the agent's own container is not told")

    def renew(self) -> None:
        """Promise to read for ten more minutes; pinned probes stop by themselves when nobody does."""
        if self.persistence:
            self.current.reader.set("lease_until", boot_now() + LEASE)
            self.persistence.keep()

    @property
    def told(self) -> frozenset[str]:
        """The event types that are told, not only counted."""
        return frozenset(kind.name for kind in self._asked.kinds)

    def program_ids(self) -> dict[str, int]:
        """The kernel's ids of the programs that stand at the hooks, by name."""
        fds = self.persistence.program_fds() if self.persistence else self.objects.program_fds()
        return {name: descriptors.program_id(fd) for name, fd in fds.items() if name in self.plan.attached}

    def generations(self) -> tuple[Generation, ...]:
        """All that may hold something, the oldest first."""
        return (*self.old, self.current)

    def close(self) -> None:
        """Detach what is not pinned. Safe to call twice."""
        self._opened.close()
