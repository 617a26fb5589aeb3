"""Every setting, given what it cannot be: one line that says where, what and what to write."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

import msgspec
import pytest

from exporter import config, explain
from exporter.errors import ConfigError

WRONG = ("nonsense", "", -1, 3.7, True, None, ["nonsense"], [-1], [None], [[1]], {"nonsense": 1}, [{"nonsense": 1}])


def leaves(section: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every setting, sections too."""
    for field in msgspec.structs.fields(section):
        yield (*path, field.name)
        for part in explain._parts(field.type):
            if isinstance(part, type) and issubclass(part, msgspec.Struct) and get_origin(field.type) is None:
                yield from leaves(part, (*path, field.name))


def tree(path: tuple[str, ...], value: object) -> object:
    return tree(path[:-1], {path[-1]: value}) if path else value


SETTINGS = [path for path in leaves(config.Config) if path[0] != "sinks"]
SINKS = [
    (str(sink.__struct_config__.tag), path)
    for sink in get_args(config.Sink)
    for path in leaves(sink)
    if path != ("type",)
]


def told(whole: object) -> str:
    """What is said of these settings; empty where they can be."""
    try:
        config.parse(msgspec.json.encode(whole).decode(), where="c.yaml")
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("path", SETTINGS, ids=".".join)
def test_a_setting_that_cannot_be_is_told_in_one_line_with_its_place(path: tuple[str, ...]) -> None:
    said = [told({"sinks": {}, path[0]: tree(path[1:], wrong)}) for wrong in WRONG]
    assert [line for line in said if (line and not line.startswith(f"c.yaml: {path[0]}")) or "\n" in line] == []
    assert len(set(said) - {""}) > 2


@pytest.mark.parametrize(("tag", "path"), SINKS, ids=str)
def test_so_is_one_of_a_sink(tag: str, path: tuple[str, ...]) -> None:
    said = [told({"sinks": {"a": {"type": tag, path[0]: tree(path[1:], wrong)}}}) for wrong in WRONG]
    assert [line for line in said if (line and not line.startswith("c.yaml: sinks.a")) or "\n" in line] == []
    assert len(set(said) - {""}) > 2


def test_one_of_several_words_that_is_none_is_told_with_those_there_are() -> None:
    assert told({"sinks": {}, "observe": {"files": {"access": ["read", "exec"]}}}) == (
        "c.yaml: observe.files.access[1]: cannot be exec (known here: create, read, write)"
    )
    assert told({"sinks": {}, "observe": {"aggregate": {"types": ["file.write"]}}}) == (
        "c.yaml: observe.aggregate.types[0]: cannot be file.write (did you mean file.open?)"
    )
