"""Field filters: which attributes go on a sink's records."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.config import FieldFilter
from exporter.errors import ConfigError
from exporter.model import SEQUENCE, Keep
from exporter.probes import AGENT_KINDS
from exporter.probes import LIFE as KINDS
from exporter.probes.resource import RESOURCE, TEMPLATES
from exporter.shape import fields

TOLD = (*KINDS, *AGENT_KINDS)
EVERYTHING = {
    *(name for kind in KINDS for name in kind.attributes),
    *RESOURCE,
    "k8s.pod.label.app.kubernetes.io/name",
    "k8s.pod.annotation.example.com/owner",
}


def compiled(*filters: FieldFilter) -> dict[str, Keep]:
    return fields.compile(filters, KINDS, where="c.yaml: sinks.a.fields")


def test_there_is_an_answer_for_every_event_type_and_for_spans() -> None:
    assert set(compiled()) == {"process.exec", "process.fork", "process.exit", "span"}


def test_without_filters_everything_is_kept() -> None:
    for keep in compiled().values():
        assert all(map(keep, EVERYTHING))


def test_include_keeps_only_what_it_names() -> None:
    keep = compiled(FieldFilter(include=("process.pid", "k8s.*")))["process.exec"]
    kept = {name for name in EVERYTHING if keep(name)}
    assert kept == {"process.pid"} | {name for name in EVERYTHING if name.startswith("k8s.")}


def test_exclude_wins_over_include() -> None:
    keep = compiled(FieldFilter(include=("process.*",), exclude=("process.command*",)))["process.exec"]
    assert keep("process.pid")
    assert not keep("process.command_args")
    assert not keep("host.name")


def test_of_several_filters_each_must_keep_the_attribute() -> None:
    keep = compiled(
        FieldFilter(include=("process.*",)),
        FieldFilter(include=("process.pid", "host.*")),
        FieldFilter(events=("process.fork",), exclude=("process.pid",)),
    )
    assert [name for name in sorted(EVERYTHING) if keep["process.exec"](name)] == ["process.pid"]
    assert not any(map(keep["process.fork"], EVERYTHING))


def test_a_filter_leaves_other_event_types_alone() -> None:
    keep = compiled(FieldFilter(events=("process.ex*", "span"), exclude=("process.user.id",)))
    assert not keep["process.exec"]("process.user.id")
    assert not keep["span"]("process.user.id")
    assert keep["process.fork"]("process.user.id")


def test_event_types_under_the_same_filters_share_their_cache() -> None:
    keep = compiled(FieldFilter(events=("process.ex*",), exclude=("process.user.id",)))
    assert keep["process.exec"] is keep["process.exit"]
    assert keep["process.fork"] is keep["span"]


def test_globs_tell_upper_from_lower_case() -> None:
    keep = compiled(FieldFilter(exclude=("k8s.pod.label.App",)))["process.exec"]
    assert keep("k8s.pod.label.app")
    assert not keep("k8s.pod.label.App")


def test_a_key_with_dots_and_slashes_can_be_picked() -> None:
    keep = compiled(FieldFilter(exclude=("k8s.pod.annotation.example.com/*",)))["process.exec"]
    assert not keep("k8s.pod.annotation.example.com/owner")
    assert keep("k8s.pod.annotation.example.org/owner")


@pytest.mark.parametrize(
    "glob",
    [
        "*",
        "process.*",
        "*.id",
        "k8s.pod.*",
        "*.owner",
        "*/owner",
        "k8s.*.example.com/[a-z]*",
        "k8s.pod.label.?",
        "k8s.pod.l*l.x",
        "k8s.pod.annotation.example.com/*",
        "[k]8s.pod.label.app",
        "k8s.pod.*.[!a]",
        "log.record.uid",
    ],
)
def test_accepts_a_glob_that_some_attribute_can_match(glob: str) -> None:
    compiled(FieldFilter(include=(glob,)))


@pytest.mark.parametrize(
    ("glob", "hint"),
    [
        ("process.pdi", "did you mean process.pid?"),
        ("proces.*", "did you mean process.*?"),
        ("k8s.pod.labels.app", "did you mean k8s.pod.label.*?"),
        ("k8s.pod.annotations.*", "did you mean k8s.pod.annotation.*?"),
        ("K8s.pod.name", "did you mean k8s.pod.name?"),
        ("k8s.pod.annotation.", "did you mean k8s.pod.annotation.*?"),
        ("k8s.pod.annotation", "did you mean k8s.pod.annotation.*?"),
    ],
)
def test_refuses_a_glob_that_no_attribute_can_match_and_guesses_what_was_meant(glob: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compiled(FieldFilter(include=("process.pid",)), FieldFilter(exclude=("host.id", glob)))
    assert caught.value.where == "c.yaml: sinks.a.fields[1].exclude[1]"
    assert caught.value.what.startswith(f"{glob} matches no attribute of any event type")
    assert caught.value.hint == hint


def test_refuses_a_glob_with_nothing_like_it_by_naming_some_attributes() -> None:
    with pytest.raises(ConfigError, match=r"known: .*process\.pid, .*…"):
        compiled(FieldFilter(include=("?",)))


def test_says_which_event_type_has_the_attribute_that_this_one_lacks() -> None:
    with pytest.raises(ConfigError) as caught:
        compiled(FieldFilter(events=("process.fork",), include=("process.exit.code",)))
    assert str(caught.value) == (
        "c.yaml: sinks.a.fields[0].include[0]: process.exit.code matches no attribute of process.fork "
        "(it is on process.exit, span)"
    )


def test_refuses_a_filter_for_no_event_type() -> None:
    with pytest.raises(ConfigError) as caught:
        compiled(FieldFilter(events=("process.exec", "proces.exit")))
    assert str(caught.value) == (
        "c.yaml: sinks.a.fields[0].events[1]: proces.exit matches no event type (did you mean process.exit?)"
    )


NAMES = st.one_of(
    st.sampled_from(RESOURCE),
    st.builds(lambda prefix, key: prefix + key, st.sampled_from(TEMPLATES), st.text("ab./-[]*?!", min_size=1)),
)


@st.composite
def globs_for_a_name(draw: st.DrawFn) -> tuple[str, str]:
    """A name, and a glob made of it by putting wildcards in place of its parts."""
    name = draw(NAMES)
    glob = ""
    at = 0
    while at < len(name):
        how = draw(st.sampled_from(("literal", "one", "class", "many")))
        if how == "many":
            glob += "*"
            at = draw(st.integers(at, len(name)))
            continue
        plain = name[at] not in "[]*?!"
        glob += {"literal": name[at], "class": f"[{name[at]}]"}.get(how, "?") if plain else "?"
        at += 1
    return name, glob


@given(globs_for_a_name())
@example(("k8s.pod.label.x", "*x"))
@example(("k8s.pod.label.x", "k8s.pod.label**"))
def test_any_glob_that_matches_a_possible_attribute_is_accepted(pair: tuple[str, str]) -> None:
    name, glob = pair
    assert fnmatchcase(name, glob)
    assert compiled(FieldFilter(include=(glob,)))["process.exec"](name)


@given(st.text("k8s.podlabenti*?[!]-", min_size=1, max_size=24))
def test_a_glob_is_refused_only_if_it_matches_nothing_we_know(glob: str) -> None:
    matches = any(fnmatchcase(name, glob) for name in EVERYTHING)
    try:
        compiled(FieldFilter(include=(glob,)))
    except ConfigError:
        assert not matches


def test_a_list_of_fields_does_not_empty_what_the_agent_tells_of_itself_but_an_exclusion_does() -> None:
    keep = fields.compile([FieldFilter(include=("process.pid",))], TOLD, where="")
    assert not keep["process.exec"](SEQUENCE)
    for kind in AGENT_KINDS:
        assert all(map(keep[kind.name], (*kind.attributes, "host.name")))
    keep = fields.compile([FieldFilter(exclude=("podwitness.agent.lost.sequences", "host.name"))], TOLD, where="")
    assert not keep["agent.events_lost"]("podwitness.agent.lost.sequences")
    assert not keep["agent.events_lost"]("host.name")


def test_the_number_in_the_stream_can_be_left_out_by_its_name() -> None:
    keep = fields.compile([FieldFilter(events=("process.exec",), exclude=(SEQUENCE,))], TOLD, where="")
    assert not keep["process.exec"](SEQUENCE)
    assert keep["process.exit"](SEQUENCE)


def test_guesses_names_of_the_agents_own_fields_too() -> None:
    with pytest.raises(ConfigError) as caught:
        fields.compile([FieldFilter(exclude=("podwitness.event.sequense",))], TOLD, where="")
    assert caught.value.hint == "did you mean podwitness.event.sequence?"
