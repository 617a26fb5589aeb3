"""Our BPF objects in the kernel: loaded, attached, read. The real edge; its stand-in is `recording.py`.

`Kernel.open` loads the objects and attaches the probes, or goes on with those that are pinned; then `snapshot` tells of
the processes that were there before and `read` gives what has happened since. `acknowledge` gives the room in the rings
back, when the events are safe. `generations.py` reads, `persistence.py` pins, `losses.py` counts.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from exporter import config
from exporter.errors import KernelError
from exporter.model import RawSample, Ring
from exporter.source import descriptors
from exporter.source.bell import Bell
from exporter.source.btf import Types
from exporter.source.clock import BootClock, boot_id
from exporter.source.generations import RINGS, Generation
from exporter.source.kept import Kept
from exporter.source.losses import GENERATION_REMOVED, Losses, Lost, Tally, boot_now, recursion
from exporter.source.objects import Objects, objects_directory
from exporter.source.persistence import Persistence
from exporter.source.pins import DISPATCH
from exporter.source.rings import RingReader
from exporter.source.tasks import Seen, Tasks
from exporter.telemetry import log

__all__ = ["RINGS", "Cgroups", "Kernel", "Lost", "Seen", "objects_directory"]

BTF = Path("/sys/kernel/btf/vmlinux")
LEASE = 600 * 10**9
"""Pinned probes stop this long after the last `renew`, in ns."""


class Cgroups(NamedTuple):
    """What the probes must know of cgroups: the tree that names containers, and which of its paths are one."""

    hierarchy: str
    is_container: Callable[[str], bool]


class Kernel:
    """The probes in the running kernel.

    `types` are those of the programs that run now, by program; `resumed` says that pinned ones had been collecting
    before us, so that nothing was missed since the last agent but what `losses` tells.
    """

    def __init__(
        self,
        settings: config.Kernel,
        cgroups: Cgroups,
        programs: Iterable[str],
        directory: Path,
        keep: Path | None,
    ) -> None:
        """Use `Kernel.open`."""
        self._settings, self._directory = settings, directory
        self._is_container, self._keep = cgroups.is_container, keep
        self._clock = BootClock()
        self.boot_id = boot_id(Path(settings.proc_root))
        self.resumed = False
        sizes: dict[Ring, int] = {
            "lifecycle": settings.lifecycle_ring_bytes,
            "activity": settings.activity_ring_bytes,
        }
        with ExitStack() as opened:
            self._objects = Objects(directory, programs, cgroups.hierarchy, sizes)
            opened.callback(self._objects.close)
            self.types = self._objects.types
            self._start(opened)
            self._opened = opened.pop_all()

    @classmethod
    def open(
        cls,
        settings: config.Kernel,
        cgroups: Cgroups,
        programs: Iterable[str],
        directory: Path | None = None,
        keep: Path | None = None,
    ) -> "Kernel":
        """Load and attach the BPF objects named `programs`, or go on with the pinned ones, as `settings.persist` says.

        `keep` is a directory of the agent's own on disk, for the objects of pinned programs. Without it nothing is
        pinned whatever the settings are: a recorder works beside an agent.

        Raises:
            KernelError: no BTF, no right to load, an object missing or refused; pins that cannot be had.
        """
        if not BTF.exists():
            raise KernelError(
                "the kernel has no type information",
                where=str(BTF),
                hint="it needs CONFIG_DEBUG_INFO_BTF=y, Linux 5.15 or newer",
            )
        return cls(settings, cgroups, programs, directory or objects_directory(), keep)

    def _start(self, opened: ExitStack) -> None:
        """The iterator first: it makes the maps and tells who we are; then the probes, which leave us out."""
        self._persistence = self._open_pins(opened)
        maps = self._persistence.maps() if self._persistence else {}
        is_ours = bool(maps)
        try:
            self._objects.load_snapshot(maps)
        finally:
            descriptors.close_all(maps)
        self._current = Generation(self.types, self._objects.layouts, self._objects.maps())
        opened.callback(self._current.close)
        if self._persistence and self._persistence.unsaved(self._objects.layouts):
            self._current.reader.set("unsaved", 1)  # before the switch: the others' words go with their pins
        self._tasks = Tasks(self._objects.snapshot, self.types, Path(self._settings.proc_root))
        self._begin()
        if not is_ours:
            self._load_programs()
        self._old = self._persistence.begin(self._objects.layouts) if self._persistence else []
        generations = (*self._old, self._current)
        self._by_ring = {ring.ring_id: generation.types for generation in generations for ring in generation.rings}
        self._losses = Losses(0 if self.resumed else boot_now())
        self._bell = Bell(self._current.reader, self._current.rings, self._settings.poll_milliseconds / 1000)
        opened.callback(self._bell.close)

    def _open_pins(self, opened: ExitStack) -> Persistence | None:
        path = Path(self._settings.pin_path)
        if not self._keep:
            return None
        if not self._settings.persist:
            if path.exists():
                log.warning("programs of an earlier agent are pinned in %s: `podwitness unload` removes them", path)
            return None
        objects = self._objects
        kept = Kept(self._keep, objects.identity(), objects.paths())
        found = Persistence(path, kept, self._directory / f"{DISPATCH}.bpf.o", objects.hooks())
        opened.callback(found.close)
        self.resumed = found.resumed
        return found

    def _load_programs(self) -> None:
        objects = self._objects
        objects.load_programs()
        if self._persistence:
            self._persistence.switch(objects.maps(), objects.program_fds(), objects.layouts)
        else:
            objects.attach()

    def _begin(self) -> None:
        """Tell the probes who reads: our process id on the host, and our cgroup where that is a container's."""
        us, reader = self._tasks.ourselves(), self._current.reader
        own_cgroup = self._is_container(str((us.facts or {}).get("process.linux.cgroup", "/")))
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
        if self._persistence:
            self._current.reader.set("lease_until", boot_now() + LEASE)
            self._persistence.keep()

    def shed(self, kinds: Collection[str]) -> None:
        """Leave out these kinds of event from now on, and no others; those of the ring lifecycle come all the same."""
        self._current.reader.set("shed", sum({1 << self._objects.number(kind) for kind in kinds}))

    def snapshot(self) -> list[Seen]:
        """The processes that exist now; call after `open`, so that nothing falls between this and `read`."""
        return self._tasks.snapshot()

    def offset(self) -> int:
        """Unix time minus boot time, in nanoseconds."""
        return self._clock.offset()

    def types_of(self, ring_id: int) -> Mapping[str, Types]:
        """The types of what is in a ring, by program; of programs of an earlier build they are not `types`."""
        return self._by_ring.get(ring_id, self.types)

    def wait(self, *, pending: bool = False, reading: bool = True) -> bool:
        """Until something may have happened, not for long if something is `pending`; whether there is more to read.

        Without `reading`, one poll interval, and there is not.
        """
        if not reading:
            self._bell.rest()
            return False
        if any(ring.has_more() for generation in self._old for ring in generation.rings):
            return True
        return self._bell.wait(pending=pending)

    def read(self) -> list[RawSample]:
        """What the rings of one generation hold: of the oldest that holds something."""
        for generation in self._old:
            if samples := generation.read():
                return samples
        return self._current.read()

    def rest(self) -> Iterator[list[RawSample]]:
        """Readings, until all is read that the rings hold now: a busy node never stops writing."""
        rings = self._rings()
        ends = [ring.written for ring in rings]
        while any(ring.cursor < end for ring, end in zip(rings, ends, strict=True)):
            before = [ring.cursor for ring in rings]
            yield self.read()
            if before == [ring.cursor for ring in rings]:
                return  # what comes next is still in the making

    def _rings(self) -> list[RingReader]:
        return [ring for generation in (*self._old, self._current) for ring in generation.rings]

    def positions(self) -> dict[int, int]:
        """Up to where each ring is read, by its id."""
        return {ring.ring_id: ring.cursor for ring in self._rings()}

    def written(self) -> dict[int, int]:
        """Up to where each ring is written now, by its id."""
        return {ring.ring_id: ring.written for ring in self._rings()}

    @property
    def sees_host(self) -> bool:
        """Whether the snapshot has every process of the node: not in a pid namespace of our own."""
        return self._tasks.sees_host

    def seek(self, positions: Mapping[int, int]) -> None:
        """Go on from positions that are safe already; of rings made since (or in another boot: ids repeat) none is."""
        for ring in self._rings() if self.resumed else []:
            if ring.ring_id in positions:
                ring.seek(positions[ring.ring_id])

    def acknowledge(self, positions: Mapping[int, int] | None = None, *, told: bool = True) -> None:
        """What was read is safe, up to `positions` (None: all of it); the kernel may reuse the room.

        With any of them the last `loss_state` is safe too, where it was `told`: not while the disk fails, whatever the
        sinks have settled. Generations stay until their losses are.
        """
        if told and positions != {}:
            self._losses.confirm()
        for ring in self._rings():
            if positions is None or ring.ring_id in positions:
                ring.acknowledge(None if positions is None else positions[ring.ring_id])
        if self._old and self._persistence:
            self._old = self._persistence.forget(self._losses)

    def losses(self) -> list[Lost]:
        """What was lost since the last call; where a state was restored, since what that tells of."""
        now = boot_now()
        self._current.reader.set("looked", now)  # before the counters' beginnings are taken
        return self._losses.news(self._tallies(), now)

    def _tallies(self) -> Iterator[Tally]:
        for generation in (*self._old, self._current):
            yield from generation.tallies()
        if self._persistence:
            yield from self._persistence.tallies()
        else:
            yield from recursion(self._objects.program_fds())

    def loss_state(self) -> bytes:
        """Which losses were told; belongs on disk beside the records that tell of them, for the next agent."""
        return self._losses.state()

    def restore_losses(self, state: bytes) -> None:
        """Do not tell again what the last agent told; without effect where its counters are gone."""
        if self.resumed:
            self._losses.restore(state, self._looked())

    def adopt_losses(self) -> int:
        """Take all that was counted until now as told, where nobody knows what the last agent told.

        Returns when that agent last looked, boot ns: what was lost since is lost uncounted. 0: nobody knows.
        """
        if not self.resumed:
            return 0
        looked = self._looked()
        self._losses.adopt([tally for tally in self._tallies() if tally.reason != GENERATION_REMOVED], boot_now())
        return looked

    def _looked(self) -> int:
        return max(generation.reader.get("looked") for generation in (*self._old, self._current))

    @property
    def unsaved(self) -> bool:
        """Whether records were sent whose numbers the spool does not know. Pinned: it outlives the agent."""
        return any(generation.reader.get("unsaved") for generation in (*self._old, self._current))

    @unsaved.setter
    def unsaved(self, is_unsaved: bool) -> None:
        self._current.reader.set("unsaved", int(is_unsaved))
        for generation in self._old if not is_unsaved else []:
            if generation.reader.get("unsaved"):  # those of earlier builds may not have it
                generation.reader.set("unsaved", 0)

    def close(self) -> None:
        """Unmap the rings; nothing stays in the kernel but what is pinned."""
        self._opened.close()
