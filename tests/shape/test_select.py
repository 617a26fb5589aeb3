"""Selection of events: which types a sink gets."""

import pytest

from exporter.config import Globs
from exporter.errors import ConfigError
from exporter.model import Kind
from exporter.probes import AGENT_KINDS
from exporter.probes import LIFE as KINDS
from exporter.shape import select

TOLD = (*KINDS, *AGENT_KINDS)
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
ATTACHED = {"agent.probe_attached"}
"""One for each probe, of which nothing is missing if they are left out."""


@pytest.mark.parametrize(
    ("globs", "wanted"),
    [
        (Globs(), ALL | AGENT),
        (Globs(include=("process.exec",)), {"process.exec"} | AGENT - ATTACHED),
        (Globs(include=("agent.started",)), AGENT - ATTACHED),
        (Globs(include=("agent.*",)), AGENT),
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


OPEN = Kind(name="file.open", by_default=False)
CHMOD = Kind(name="file.chmod")


@pytest.mark.parametrize("include", [(), ("process.*",), ("*",), ("file.*", "agent.stopped"), ("file.chmod",)])
def test_a_sink_may_ask_for_what_is_looked_at_and_for_what_the_agent_says(include: tuple[str, ...]) -> None:
    select.awaited(Globs(include=include), (*TOLD, OPEN, CHMOD), (*KINDS, CHMOD), where="sinks.a.events")


@pytest.mark.parametrize(
    ("include", "looked_at", "said"),
    [
        (
            ("process.exec", "file.open"),
            (*KINDS, CHMOD),
            "include[1]: file.open is not looked at (add file.open to observe.types.include)",
        ),
        (("file.o*",), KINDS, "include[0]: file.open is not looked at (add file.o* to observe.types.include)"),
        (
            ("file.*",),
            KINDS,
            "include[0]: file.chmod, file.open are not looked at (take file.* out of observe.types.exclude)",
        ),
    ],
)
def test_a_sink_that_asks_for_what_is_not_looked_at_would_wait_for_ever(
    include: tuple[str, ...], looked_at: tuple[Kind, ...], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        select.awaited(Globs(include=include), (*TOLD, OPEN, CHMOD), looked_at, where="c.yaml: sinks.a.events")
    assert str(caught.value) == f"c.yaml: sinks.a.events.{said}"


def test_what_is_asked_for_and_excluded_again_is_refused() -> None:
    globs = Globs(include=("process.exec", "process.fork"), exclude=("process.f*",))
    with pytest.raises(ConfigError) as caught:
        select.observed(globs, KINDS, (), where="observe.types")
    assert str(caught.value) == "observe.types.include[1]: process.fork is excluded again, and exclude wins"
