"""The object files: opened for their types, set up, loaded over the maps that they share.

`programs.py` asks for the iterator first, which makes the maps of a generation or takes those that are pinned, then,
where no pinned programs of ours run, for the programs of a plan (`hooks.py`).
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from exporter.config import Observe
from exporter.errors import KernelError
from exporter.model import Kind, Ring
from exporter.probes import LIFE
from exporter.probes.words import SYSCALLS, SYSCALLS_I386
from exporter.source import bursts, descriptors, destinations, filters, watched
from exporter.source.btf import Types
from exporter.source.generations import CALLS, SHARED_MAPS, identity
from exporter.source.hooks import Plan, unusable
from exporter.source.libbpf import Object
from exporter.source.tasks import SNAPSHOT

_WAKE_BYTES = 64 * 1024  # written between two wake-ups, at most a quarter of the smallest ring
_CALL = "call"  # calls the handlers of system calls
_CALLS, _NO_CALL = 512, 0xFFFF  # bpf/call.h


class LoadError(KernelError):
    """Programs that the kernel refuses; `reasons` by program. The others may do without them."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        """At least one reason."""
        name, reason = next(iter(reasons.items()))
        super().__init__(reason, where=f"program {name}")
        self.reasons = reasons


GATHERED = {
    "args": (
        "process.command",
        "process.command_args",
        "podwitness.process.args.truncated",
        "podwitness.process.args.truncated_indexes",
    ),
    "cwd": ("process.working_directory",),
}
"""What the probes gather only where somebody keeps it: the attributes that are made of it."""


class Asked(NamedTuple):
    """What is to be looked at: `kinds`, by the rules of `observe`; what is `ungathered` no sink keeps.

    `ungathered` are names out of GATHERED.
    """

    kinds: Sequence[Kind]
    observe: Observe = Observe()
    ungathered: frozenset[str] = frozenset()

    @property
    def followed(self) -> tuple[Kind, ...]:
        """The kinds whose programs are needed: those that are told, and what is only counted."""
        return tuple(dict.fromkeys((*self.kinds, *destinations.kinds(self.observe.network))))


def objects_directory() -> Path:
    """Where the compiled programs are: beside the package in a checkout, else where the image puts them."""
    checkout = Path(__file__).resolve().parents[2] / "bpf"
    return checkout if checkout.is_dir() else Path("/usr/lib/podwitness/bpf")


class Objects:
    """The iterator and the programs; `types` are theirs, by name. `faults` says why programs are missing."""

    def __init__(
        self,
        directory: Path,
        asked: Asked,
        hierarchy: str,
        sizes: Mapping[Ring, int],
    ) -> None:
        """Touches nothing in the kernel. Raises KernelError when an object cannot be read that all others need."""
        self._directory, self._sizes = directory, sizes
        kinds, observe = asked.kinds, asked.observe
        has_calls = any(hook.handler for kind in asked.followed for hook in kind.hooks)
        names = dict.fromkeys((*(kind.program for kind in asked.followed), *((_CALL,) if has_calls else ())))
        with ExitStack() as opened:
            self._objects, self.types, self.faults = dict[str, Object](), dict[str, Types](), dict[str, str]()
            for name in (SNAPSHOT, *names):
                self._open(name, asked.followed, opened)
            self._names = tuple(name for name in names if name in self._objects)
            self.sections = {hook: section for name in self._names for hook, section in self._sections(name)}
            wanted = self._bits(kinds)
            collected = self._bits([kind for kind in kinds if kind.name in observe.aggregate.types])
            self._constants = {
                "hierarchy": struct.pack("<I", self.types[SNAPSHOT].enumerator(f"{hierarchy}_hierarchy")),
                "wake_bytes": struct.pack("<Q", min(_WAKE_BYTES, *(size // 4 for size in sizes.values()))),
                "wanted": struct.pack("<Q", wanted),
                **filters.constants(observe),
                **watched.constants(observe.unix_sockets),
                **bursts.constants(observe.aggregate, collected),
                **destinations.constants(observe.network),
                **{f"gather_{name}": bytes([name not in asked.ungathered]) for name in GATHERED},
            }
            self._rules = repr(filters.rules(observe)).encode()
            self._opened = opened.pop_all()

    def _open(self, name: str, kinds: Sequence[Kind], opened: ExitStack) -> None:
        try:
            one = Object(self._path(name))
            opened.callback(one.close)
            self.types[name] = Types(one.btf())
            self._objects[name] = one
        except KernelError as error:
            if name in (SNAPSHOT, _CALL, *(kind.program for kind in LIFE)):
                raise
            self.faults |= unusable(kinds, name, str(error))

    def _sections(self, name: str) -> Iterable[tuple[str, str]]:
        return self._objects[name].sections().items()

    @property
    def layouts(self) -> Types:
        """Types of the structs that all objects share."""
        return self.types[SNAPSHOT]

    @property
    def snapshot(self) -> Object:
        """The iterator's."""
        return self._objects[SNAPSHOT]

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.bpf.o"

    def paths(self) -> list[Path]:
        """Of the programs, without the iterator."""
        return [self._path(name) for name in self._names]

    def identity(self) -> str:
        """What the generation of these programs is called."""
        return identity(self.paths(), {**self._constants, "rules": self._rules}, self._sizes)

    def _bits(self, kinds: Iterable[Kind]) -> int:
        return sum({1 << self.number(kind.name) for kind in kinds})

    def number(self, kind: str) -> int:
        """What the probes call a kind, whichever of them sends it. Raises KernelError where none does."""
        name = f"{kind.replace('.', '_')}_kind"
        for types in self.types.values():
            with suppress(KernelError):
                return types.enumerator(name)
        raise KernelError(f"no program sends {kind}", where="type information")

    def load_snapshot(self, maps: Mapping[str, int]) -> None:
        """Load the iterator over the maps of a generation; with none it makes new ones."""
        if not maps:
            for ring, size in self._sizes.items():
                self.snapshot.set_size(ring, size)
        self._prepare(self.snapshot, SNAPSHOT, maps, {})
        self.snapshot.load()

    def maps(self) -> dict[str, int]:
        """What all objects share, once the iterator is loaded: file descriptors, which belong to it."""
        return {name: self.snapshot.map_fd(name) for name in SHARED_MAPS}

    def load_programs(self, plan: Plan) -> None:
        """Load the programs of a plan over the iterator's maps, and have the handlers of calls in their places.

        Raises LoadError with the programs that the kernel refuses.
        """
        calls = _call_table(plan)
        reasons: dict[str, str] = {}
        for name in self._names:
            reasons |= self._load(name, plan.programs & self._objects[name].sections().keys(), calls)
        if reasons:
            raise LoadError(reasons)
        fds = self.program_fds()
        for call, handler in plan.handlers.items():
            descriptors.put_program(self.snapshot.map_fd(CALLS), SYSCALLS[call], fds[handler])

    def _load(self, name: str, programs: frozenset[str], calls: bytes) -> dict[str, str]:
        """Load these programs of an object; why those cannot be loaded that cannot."""
        if not programs:
            return {}
        try:
            self._prepare(self._objects[name], name, self.maps(), {"call_of": calls})
            self._objects[name].only(programs)
            self._objects[name].load()
        except KernelError as error:
            return self._refused(name, programs, calls) or dict.fromkeys(programs, error.what)
        return {}

    def _refused(self, name: str, programs: frozenset[str], calls: bytes) -> dict[str, str]:
        """Which of these programs the kernel refuses: each by itself, since libbpf gives a whole object up for one."""
        reasons = {}
        for program in sorted(programs):
            alone = Object(self._path(name))
            try:
                self._prepare(alone, name, self.maps(), {"call_of": calls})
                alone.only([program])
                alone.load()
            except KernelError as error:
                reasons[program] = f"{error.what} (please report it, with `podwitness --log-level debug probes`)"
            finally:
                alone.close()
        return reasons

    def _prepare(self, opened: Object, name: str, maps: Mapping[str, int], more: Mapping[str, bytes]) -> None:
        opened.share_all(maps)
        offsets = {variable: offset for variable, (offset, _size) in self.types[name].variables(".rodata").items()}
        constants = {**self._constants, **more}
        opened.set_constants({known: constants[known] for known in constants.keys() & offsets.keys()}, offsets)

    def program_fds(self) -> dict[str, int]:
        """The loaded programs, by name."""
        return {hook: fd for name in self._names for hook, fd in self._objects[name].program_fds().items()}

    def attach(self, programs: frozenset[str]) -> None:
        """Attach programs where they belong, as long as we live. Raises LoadError for those that cannot be."""
        reasons = {}
        for name in sorted(self._names, key=lambda name: name != _CALL):  # the ends first: then a note is always taken
            for program in sorted(programs & self._objects[name].sections().keys()):
                try:
                    self._objects[name].attach([program])
                except KernelError as error:
                    reasons[program] = error.what
        if reasons:
            raise LoadError(reasons)

    def close(self) -> None:
        """Detach and unload what is not pinned. Safe to call twice."""
        self._opened.close()


def _call_table(plan: Plan) -> bytes:
    """`call_of` of bpf/call.h: for each table and number, the number on x86-64 of a call that somebody asked for."""
    wide, narrow = [_NO_CALL] * _CALLS, [_NO_CALL] * _CALLS
    for call in plan.handlers:
        wide[SYSCALLS[call]] = SYSCALLS[call]
        for name in _narrow_names(call):
            narrow[SYSCALLS_I386[name]] = SYSCALLS[call]
    return struct.pack(f"<{2 * _CALLS}H", *wide, *narrow)


def _narrow_names(call: str) -> list[str]:
    """What the 32-bit table calls it: some have a second number with wider arguments, umount2 one without flags."""
    names = (call, f"{call}32", f"{call}64", {"mmap": "mmap2", "umount2": "umount"}.get(call, ""))
    return [name for name in names if name in SYSCALLS_I386]


def unfilled(calls: int, plan: Plan) -> list[str]:
    """Handlers of a plan that are not in their places in `calls`, the map's fd."""
    return [handler for call, handler in plan.handlers.items() if not descriptors.has_program(calls, SYSCALLS[call])]
