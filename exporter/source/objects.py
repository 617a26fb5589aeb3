"""The object files: opened for their types, set up, loaded over the maps that they share.

`programs.py` asks for the iterator first, which makes the maps of a generation or takes those that are pinned, then,
where no pinned programs of ours run, for the programs themselves.
"""

import struct
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from exporter.errors import KernelError
from exporter.model import Ring
from exporter.source.btf import Types
from exporter.source.generations import SHARED_MAPS, identity
from exporter.source.libbpf import Object
from exporter.source.tasks import SNAPSHOT

_WAKE_BYTES = 64 * 1024  # written between two wake-ups, at most a quarter of the smallest ring


def objects_directory() -> Path:
    """Where the compiled programs are: beside the package in a checkout, else where the image puts them."""
    checkout = Path(__file__).resolve().parents[2] / "bpf"
    return checkout if checkout.is_dir() else Path("/usr/lib/podwitness/bpf")


class Objects:
    """The iterator and the programs; `types` are theirs, by name."""

    def __init__(self, directory: Path, programs: Iterable[str], hierarchy: str, sizes: Mapping[Ring, int]) -> None:
        """Touches nothing in the kernel. Raises KernelError when an object is missing, or none."""
        self._directory, self._sizes, self._programs = directory, sizes, tuple(programs)
        with ExitStack() as opened:
            self._objects = dict[str, Object]()
            for name in (SNAPSHOT, *self._programs):
                self._objects[name] = Object(self._path(name))
                opened.callback(self._objects[name].close)
            self.types = {name: Types(one.btf()) for name, one in self._objects.items()}
            number = self.types[SNAPSHOT].enumerator(f"{hierarchy}_hierarchy")
            self._constants = {
                "hierarchy": struct.pack("<I", number),
                "wake_bytes": struct.pack("<Q", min(_WAKE_BYTES, *(size // 4 for size in sizes.values()))),
            }
            self._opened = opened.pop_all()

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
        return [self._path(name) for name in self._programs]

    def identity(self) -> str:
        """What the generation of these programs is called."""
        return identity(self.paths(), self._constants, self._sizes)

    def hooks(self) -> list[str]:
        """The names of all programs."""
        return [hook for name in self._programs for hook in self._objects[name].sections()]

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
        self._load(SNAPSHOT, maps)

    def maps(self) -> dict[str, int]:
        """What all objects share, once the iterator is loaded: file descriptors, which belong to it."""
        return {name: self.snapshot.map_fd(name) for name in SHARED_MAPS}

    def load_programs(self) -> None:
        """Load the programs over the iterator's maps."""
        for name in self._programs:
            self._load(name, self.maps())

    def _load(self, name: str, maps: Mapping[str, int]) -> None:
        for map_name, fd in maps.items():
            self._objects[name].share(map_name, fd)
        offsets = {variable: offset for variable, (offset, _size) in self.types[name].variables(".rodata").items()}
        known = {variable: value for variable, value in self._constants.items() if variable in offsets}
        self._objects[name].set_constants(known, offsets)
        self._objects[name].load()

    def program_fds(self) -> dict[str, int]:
        """The loaded programs, by name."""
        return {hook: fd for name in self._programs for hook, fd in self._objects[name].program_fds().items()}

    def attach(self) -> None:
        """Attach the programs where they belong, for as long as we are there."""
        for name in self._programs:
            self._objects[name].attach()

    def close(self) -> None:
        """Detach and unload what is not pinned. Safe to call twice."""
        self._opened.close()
