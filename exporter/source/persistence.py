"""Generations that outlive the agent: goes on with the pinned one if it is of our build, else puts ours in its place.

    objects kept -> pinned by one rename -> slots filled -> THE SWITCH -> hooks attached -> the old one read -> removed

The agent may be killed between any two of these. What is before the switch never ran: the next start removes it. What
is after it is done again by the next start, which finds it not done yet.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from exporter.errors import KernelError
from exporter.model import RawSample, Ring
from exporter.source import bursts, descriptors
from exporter.source.btf import Types
from exporter.source.dispatch import Dispatch
from exporter.source.generations import Generation
from exporter.source.kept import Kept
from exporter.source.losses import GENERATION_REMOVED, Losses, Tally
from exporter.source.pins import Pinned, Pins
from exporter.telemetry import log


class Persistence:
    """The pinned generations of this node, while we are its agent."""

    def __init__(self, pin_path: Path, kept: Kept, dispatchers: Path, hooks: Collection[str]) -> None:
        """`kept` are the objects of our build and others, `hooks` its programs; `dispatchers` is their object.

        Raises KernelError when another agent has the pins, or they cannot be made.
        """
        self._kept, self._fault = kept, ""
        self._bursts = dispatchers.with_name(f"{bursts.OBJECT}.bpf.o")
        self._old = list[tuple[Pinned, Generation]]()
        self._removed = list[Tally]()
        with ExitStack() as opened:
            self._pins = Pins(pin_path)
            opened.callback(self._pins.close)
            self._dispatch = Dispatch(dispatchers, pin_path, hooks)
            opened.callback(self._dispatch.close)
            for pinned in self._pins.generations():
                if pinned.number > self._dispatch.generation:
                    self._pins.remove(pinned)  # of an agent that was killed before the switch
            self._opened = opened.pop_all()
        generations = self._pins.generations()
        self.resumed = bool(generations)  # somebody collected before us
        self.keep()

    def keep(self) -> None:
        """Keep the objects of our build, where that was not possible before."""
        self._kept.keep()

    def maps(self) -> dict[str, int]:
        """The maps of the running generation where it is of our build, for the caller to close; else none."""
        running = self._running()
        return self._pins.maps(running) if running and running.hash == self._kept.name else {}

    def empty_hooks(self) -> list[str]:
        """Our programs that the running generation, which is of our build, does not have."""
        return self._dispatch.unfilled()

    def program_fds(self) -> dict[str, int]:
        """The programs that stand at the hooks, by name: the dispatchers."""
        return self._dispatch.program_fds()

    def _running(self) -> Pinned | None:
        number = self._dispatch.generation
        return next((pinned for pinned in self._pins.generations() if pinned.number == number), None)

    def unsaved(self, layouts: Types) -> bool:
        """Whether the word `unsaved` of any generation is set, those that will be given up too."""
        return any(self._pins.reader(pinned, layouts, "unsaved") for pinned in self._pins.generations())

    def switch(self, maps: Mapping[str, int], programs: Mapping[str, int], layouts: Types) -> None:
        """Have our programs run instead of any others. Raises KernelError when something cannot be pinned."""
        number = self._dispatch.generation + 1
        for pinned in self._pins.generations()[:-1]:
            self._give_up(pinned, layouts)
        self._pins.publish(number, self._kept.name, maps)
        self._dispatch.remove_others()
        self._dispatch.fill(number, programs)
        self._dispatch.generation = number

    def _give_up(self, pinned: Pinned, layouts: Types) -> None:
        """Remove a generation before the last one, unread, and tell what it held as lost.

        Builds that follow each other, each ended before it could read, must not fill the kernel. So its pins go before
        its loss is safe: an agent that is killed between the two, in its first second, takes the loss with it.
        """
        generation = self._open(pinned, layouts)
        first, last, counts = 0, 0, Counter[Ring]()
        while samples := generation.read():
            first, last = first or _time(samples[0]), _time(samples[-1])
            counts.update(sample.ring for sample in samples)
        for ring in generation.rings:
            key, count = f"{ring.ring_id}.removed", partial(counts.__getitem__, ring.ring)
            self._removed.append(
                Tally(key, ring.ring, GENERATION_REMOVED, count, partial(int, first), partial(int, last))
            )
        self._removed += [_frozen(tally) for tally in generation.tallies()]
        generation.close()
        self._pins.remove(pinned)
        log.warning("programs of an earlier build were removed with %d events unread", counts.total())

    def begin(self, layouts: Types) -> list[Generation]:
        """After `switch`, or instead of it: events come from now on, if they did not before.

        Returns the generations to be read to their end before ours; `layouts` serve where theirs are gone from disk.
        """
        self._dispatch.attach()
        number = self._dispatch.generation
        old = [pinned for pinned in self._pins.generations() if pinned.number < number]
        if old:
            descriptors.wait_for_programs()  # that found the old number in the word
        self._old = [(pinned, self._open(pinned, layouts)) for pinned in old]
        self._tidy()
        return [generation for _pinned, generation in self._old]

    def _open(self, pinned: Pinned, layouts: Types) -> Generation:
        types = self._kept.types(pinned.hash)
        if not types:
            log.warning("the objects of an earlier build are gone from %s: its events cannot be read", self._kept.path)
        fds = self._pins.maps(pinned)
        try:
            generation = Generation(types, next(iter(types.values()), layouts), fds)
            self._flush(generation, fds)
            return generation
        finally:
            descriptors.close_all(fds)

    def _flush(self, generation: Generation, maps: Mapping[str, int]) -> None:
        """What the old programs were still collecting goes into their ring."""
        collected = generation.reader.get("bursts")
        if not collected or bursts.MAPS[0] not in maps:
            return
        try:
            bursts.flush_all(self._bursts, maps, generation.reader)
        except KernelError as error:
            ring = generation.rings[-1]
            self._removed.append(
                Tally(f"{ring.ring_id}.bursts", ring.ring, GENERATION_REMOVED, partial(int, collected))
            )
            log.warning("%d bursts that an earlier build collected cannot be read: %s", collected, error)

    def forget(self, losses: Losses) -> list[Generation]:
        """Remove old generations that are read to their end and whose losses were told; those that are left.

        Never raises: pins that cannot be removed are the next start's, which finds nothing in their rings.
        """
        for pinned, generation in list(self._old):
            if generation.is_empty() and losses.settled(generation.tallies()):
                self._old.remove((pinned, generation))
                generation.close()
                self._try(partial(self._pins.remove, pinned))
                self._tidy()
        return [generation for _pinned, generation in self._old]

    def _tidy(self) -> None:
        """Let go of the programs and objects of generations that are gone."""
        if not self._old:
            self._try(partial(self._dispatch.empty, self._dispatch.generation + 1))
        self._try(partial(self._kept.drop_others, [pinned.hash for pinned, _generation in self._old]))

    def _try(self, what: Callable[[], None]) -> None:
        """Clean up, or say once why not: no reason to stop watching."""
        try:
            what()
        except KernelError as error:
            if str(error) != self._fault:
                log.warning("what is left of an earlier build stays: %s", error)
            self._fault = str(error)

    def tallies(self) -> Iterator[Tally]:
        """Losses that are no living generation's."""
        yield from self._dispatch.tallies()
        yield from self._removed

    def close(self) -> None:
        """Let another agent have the pins, which stay."""
        for _pinned, generation in self._old:
            generation.close()
        self._opened.close()


def _time(sample: RawSample) -> int:
    """When it happened: the third member of every version's header."""
    return int.from_bytes(sample.data[8:16], "little")


def _frozen(tally: Tally) -> Tally:
    """The same, of a counter that will be gone."""
    since, count, until = tally.take_since(), tally.total(), tally.until()
    return tally._replace(total=partial(int, count), take_since=partial(int, since), until=partial(int, until))
