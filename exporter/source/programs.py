"""Our BPF objects in the kernel: loaded, attached, read. The real edge; its stand-in is `recording.py`.

`Kernel.open` loads the objects and attaches the probes; then `snapshot` tells of the processes that were there
before and
`read` gives what has happened since. `acknowledge` gives the room in the rings back, when the events are safe.
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from exporter import config, probes
from exporter.errors import KernelError
from exporter.model import RawSample, Ring
from exporter.source import libbpf
from exporter.source.bell import Bell
from exporter.source.btf import Types
from exporter.source.clock import BootClock, boot_id
from exporter.source.decode import Decoder
from exporter.source.rings import RingReader
from exporter.telemetry import log

RINGS: tuple[Ring, ...] = ("lifecycle", "activity")
SNAPSHOT = "snapshot"
SHARED_MAPS = ("lifecycle", "activity", "counts", "reader")
BTF = Path("/sys/kernel/btf/vmlinux")
_READ_LIMIT = 4096  # samples of one ring at a time: bounds what is in memory between read and encode
_CMDLINE_BYTES = 16 * 1024  # as much of argv as an exec carries
_WAKE_BYTES = 64 * 1024  # written between two wake-ups, at most a quarter of the smallest ring
_LENGTH = struct.Struct("<Q")
_COUNTS = struct.Struct("<QQ")


class Cgroups(NamedTuple):
    """What the probes must know of cgroups: the tree that names containers, and which of its paths are one."""

    hierarchy: str
    is_container: Callable[[str], bool]


class Seen(NamedTuple):
    """A process of the snapshot: the iterator's record, and its arguments from /proc (None: none, or it is gone)."""

    sample: RawSample
    arguments: bytes | None


def objects_directory() -> Path:
    """Where the compiled programs are: beside the package in a checkout, else where the image puts them."""
    checkout = Path(__file__).resolve().parents[2] / "bpf"
    return checkout if checkout.is_dir() else Path("/usr/lib/podwitness/bpf")


