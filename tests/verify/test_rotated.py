"""`verify --from`: the oldest files of a stream were rotated away, and the rest is to be whole."""

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import ConfigError
from exporter.model import Stream
from exporter.verify.checking import COMPLETE, INCOMPLETE, verify
from tests.verify.shipped import Form, Node

FORMS = pytest.mark.parametrize("form", ["otlp", "flat"])


def rotated(form: Form = "otlp", stream: str = "a") -> Node:
    """Records 21 to 50: what was before is gone."""
    node = Node(form, stream=Stream("files", stream), batch=1).touch(50).flush()
    for number in range(1, 21):
        node.alter(number, lambda _record: None)
    return node


def found(file: Path, start: int) -> tuple[int, dict[str, Any]]:
    code, text = verify([file], key=None, spool=None, as_json=True, start=start)
    (stream,) = json.loads(text)["streams"]
    return code, stream


def told(*files: Path, start: int = 1) -> str:
    return verify(files, key=None, spool=None, as_json=False, start=start).text


@FORMS
def test_a_beginning_that_was_rotated_away_is_accepted_where_it_is_named(form: Form, tmp_path: Path) -> None:
    file = rotated(form).write(tmp_path / "a.json")
    assert "--from 21" in told(file)
    code, stream = found(file, 21)
    assert (code, stream["first"], stream["start"], stream["missing"]) == (COMPLETE, 21, 21, [])
    assert "complete from 21 on" in told(file, start=21)


@FORMS
def test_what_is_missing_from_there_on_is_missing(form: Form, tmp_path: Path) -> None:
    node = rotated(form)
    for number in (21, 33):
        node.alter(number, lambda _record: None)
    code, stream = found(node.write(tmp_path / "a.json"), 21)
    assert (code, [(gap["first"], gap["last"]) for gap in stream["missing"]]) == (INCOMPLETE, [(21, 21), (33, 33)])


def test_stragglers_from_before_are_welcome_and_not_asked_to_be_whole(tmp_path: Path) -> None:
    node = rotated()
    node.alter(22, lambda _record: None)
    assert found(node.write(tmp_path / "a.json"), 24)[0] == COMPLETE


def test_a_beginning_behind_the_end_proves_nothing(tmp_path: Path) -> None:
    file = rotated().write(tmp_path / "a.json")
    assert found(file, 50)[0] == COMPLETE
    code, stream = found(file, 51)
    assert (code, stream["fault_count"]) == (INCOMPLETE, 1)
    assert "no record from 51 on" in told(file, start=51)


def test_a_stream_whose_beginning_is_there_is_checked_from_there(tmp_path: Path) -> None:
    node = Node().touch(50).flush()
    node.alter(7, lambda _record: None)
    code, stream = found(node.write(tmp_path / "a.json"), 21)
    assert (code, stream["start"], len(stream["missing"])) == (INCOMPLETE, 1, 1)


def test_it_is_clear_which_stream_is_meant(tmp_path: Path) -> None:
    whole = Node(stream=Stream("files", "later")).touch(30).flush().write(tmp_path / "whole.json")
    one, other = (rotated(stream=name).write(tmp_path / name) for name in ("a", "b"))
    assert "complete from 21 on" in told(one, whole, start=21)
    with pytest.raises(ConfigError, match=r"^--from: .*2 streams .*a, b"):
        told(one, other, start=21)
