"""Our BPF objects in the kernel: loaded, attached, read. The real edge; its stand-in is `recording.py`.

`Kernel.open` attaches the probes (`attached.py`), or goes on with those that are pinned; then `snapshot` tells of the
processes that were there before and `read` gives what has happened since. `acknowledge` gives the room in the rings
back, when the events are safe. `generations.py` reads, `persistence.py` pins, `losses.py` counts.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from exporter import config
from exporter.errors import KernelError
from exporter.model import RawSample
from exporter.source.attached import Attached, Cgroups
from exporter.source.bell import Bell
from exporter.source.btf import Types
from exporter.source.clock import BootClock, boot_id
from exporter.source.destinations import Destinations
from exporter.source.generations import RINGS
from exporter.source.hooks import Probe, told
from exporter.source.losses import GENERATION_REMOVED, Losses, Lost, Tally, boot_now, recursion
from exporter.source.objects import Asked, objects_directory
from exporter.source.rings import RingReader
from exporter.source.tasks import Seen

__all__ = ["RINGS", "Asked", "Cgroups", "Kernel", "Lost", "Seen", "objects_directory"]

BTF = Path("/sys/kernel/btf/vmlinux")


class Kernel:
    """The probes in the running kernel.

    `types` are those of the programs that run now, by program; `resumed` says that pinned ones had been collecting
    before us, so that nothing was missed since the last agent but what `losses` tells.
    """

    def __init__(self, attached: Attached, settings: config.Kernel) -> None:
        """Use `Kernel.open`."""
        self._attached, self.types, self.resumed = attached, attached.objects.types, attached.resumed
        self._clock = BootClock()
        self.boot_id = boot_id(Path(settings.proc_root))
        self._by_ring = {ring.ring_id: one.types for one in attached.generations() for ring in one.rings}
        self._losses = Losses(0 if self.resumed else boot_now())
        self._bell = Bell(attached.current.reader, attached.current.rings, settings.poll_milliseconds / 1000)

    @classmethod
    def open(
        cls,
        settings: config.Kernel,
        cgroups: Cgroups,
        asked: Asked,
        directory: Path | None = None,
        keep: Path | None = None,
    ) -> "Kernel":
        """Load and attach what sees what is `asked` for, or go on with what is pinned, as `settings.persist` says.

        `keep` is a directory of the agent's own on disk, for the objects of pinned programs. Without it nothing is
        pinned whatever the settings are: a recorder works beside an agent.

        Raises:
            KernelError: no BTF, no right to load, an object missing; kinds that cannot be seen here and have to be;
                pins that cannot be had.
        """
        if not BTF.exists():
            raise KernelError(
                "the kernel has no type information",
                where=str(BTF),
                hint="it needs CONFIG_DEBUG_INFO_BTF=y, Linux 5.15 or newer",
            )
        return cls(Attached(settings, cgroups, asked, directory or objects_directory(), keep), settings)

    @property
    def probes(self) -> tuple[Probe, ...]:
        """How each event type is seen that is looked at, in words."""
        told_of = self._attached.told
        return tuple(one for one in told(self._attached.plan, self._attached.objects.sections) if one.type in told_of)

    @property
    def destinations(self) -> Destinations:
        """What each process did with each remote end; nothing where `observe.network.metrics` is off."""
        return self._attached.destinations

    def program_ids(self) -> dict[str, int]:
        """The kernel's ids of the programs that stand at the hooks, by name."""
        return self._attached.program_ids()

    def renew(self) -> None:
        """Promise to read for ten more minutes; pinned probes stop by themselves when nobody does."""
        self._attached.renew()

    def shed(self, kinds: Collection[str]) -> None:
        """Leave out these kinds of event from now on, and no others; those of the ring lifecycle come all the same."""
        self._attached.current.reader.set("shed", sum({1 << self._attached.objects.number(kind) for kind in kinds}))

    def snapshot(self) -> list[Seen]:
        """The processes that exist now; call after `open`, so that nothing falls between this and `read`."""
        return self._attached.tasks.snapshot()

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
        if any(ring.has_more() for generation in self._attached.old for ring in generation.rings):
            return True
        self._attached.bursts.turn()
        self._attached.filters.turn()
        return self._bell.wait(pending=pending)

    def read(self) -> list[RawSample]:
        """What the rings of one generation hold: of the oldest that holds something."""
        for generation in self._attached.old:
            if samples := generation.read():
                return samples
        return self._attached.current.read()

    def rest(self) -> Iterator[list[RawSample]]:
        """Readings, until all is read that the rings hold now: a busy node never stops writing."""
        self._attached.bursts.flush()
        rings = self._rings()
        ends = [ring.written for ring in rings]
        while any(ring.cursor < end for ring, end in zip(rings, ends, strict=True)):
            before = [ring.cursor for ring in rings]
            yield self.read()
            if before == [ring.cursor for ring in rings]:
                return  # what comes next is still in the making

    def _rings(self) -> list[RingReader]:
        return [ring for generation in self._attached.generations() for ring in generation.rings]

    def positions(self) -> dict[int, int]:
        """Up to where each ring is read, by its id."""
        return {ring.ring_id: ring.cursor for ring in self._rings()}

    def written(self) -> dict[int, int]:
        """Up to where each ring is written now, by its id."""
        return {ring.ring_id: ring.written for ring in self._rings()}

    @property
    def sees_host(self) -> bool:
        """Whether the snapshot has every process of the node: not in a pid namespace of our own."""
        return self._attached.tasks.sees_host

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
        if self._attached.old and self._attached.persistence:
            self._attached.old = self._attached.persistence.forget(self._losses)

    def losses(self) -> list[Lost]:
        """What was lost since the last call; where a state was restored, since what that tells of."""
        now = boot_now()
        self._attached.current.reader.set("looked", now)  # before the counters' beginnings are taken
        return self._losses.news(self._tallies(), now)

    def _tallies(self) -> Iterator[Tally]:
        for generation in self._attached.generations():
            yield from generation.tallies()
        if self._attached.persistence:
            yield from self._attached.persistence.tallies()
        else:
            yield from recursion(self._attached.objects.program_fds())

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
        return max(generation.reader.get("looked") for generation in self._attached.generations())

    @property
    def unsaved(self) -> bool:
        """Whether records were sent whose numbers the spool does not know. Pinned: it outlives the agent."""
        return any(generation.reader.get("unsaved") for generation in self._attached.generations())

    @unsaved.setter
    def unsaved(self, is_unsaved: bool) -> None:
        self._attached.current.reader.set("unsaved", int(is_unsaved))
        for generation in self._attached.old if not is_unsaved else []:
            if generation.reader.get("unsaved"):  # those of earlier builds may not have it
                generation.reader.set("unsaved", 0)

    def close(self) -> None:
        """Unmap the rings; nothing stays in the kernel but what is pinned."""
        self._bell.close()
        self._attached.close()
