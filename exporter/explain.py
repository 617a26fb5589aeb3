"""A YAML tree becomes settings, and what msgspec says of a mistake becomes path, reason and suggestion.

`config` calls `convert`. It knows nothing of particular settings: what a section knows is read from its type.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec

from exporter.errors import ConfigError

Section = type[msgspec.Struct]
S = TypeVar("S", bound=msgspec.Struct)

_MESSAGE = re.compile(r"(?P<reason>.*?)(?: - at (?P<key>`key` in )?`\$(?P<below>[^`]*)`)?", re.DOTALL)
_TEXT = {
    "Expected `str` of length >= 1": "is empty (give it a value or leave it out)",
    "Expected `str` matching regex": "has a NUL character",
}
_OURS = {"`object`": "a mapping", "`array`": "a list", "`null`": "nothing"}


def convert(tree: object, sections: tuple[type[S], ...], *, where: str, at: str = "") -> S:
    """`tree` as one of `sections`, which are told apart by their tag.

    Args:
        tree: what YAML says.
        sections: what it can become.
        where: the file.
        at: the path of `tree` in the file, with a dot before each key.

    Raises:
        ConfigError: it can become none of them.
    """
    try:
        type_: Any = reduce(or_, sections)
        return cast(S, msgspec.convert(_words(tree, type_), type_))
    except msgspec.ValidationError as error:
        raise _explain(str(error), sections, _meant(tree, sections), where, at) from error


def place(where: str, at: str) -> str:
    """File and path in it."""
    return f"{where}: {at.lstrip('.')}" if at else where


def _words(tree: object, type_: Any) -> object:
    """`tree` with `on` and `off` as words where they are words of a setting: YAML takes them for booleans."""
    if isinstance(tree, bool):
        parts = list(_parts(type_))
        return ("off", "on")[tree] if "on" in parts and "off" in parts and bool not in parts else tree
    if not isinstance(tree, dict):
        return tree
    if get_origin(type_) is dict:
        return {key: _words(value, get_args(type_)[1]) for key, value in tree.items()}
    sections = [part for part in _parts(type_) if isinstance(part, type) and issubclass(part, msgspec.Struct)]
    if not sections:
        return tree
    types = {field.name: field.type for field in msgspec.structs.fields(_meant(tree, sections))}
    return {key: _words(value, types[key]) if key in types else value for key, value in tree.items()}


def _meant(tree: object, sections: Sequence[Section]) -> Section:
    """The section that `tree` says it is, else the first: then its tag is what is wrong."""
    tags = {section.__struct_config__.tag: section for section in sections}
    said = tree.get(sections[0].__struct_config__.tag_field) if isinstance(tree, dict) else None
    return tags.get(said if isinstance(said, str) else None, sections[0])


def _explain(message: str, sections: Sequence[Section], meant: Section, where: str, at: str) -> ConfigError:
    """The error for msgspec's message, such as `Object contains unknown field `x` - at `$.batch``."""
    found = _MESSAGE.fullmatch(message)
    reason, below = (found["reason"], found["below"] or "") if found else (message, "")
    tag_field = meant.__struct_config__.tag_field
    tags = [str(section.__struct_config__.tag) for section in sections]
    spot = place(where, at + below)
    if found and found["key"]:
        return ConfigError("a key is not text", where=spot, hint="put it between quotes")
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", reason, re.DOTALL):
        section = _section_at(below, meant)
        known = [*section.__struct_fields__, *([tag_field] if section is meant and tag_field else [])]
        return ConfigError(f"unknown key {unknown[1]}", where=spot, hint=_suggestion(unknown[1], known))
    if missing := re.fullmatch(r"Object missing required field `(.*)`", reason):
        hint = f"one of {', '.join(sorted(tags))}" if missing[1] == tag_field else ""
        return ConfigError(f"has no {missing[1]}", where=spot, hint=hint)
    if invalid := re.fullmatch(r"Invalid (?:enum )?value '(.*)'", reason, re.DOTALL):
        words = tags if below == f".{tag_field}" else _words_at(below, meant)
        return ConfigError(f"cannot be {invalid[1]}", where=spot, hint=_suggestion(invalid[1], words))
    reason = next((ours for theirs, ours in _TEXT.items() if reason.startswith(theirs)), reason)
    for theirs, ours in _OURS.items():
        reason = reason.replace(theirs, ours)
    return ConfigError(reason[:1].lower() + reason[1:], where=spot)


def _suggestion(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"


def _words_at(path: str, section: Section) -> list[str]:
    """The words that the setting of `section` at `path` can be; `.access[0]` is one of those of `access`."""
    above, _, name = path.partition("[")[0].rpartition(".")
    return [part for part in _parts(_type_of(name, _section_at(above, section))) if isinstance(part, str)]


def _section_at(path: str, section: Section) -> Section:
    """The section within `section` at `path`: `.fields[0]` is a FieldFilter."""
    for name in re.findall(r"\.(\w+)", path):
        parts = _parts(_type_of(name, section))
        section = next(part for part in parts if isinstance(part, type) and issubclass(part, msgspec.Struct))
    return section


def _type_of(name: str, section: Section) -> object:
    return next(field.type for field in msgspec.structs.fields(section) if field.name == name)


def _parts(type_: Any) -> Iterator[Any]:
    """A type and all that it is made of: `Literal["a", "b"] | None`, `tuple[Section, ...]`."""
    yield type_
    for part in get_args(type_):
        yield from _parts(part)
