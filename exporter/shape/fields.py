"""Which attributes go on a sink's records: its field filters become one question for each event type.

The agent calls `compile` once for each sink; encoders then ask `keep(name)` for every attribute of a
record, a span and their Resource. The meaning is Tetragon's: exclude wins, no include keeps all, and of
several filters for one event type each must keep the attribute. A glob that can match no attribute is a
mistake, and refused. What the agent tells of itself loses only what is excluded: a list of fields of processes was
not meant to empty the record that says what is missing.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache, lru_cache

from msgspec.structs import replace

from exporter.config import FieldFilter
from exporter.errors import ConfigError
from exporter.model import Keep, Kind
from exporter.probes.resource import RESOURCE, TEMPLATES
from exporter.shape.select import OWN, listed, matching, suggestion

SPAN = "span"
"""The event type of process spans, in the settings and in what `compile` returns."""

CACHED = 4096
"""Answers kept for each question: all fixed names, and more label and annotation keys than one node has."""


def compile(filters: Sequence[FieldFilter], kinds: Sequence[Kind], *, where: str) -> dict[str, Keep]:
    """For each kind's name and for `span`: whether its records keep an attribute.

    Event types under the same filters share one function.

    Args:
        filters: the setting.
        kinds: every kind there is.
        where: file and path of the setting, for errors.

    Raises:
        ConfigError: a glob matches no event type, or no attribute of the event types its filter is for.
    """
    known = {kind.name: kind.attributes for kind in kinds}
    # A span tells the whole life of a process: anything that one of its records can say.
    known[SPAN] = tuple(dict.fromkeys(name for names in known.values() for name in names))
    reach = [
        matching(filter_.events, tuple(known), where=f"{where}[{index}].events")
        for index, filter_ in enumerate(filters)
    ]
    for index, (filter_, events) in enumerate(zip(filters, reach, strict=True)):
        _check(filter_, events, known, where=f"{where}[{index}]")

    @cache
    def question(applying: tuple[int, ...], whole: bool) -> Keep:
        return _keep(tuple(replace(filters[i], include=()) if whole else filters[i] for i in applying))

    return {
        name: question(tuple(index for index, events in enumerate(reach) if name in events), name in OWN)
        for name in known
    }


def _keep(filters: tuple[FieldFilter, ...]) -> Keep:
    """Whether all `filters` keep an attribute."""

    @lru_cache(maxsize=CACHED)
    def keep(name: str) -> bool:
        return all(
            not any(fnmatchcase(name, glob) for glob in filter_.exclude)
            and (not filter_.include or any(fnmatchcase(name, glob) for glob in filter_.include))
            for filter_ in filters
        )

    return keep


def _check(filter_: FieldFilter, events: frozenset[str], known: dict[str, tuple[str, ...]], *, where: str) -> None:
    """Refuse a glob that none of these event types, and no Resource, can have an attribute for."""
    fields = tuple(dict.fromkeys([name for event in sorted(events) for name in known[event]])) + RESOURCE
    for part, globs in (("include", filter_.include), ("exclude", filter_.exclude)):
        for index, glob in enumerate(globs):
            if _can_match(glob, fields):
                continue
            others = [event for event, names in known.items() if _can_match(glob, names)]
            of = "any event type" if len(events) == len(known) else listed(sorted(events))
            raise ConfigError(
                f"{glob} matches no attribute of {of}",
                where=f"{where}.{part}[{index}]",
                hint=f"it is on {listed(others)}"
                if others
                else suggestion(glob, (*fields, *(f"{prefix}*" for prefix in TEMPLATES))),
            )


def _can_match(glob: str, fields: Sequence[str]) -> bool:
    return any(fnmatchcase(name, glob) for name in fields) or any(_reaches(glob, prefix) for prefix in TEMPLATES)


def _reaches(glob: str, prefix: str) -> bool:
    """Whether `glob` matches `prefix` followed by some key.

    It does where a beginning of the glob matches the prefix and what is left can match a key: any rest can,
    or none if the beginning ends in a `*` that goes on. A cut inside `[...]` leaves a literal `[`, which no
    prefix has.
    """
    return any(
        fnmatchcase(prefix, glob[:cut]) and (cut < len(glob) or glob.endswith("*")) for cut in range(1, len(glob) + 1)
    )
