"""Namespaces: what only the process table can say of an event about them.

The process table calls `complete` before anything else is done with such an event. Three things come of it:

* Where the kernel side does not know what a thread was in before (it has seen no call of it yet, and runs no
  trampolines), the image says: threads begin where their process is.
* What the first thread leaves is kept with the image (`LEFT`): it stands for the process, as in /proc/PID/ns, and its
  namespaces are the image's from then on (`credentials.py`). Other threads come and go for themselves: container
  network plugins do so all the time.
* An escape is one only where the process is a container's and was not in the host's namespace anyway. A runtime that
  enters a container goes the other way; a process of a container on the host's network that looks into a pod's and
  comes back has escaped from nothing. What is no escape is marked `untold`.
"""

from functools import lru_cache

from exporter.enrich.facts import texts
from exporter.enrich.init_tree import HOST
from exporter.model import Event, Kind, Process, Resource
from exporter.probes.namespace import IMAGE, LEFT, NAMESPACES, NEW, OLD, TYPES_TOLD

_KINDS = frozenset(NAMESPACES)
_CONTAINERS = ("container.id", "k8s.pod.uid")


def complete(event: Event, process: Process, resource: Resource) -> None:
    """Fill in an event about namespaces; without effect on others. `process` is its image before the event."""
    if event.kind not in _KINDS:
        return
    _fill_old(event, process)
    _note_left(event, process)
    if event.kind.name == "namespace.escape":
        _keep_escapes(event, process, resource)


@lru_cache(maxsize=16)
def _places(kind: Kind) -> dict[str, int]:
    return {name: at for at, name in enumerate(kind.own)}


def _types(event: Event) -> tuple[str, ...]:
    told = event.values[_places(event.kind)[TYPES_TOLD]]
    return tuple(map(str, told)) if isinstance(told, tuple) else ()


def _fill_old(event: Event, process: Process) -> None:
    places, values = _places(event.kind), list(event.values)
    for name in _types(event):
        if values[places[OLD + name]] is None:
            values[places[OLD + name]] = process.attributes.get(IMAGE + name)
    event.values = tuple(values)


def _note_left(event: Event, process: Process) -> None:
    """Among the facts, so that it becomes an attribute of the image together with the new namespaces."""
    facts = event.facts or {}
    if facts.get("thread") != event.pid:
        return
    here = {name: process.attributes.get(IMAGE + name) for name in _types(event) if IMAGE + name in facts}
    left = {f"{name}:{was}" for name, was in here.items() if was is not None and was != facts[IMAGE + name]}
    if left:
        facts[LEFT] = tuple(sorted(left | set(texts(process.attributes, LEFT))))


def _keep_escapes(event: Event, process: Process, resource: Resource) -> None:
    """Only the types that are an escape stay in the event; where none does, it is not to be told."""
    places, values = _places(event.kind), list(event.values)
    escaped = []
    for name in _types(event):
        if _was_in(process, name, values[places[NEW + name]]):
            values[places[OLD + name]] = values[places[NEW + name]] = None
        else:
            escaped.append(name)
    values[places[TYPES_TOLD]] = tuple(escaped) or None
    event.values = tuple(values)
    if not escaped or not _is_contained(process, resource):
        event.untold = "no escape"


def _was_in(process: Process, name: str, number: object) -> bool:
    known = process.attributes
    return known.get(IMAGE + name) == number or f"{name}:{number}" in texts(known, LEFT)


def _is_contained(process: Process, resource: Resource) -> bool:
    """By its cgroup, now or when the image began: who can write to cgroups can move away first. Or by its pids."""
    known = (resource.attributes, process.resource.attributes)
    in_container = any(name in attributes for attributes in known for name in _CONTAINERS)
    return in_container or process.attributes.get(f"{IMAGE}pid", HOST) != HOST
