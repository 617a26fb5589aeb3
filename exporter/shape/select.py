"""Which events a sink gets: its globs become the set of event types that are wanted.

The agent calls `compile` once for each sink, before the first event. A glob that means no event type is a
mistake, and refused: it would select nothing in silence. What the agent tells of itself goes to every sink that does
not exclude it: who reads a stream must learn what is missing from it.
"""

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from exporter.config import Globs
from exporter.errors import ConfigError
from exporter.model import Kind
from exporter.probes import AGENT_KINDS, PROBE_ATTACHED

OWN = frozenset(kind.name for kind in AGENT_KINDS)
"""What the agent tells of itself."""

ALWAYS = OWN - {PROBE_ATTACHED.name}
"""Event types that an include list of others does not shut out; excluding them does. Not one for each probe that works:
who asks for some event types would get fifty records of others at each start."""

NAMED = 12
"""Names that an error lists where none resembles the glob."""


def compile(globs: Globs, kinds: Sequence[Kind], *, where: str, none: bool = False) -> frozenset[str]:
    """The names of the kinds that `globs` want: exclude wins, no include means all, `ALWAYS` are included.

    Args:
        globs: the setting.
        kinds: every kind there is.
        where: file and path of the setting, for errors.
        none: whether the globs may want none at all: the sink takes spans.

    Raises:
        ConfigError: a glob matches no event type, or nothing is left.
    """
    known = [kind.name for kind in kinds]
    included = matching(globs.include, known, where=f"{where}.include") if globs.include else frozenset(known)
    excluded = matching(globs.exclude, known, where=f"{where}.exclude")
    if not included - excluded and not none:
        hint = f"exclude wins over include; leave out {', '.join(globs.exclude)}"
        raise ConfigError("selects no event type", where=where, hint=hint)
    return (included | ALWAYS.intersection(known)) - excluded


def observed(globs: Globs, kinds: Sequence[Kind], always: Sequence[Kind], *, where: str) -> tuple[Kind, ...]:
    """The kinds that are looked at: those on by default and those included, less those excluded, in their order.

    Raises ConfigError when a glob matches no event type, or none that is not excluded again, or one of `always` is
    excluded by its name.
    """
    known = [kind.name for kind in kinds]
    included = matching(globs.include, known, where=f"{where}.include")
    for index, glob in enumerate(globs.exclude):
        if glob in (kind.name for kind in always):
            hint = f"leave it out of a sink instead: sinks.NAME.events.exclude: [{glob}]"
            raise ConfigError(f"{glob} says who does all the rest", where=f"{where}.exclude[{index}]", hint=hint)
    excluded = matching(globs.exclude, known, where=f"{where}.exclude") - {kind.name for kind in always}
    for index, glob in enumerate(globs.include):
        if excluded.issuperset(name for name in included if fnmatchcase(name, glob)):
            raise ConfigError(f"{glob} is excluded again, and exclude wins", where=f"{where}.include[{index}]")
    return tuple(
        kind
        for kind in kinds
        if kind in always or ((kind.by_default or kind.name in included) and kind.name not in excluded)
    )


def awaited(globs: Globs, kinds: Sequence[Kind], looked_at: Sequence[Kind], *, where: str) -> None:
    """Refuse a sink that would wait for ever, in silence: for event types that are not `looked_at`.

    Raises ConfigError when a glob that it includes matches no other ones, or none at all.
    """
    known, seen = [kind.name for kind in kinds], {kind.name for kind in looked_at} | OWN
    matching(globs.include, known, where=f"{where}.include")
    for index, glob in enumerate(globs.include):
        matched = sorted(name for name in known if fnmatchcase(name, glob))
        if not seen.intersection(matched):
            what = f"{listed(matched)} {'is' if len(matched) == 1 else 'are'} not looked at"
            hint = f"add {glob} to observe.types.include"
            if any(kind.by_default for kind in kinds if kind.name in matched):
                hint = f"take {glob} out of observe.types.exclude"
            raise ConfigError(what, where=f"{where}.include[{index}]", hint=hint)


def listed(names: Sequence[str]) -> str:
    """Names for an error: the first few of them."""
    return f"{', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"


def matching(globs: Iterable[str], known: Sequence[str], *, where: str) -> frozenset[str]:
    """Those of the `known` event types that any glob matches; each glob must match one."""
    found: set[str] = set()
    for index, glob in enumerate(globs):
        matched = {name for name in known if fnmatchcase(name, glob)}
        if not matched:
            raise ConfigError(f"{glob} matches no event type", where=f"{where}[{index}]", hint=suggestion(glob, known))
        found |= matched
    return frozenset(found)


def suggestion(glob: str, known: Sequence[str]) -> str:
    """What a glob that matches nothing was perhaps meant to be: a name, or a family such as `process.*`."""
    parts = (name.split(".") for name in known)
    families = {".".join(part[:depth]) + ".*" for part in parts for depth in range(1, len(part))}
    near = difflib.get_close_matches(glob, [*known, *sorted(families)], n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {listed(known)}"
