"""Rights that a process changes while it runs: its image says on each record what it could do at that time.

An exec tells of an image's rights once; setuid(), capset() and their like change them. The process table asks `of` for
each event that is not the life of a process. An event that tells of a change gets the image with the new rights, and so
do all after it; what happened before it and is read later (the other ring) still gets the image as it was. Only what
the first thread does changes the image: it stands for the process, as in /proc/PID/status.

Where the kernel side does not know what a thread could do before (`podwitness.cred.old.*` is None), the image says.
"""

from collections.abc import Callable
from functools import lru_cache

import msgspec

from exporter.enrich.journal import Key
from exporter.model import Attributes, Event, Kind, Process
from exporter.probes.namespace import OF_IMAGE as NAMESPACES
from exporter.probes.privilege import OF_IMAGE, OLD_OF_IMAGE

Keep = Callable[[Process], object]


class Credentials:
    """Which image of a process an event belongs to, by the rights it had."""

    def __init__(self, keep: Keep) -> None:
        """`keep` puts an image in the place of the one with its key."""
        self._keep = keep
        self._former: dict[
            Key, list[tuple[int, Process]]
        ] = {}  # until when (boot ns) it was so; since the last `forget`
        self._older: dict[Key, list[tuple[int, Process]]] = {}  # before it

    def before(self, event: Event, process: Process) -> Process:
        """The image that this event came upon, of which `process` is the newest.

        Two events of one call have one time: what the first of them says has changed, is news to the second too.
        """
        if self._former or self._older:
            key = _key(process)
            for until, former in self._older.get(key, []) + self._former.get(key, []):
                if event.boot_time <= until:
                    return former
        return process

    def of(self, event: Event, process: Process) -> Process:
        """The image for this event, which came upon `process`; an event without its old values gets them."""
        facts = event.facts
        if not facts or "thread" not in facts:
            return process
        _fill_old(event, process)
        new = {name: facts[name] for name in (*OF_IMAGE, *NAMESPACES) if name in facts}
        if facts["thread"] != event.pid or all(process.attributes.get(name) == new[name] for name in new):
            return process
        changed: Process = msgspec.structs.replace(process, attributes={**process.attributes, **new}, fragments={})
        self._former.setdefault(_key(process), []).append((event.boot_time, process))
        self._keep(changed)
        return changed

    def forget(self) -> None:
        """Both rings are read past the changes before the last call: nothing older can come."""
        self._older, self._former = self._former, {}

    @property
    def pending(self) -> bool:
        """Whether `forget` has something to do."""
        return bool(self._former or self._older)


@lru_cache(maxsize=64)
def _old(kind: Kind) -> tuple[tuple[int, str], ...]:
    """Where a kind has values that the image may know: their places, and what the image calls them."""
    return tuple((at, OLD_OF_IMAGE[name]) for at, name in enumerate(kind.own) if name in OLD_OF_IMAGE)


def _fill_old(event: Event, process: Process) -> None:
    places = [(at, name) for at, name in _old(event.kind) if event.values[at] is None]
    if places:
        known: Attributes = process.attributes
        values = list(event.values)
        for at, name in places:
            values[at] = known.get(name)
        event.values = tuple(values)


def _key(process: Process) -> Key:
    return process.pid, process.start_time, process.exec_id
