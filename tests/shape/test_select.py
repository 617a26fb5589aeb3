"""Selection of events: which types a sink gets."""

import pytest

from exporter.config import Globs
from exporter.errors import ConfigError
from exporter.probes import KINDS
from exporter.shape import select

ALL = {"process.exec", "process.fork", "process.exit"}


@pytest.mark.parametrize(
    ("globs", "wanted"),
    [
        (Globs(), ALL),
        (Globs(include=("process.exec",)), {"process.exec"}),
        (Globs(include=("process.ex*",)), {"process.exec", "process.exit"}),
        (Globs(exclude=("process.fork",)), ALL - {"process.fork"}),
        (Globs(include=("*",), exclude=("*.ex??",)), {"process.fork"}),
        (Globs(include=("process.[fe]*",), exclude=("*.exit",)), {"process.exec", "process.fork"}),
    ],
)
def test_includes_then_excludes(globs: Globs, wanted: set[str]) -> None:
    assert select.compile(globs, KINDS, where="sinks.a.events") == wanted


def test_refuses_a_glob_that_selects_nothing_and_guesses_what_was_meant() -> None:
    with pytest.raises(ConfigError) as caught:
        select.compile(Globs(include=("process.exec", "proces.exit")), KINDS, where="c.yaml: sinks.a.events")
    assert str(caught.value) == (
        "c.yaml: sinks.a.events.include[1]: proces.exit matches no event type (did you mean process.exit?)"
    )


def test_refuses_a_selection_that_leaves_nothing_but_for_a_sink_that_takes_spans() -> None:
    nothing = Globs(include=("process.exec",), exclude=("process.fork", "*"))
    with pytest.raises(ConfigError) as caught:
        select.compile(nothing, KINDS, where="c.yaml: sinks.a.events")
    assert str(caught.value) == (
        "c.yaml: sinks.a.events: selects no event type (exclude wins over include; leave out process.fork, *)"
    )
    assert select.compile(nothing, KINDS, where="", none=True) == set()


def test_refuses_an_exclusion_that_excludes_nothing() -> None:
    with pytest.raises(ConfigError, match=r"events\.exclude\[0\]: .* \(did you mean process\.\*\?\)"):
        select.compile(Globs(exclude=("proces.*",)), KINDS, where="events")


def test_lists_what_is_known_where_nothing_resembles_the_glob() -> None:
    with pytest.raises(ConfigError, match=r"known: process\.exec, process\.fork, process\.exit"):
        select.compile(Globs(include=("zzz",)), KINDS, where="events")


def test_upper_case_is_another_name() -> None:
    with pytest.raises(ConfigError):
        select.compile(Globs(include=("Process.exec",)), KINDS, where="events")
