"""The dispatchers (bpf/dispatch.bpf.c): pinned at the hooks, they hand each event to the generation that runs.

Made once, by the first agent that pins, then shared by all generations: `fill` puts programs into the free slot of each
hook's array, `generation = number` is the one write that switches all hooks. A crash anywhere leaves pins that
the next `Dispatch` completes.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from exporter.errors import KernelError
from exporter.source import descriptors
from exporter.source.btf import Types
from exporter.source.libbpf import Object
from exporter.source.losses import Tally, in_words, recursion
from exporter.source.pins import DISPATCH, WORD
from exporter.source.words import Words

_SLOTS = 2
_LINK = "_link"


class Dispatch:
    """The dispatchers of `hooks`, in the directory of the pins."""

    def __init__(self, path: Path, folder: Path, hooks: Collection[str]) -> None:
        """Open the pins, make those that are missing from the object at `path`.

        Raises KernelError when one cannot be made, or a hook has no dispatcher.
        """
        self._folder, self._hooks = folder / DISPATCH, sorted(hooks)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._maps = {"word": folder / WORD, "undispatched": self._folder / "undispatched"}
        self._maps |= {_array(hook): self._folder / _array(hook) for hook in self._hooks}
        self._programs = {hook: self._folder / hook for hook in self._hooks}
        with ExitStack() as opened:
            self._object = Object(path)
            opened.callback(self._object.close)
            self._fds = dict[str, int]()
            opened.callback(descriptors.close_all, self._fds)
            self._open()
            types = Types(self._object.btf())
            self._word = Words(self._fds["word"], types, "dispatch")
            opened.callback(self._word.close)
            self._undispatched = Words(self._fds["undispatched"], types, "loss")
            opened.callback(self._undispatched.close)
            self._opened = opened.pop_all()

    def _open(self) -> None:
        self._fds |= {name: descriptors.open_pinned(path) for name, path in self._maps.items() if path.exists()}
        gone = self._maps.keys() - self._fds.keys()
        # They look at maps that are gone. A hook that is new has none yet, and no link: the others stay as they are.
        blind = [hook for hook in self._hooks if gone & {"word", "undispatched", _array(hook)}]
        self._unlink([*map(self._link, blind), *(self._programs[hook] for hook in blind)])
        if not all(path.exists() for path in (*self._maps.values(), *self._programs.values())):
            self._make()
        self._fds |= {name: descriptors.open_pinned(path) for name, path in self._programs.items()}

    def _make(self) -> None:
        """Load the dispatchers, over the maps that are there, and pin what is not: the maps first."""
        absent = set(self._hooks) - self._object.sections().keys()
        if absent:
            raise KernelError(f"has no dispatcher {', '.join(sorted(absent))}", where=f"bpf/{DISPATCH}.bpf.c")
        for name, fd in self._fds.items():
            self._object.share(name, fd)
        self._object.only(self._hooks)
        self._object.load()
        for name in self._maps.keys() - self._fds.keys():
            descriptors.pin(self._object.map_fd(name), self._maps[name])
            self._fds[name] = descriptors.open_pinned(self._maps[name])
        for hook, fd in self._object.program_fds().items():
            if not self._programs[hook].exists():
                descriptors.pin(fd, self._programs[hook])

    @property
    def generation(self) -> int:
        """The number of the generation that runs; 0 where none ever did."""
        return self._word.get("generation")

    @generation.setter
    def generation(self, number: int) -> None:
        self._word.set("generation", number)

    def fill(self, number: int, programs: Mapping[str, int]) -> None:
        """Put the programs of generation `number` into its slot of each hook's array; nothing runs them yet."""
        for hook in self._hooks:
            descriptors.put_program(self._fds[_array(hook)], number % _SLOTS, programs[hook])

    def unfilled(self) -> list[str]:
        """Hooks whose program of the running generation is not there."""
        slot = self.generation % _SLOTS
        return [hook for hook in self._hooks if not descriptors.has_program(self._fds[_array(hook)], slot)]

    def empty(self, number: int) -> None:
        """Take the programs of generation `number` out of the kernel."""
        for hook in self._hooks:
            descriptors.take_program(self._fds[_array(hook)], number % _SLOTS)

    def attach(self) -> None:
        """Put dispatchers at the hooks that have none: the slot must be filled and the word written by now."""
        for hook in self._hooks:
            if not self._link(hook).exists():
                fd = descriptors.attach(self._fds[hook], hook)
                try:
                    descriptors.pin(fd, self._link(hook))
                finally:
                    os.close(fd)

    def remove_others(self) -> None:
        """Remove hooks that no program of ours is for: before the switch, after which nobody takes their events."""
        ours = {*self._programs.values(), *self._maps.values(), *map(self._link, self._hooks)}
        others = [path for path in self._folder.iterdir() if path not in ours]
        self._unlink(sorted(others, key=lambda path: not path.name.endswith(_LINK)))

    def _link(self, hook: str) -> Path:
        return self._folder / f"{hook}{_LINK}"

    @staticmethod
    def _unlink(paths: Iterable[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)

    def tallies(self) -> Iterator[Tally]:
        """Events that no generation got: they went to no ring, so nobody can say of which."""
        key = f"{descriptors.map_id(self._fds['undispatched'])}.undispatched"
        yield in_words(self._undispatched, "", 0, key=key, ring="*", reason="undispatched")
        yield from recursion(self.program_fds())

    def program_fds(self) -> dict[str, int]:
        """The dispatchers by hook; the kernel counts their runs, those of what they call with them."""
        return {hook: self._fds[hook] for hook in self._hooks}

    def close(self) -> None:
        """Let go; what is pinned goes on."""
        self._opened.close()


def _array(hook: str) -> str:
    return f"{hook}_programs"
