"""Selection of events: which types a sink gets."""

import pytest

from exporter.config import Globs
from exporter.errors import ConfigError
from exporter.probes import AGENT_KINDS, KINDS, TOLD
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


AGENT = {kind.name for kind in AGENT_KINDS}


@pytest.mark.parametrize(
    ("globs", "wanted"),
    [
        (Globs(), ALL | AGENT),
        (Globs(include=("process.exec",)), {"process.exec"} | AGENT),
        (Globs(include=("agent.started",)), AGENT),
        (Globs(exclude=("process.fork",)), ALL - {"process.fork"} | AGENT),
        (Globs(exclude=("agent.events_lost",)), ALL | AGENT - {"agent.events_lost"}),
        (Globs(include=("process.exec",), exclude=("agent.*",)), {"process.exec"}),
    ],
)
def test_what_the_agent_tells_of_itself_goes_to_every_sink_that_does_not_exclude_it(
    globs: Globs, wanted: set[str]
) -> None:
    assert select.compile(globs, TOLD, where="sinks.a.events") == wanted


def test_a_sink_may_take_nothing_but_spans() -> None:
    assert select.compile(Globs(exclude=("*",)), TOLD, where="", none=True) == set()


def test_a_selection_that_leaves_only_what_was_not_asked_for_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="selects no event type"):
        select.compile(Globs(include=("process.exec",), exclude=("process.*",)), TOLD, where="sinks.a.events")


@pytest.mark.parametrize(
    ("glob", "hint"),
    [("agent.event_lost", "agent.events_lost"), ("agents.*", "agent.*"), ("agent.start", "agent.started")],
)
def test_guesses_names_of_the_agents_own_events_too(glob: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        select.compile(Globs(exclude=(glob,)), TOLD, where="events")
    assert caught.value.hint == f"did you mean {hint}?"