class Kernel:
    """The probes in the running kernel."""

    def __init__(self, settings: config.Kernel, cgroups: Cgroups, programs: Iterable[str], directory: Path) -> None:
        """Use `Kernel.open`."""
        self._settings = settings
        self._is_container = cgroups.is_container
        self._proc = Path(settings.proc_root)
        self._clock = BootClock()
        self.boot_id = boot_id(self._proc)
        self._objects = {name: libbpf.Object(directory / f"{name}.bpf.o") for name in (SNAPSHOT, *programs)}
        self.types = {name: Types(opened.btf()) for name, opened in self._objects.items()}
        number = self.types[SNAPSHOT].enumerator(f"{cgroups.hierarchy}_hierarchy")
        self._constants = {"hierarchy": struct.pack("<I", number)}
        self._lost = dict.fromkeys(RINGS, 0)
        self._sees_host = True  # /proc has the same process ids as the kernel tells
        self._rings: list[RingReader] = []
        self._bell: Bell | None = None

    @classmethod
    def open(
        cls, settings: config.Kernel, cgroups: Cgroups, programs: Iterable[str], directory: Path | None = None
    ) -> "Kernel":
        """Load and attach the BPF objects named `programs`.

        Raises:
            KernelError: no BTF, no right to load, an object missing or refused.
        """
        if not BTF.exists():
            raise KernelError(
                "the kernel has no type information",
                where=str(BTF),
                hint="it needs CONFIG_DEBUG_INFO_BTF=y, Linux 5.15 or newer",
            )
        kernel = cls(settings, cgroups, programs, directory or objects_directory())
        try:
            kernel._start()
        except BaseException:
            kernel.close()
            raise
        return kernel

    def _start(self) -> None:
        """Load the iterator first: it tells who we are; then the probes, which leave us out."""
        sizes = dict(zip(RINGS, (self._settings.lifecycle_ring_bytes, self._settings.activity_ring_bytes), strict=True))
        self._constants["wake_bytes"] = struct.pack("<Q", min(_WAKE_BYTES, *(size // 4 for size in sizes.values())))
        for ring, size in sizes.items():
            self._objects[SNAPSHOT].set_size(ring, size)
        self._load(SNAPSHOT)
        self._leave_out_ourselves()
        for ring, size in sizes.items():
            fd = self._map(ring)
            self._rings.append(RingReader(ring, libbpf.map_id(fd), fd, size))
        self._bell = Bell(self._map("reader"), self._rings, self._settings.poll_milliseconds / 1000)
        observing = [name for name in self._objects if name != SNAPSHOT]
        for name in observing:
            for shared in SHARED_MAPS:
                self._objects[name].share(shared, self._map(shared))
            self._load(name)
        for name in observing:
            self._objects[name].attach()

    def _map(self, name: str) -> int:
        """A map that all objects share; the first one loaded made it."""
        return self._objects[SNAPSHOT].map_fd(name)

    def _load(self, name: str) -> None:
        offsets = {variable: offset for variable, (offset, _size) in self.types[name].variables(".rodata").items()}
        known = {variable: value for variable, value in self._constants.items() if variable in offsets}
        self._objects[name].set_constants(known, offsets)
        self._objects[name].load()

    def _leave_out_ourselves(self) -> None:
        """Our process id on the host, which only the iterator knows, and our cgroup where that is a container's."""
        decoder = Decoder([probes.SNAPSHOT], self.types, "")
        records = [RawSample("lifecycle", 0, 0, record) for record in self._iterate()]
        us = next(seen for seen in decoder.decode(records, 0, 0) if seen.facts and seen.facts["reader"] == seen.pid)
        self._constants["agent_tgid"] = struct.pack("<I", us.pid)
        if us.pid != os.getpid():
            self._sees_host = False
            log.warning("not in the host's pid namespace: processes that are here already stay unknown; use hostPID")
        if us.facts and self._is_container(str(us.facts.get("process.linux.cgroup", "/"))):
            self._constants["agent_cgroup"] = struct.pack("<Q", us.cgroup)
            log.info("what happens in the agent's own container is not told")

    def _iterate(self) -> list[bytes]:
        """Every record of the task iterator, without its length prefix."""
        with os.fdopen(self._objects[SNAPSHOT].iterate(), "rb") as stream:
            data = stream.read()
        records, at = [], 0
        while at + _LENGTH.size <= len(data):
            end = at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
            records.append(data[at + _LENGTH.size : end])
            at = end
        return records

    def snapshot(self) -> list[Seen]:
        """The processes that exist now; call after `open`, so that nothing falls between this and `read`."""
        records = self._iterate()
        return [
            Seen(RawSample("lifecycle", 0, at, record), self._arguments(int.from_bytes(record[4:8], "little")))
            for at, record in enumerate(records)
        ]

    def _arguments(self, pid: int) -> bytes | None:
        if not self._sees_host:
            return None
        try:
            with (self._proc / str(pid) / "cmdline").open("rb") as file:
                found = file.read(_CMDLINE_BYTES)
            # A program that writes a title over its arguments leaves a row of NULs behind it.
            return found.rstrip(b"\0") + b"\0" if found else None
        except OSError:
            return None  # it has ended since

    def offset(self) -> int:
        """Unix time minus boot time, in nanoseconds."""
        return self._clock.offset()

    def wait(self, *, pending: bool = False) -> bool:
        """Until something may have happened, not for long if something is `pending`; whether there is more to read."""
        return self._bell is not None and self._bell.wait(pending=pending)

    def read(self) -> list[RawSample]:
        """What the rings hold; lifecycle before and after activity, so that no activity precedes its process."""
        lifecycle, activity = self._rings
        before = lifecycle.read(_READ_LIMIT)
        happened = activity.read(_READ_LIMIT)
        return before + lifecycle.read(_READ_LIMIT) + happened if happened else before

    def rest(self) -> Iterator[list[RawSample]]:
        """Readings, until all is read that the rings hold now: a busy node never stops writing."""
        ends = [ring.written for ring in self._rings]
        while any(ring.cursor < end for ring, end in zip(self._rings, ends, strict=True)):
            before = [ring.cursor for ring in self._rings]
            yield self.read()
            if before == [ring.cursor for ring in self._rings]:
                return  # what comes next is still in the making

    def acknowledge(self) -> None:
        """What was read is safe; the kernel may reuse the room."""
        for ring in self._rings:
            ring.acknowledge()

    def lost(self) -> dict[Ring, int]:
        """Samples that did not fit since the last call, by ring."""
        fd = self._map("counts")
        totals = {ring: _COUNTS.unpack(libbpf.lookup(fd, at, _COUNTS.size))[1] for at, ring in enumerate(RINGS)}
        news = {ring: totals[ring] - self._lost[ring] for ring in RINGS}
        self._lost = totals
        return news

    def close(self) -> None:
        """Detach the probes, unmap the rings; nothing stays in the kernel."""
        if self._bell:
            self._bell.close()
            self._bell = None
        for ring in self._rings:
            ring.close()
        self._rings = []
        for opened in self._objects.values():
            opened.close()
