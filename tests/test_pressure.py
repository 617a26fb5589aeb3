"""The memory ceiling: which step begins when, that each is undone, and that none flaps."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Kind
from exporter.pressure import CALM_SECONDS, MARGIN, Change, Pressure, Step, dispensable, ladder

MIB = 1 << 20
LIMIT = 100 * MIB
PLAN = (("caches", 0.80), ("activity:file.open", 0.85), ("arguments", 0.90), ("queues", 0.95))


class Agent:
    """Memory as somebody says it is, and what the steps did."""

    def __init__(self, memory: float = 0.5) -> None:
        self.memory, self.did = memory, list[str]()
        self.now = 1000.0
        self.pressure = Pressure(
            LIMIT,
            [Step(name, at, self.doing(f"begin {name}"), self.doing(f"undo {name}")) for name, at in PLAN],
            measure=lambda: int(self.memory * LIMIT),
        )

    def doing(self, what: str) -> Callable[[], None]:
        return lambda: self.did.append(what)

    def at(self, memory: float, seconds: float = 1.0) -> list[Change]:
        """One look, `seconds` later, with `memory` as a share of the limit."""
        self.memory = memory
        self.now += seconds
        return self.pressure.look(self.now)


def test_nothing_happens_below_the_first_share() -> None:
    agent = Agent()
    assert [agent.at(0.79) for _ in range(100)] == [[]] * 100
    assert agent.did == []


def test_a_step_begins_at_its_share_and_says_so_with_the_figures() -> None:
    agent = Agent()
    assert agent.at(0.81) == [Change("caches", "begun", int(0.81 * LIMIT), LIMIT)]
    assert agent.did == ["begin caches"]
    assert agent.pressure.begun == ("caches",)
    assert agent.at(0.84) == []


def test_a_sudden_flood_begins_all_that_are_due_at_one_look() -> None:
    agent = Agent()
    assert [change.step for change in agent.at(0.93)] == ["caches", "activity:file.open", "arguments"]


def test_a_step_that_helps_spares_the_next_ones() -> None:
    """Memory is measured again after each."""
    agent = Agent()

    def drop_caches() -> None:
        agent.memory = 0.6

    pressure = Pressure(
        LIMIT,
        [Step("caches", 0.8, drop_caches, lambda: None), Step("queues", 0.9, agent.doing("queues"), lambda: None)],
        measure=lambda: int(agent.memory * LIMIT),
    )
    agent.memory = 0.97
    assert [change.step for change in pressure.look(1.0)] == ["caches"]
    assert agent.did == []


def test_freed_memory_is_given_back_before_a_step_is_resorted_to() -> None:
    agent = Agent(memory=0.97)

    def relieve() -> None:
        agent.memory = 0.5

    pressure = Pressure(
        LIMIT, [Step("caches", 0.8, agent.doing("caches"), lambda: None)], measure=lambda: int(agent.memory * LIMIT),
        relieve=relieve,
    )  # fmt: skip
    assert pressure.look(1.0) == []


def test_steps_are_undone_in_reverse_order_each_after_a_calm_while() -> None:
    agent = Agent()
    agent.at(0.96)
    undone = []
    for _ in range(200):
        undone += [(agent.now, change.step, change.state) for change in agent.at(0.5)]
    assert [(step, state) for _, step, state in undone] == [(name, "undone") for name, _ in reversed(PLAN)]
    times = [now for now, _, _ in undone]
    assert all(later - earlier >= CALM_SECONDS for earlier, later in pairwise(times))
    assert agent.pressure.begun == ()


def test_a_moment_of_more_memory_begins_the_calm_anew() -> None:
    agent = Agent()
    agent.at(0.81)
    agent.at(0.5, CALM_SECONDS - 2)
    agent.at(0.79)
    assert agent.at(0.5) == []
    assert agent.at(0.5, CALM_SECONDS - 1) == []
    assert [change.state for change in agent.at(0.5)] == ["undone"]


def test_memory_is_looked_at_four_times_a_second() -> None:
    looks = []
    pressure = Pressure(LIMIT, [], measure=lambda: looks.append(1) or 0)  # type: ignore[func-returns-value]
    for tick in range(1000, 3000):
        pressure.look(tick / 1000)
    assert len(looks) == 8


def test_a_step_that_fails_is_logged_and_counts_as_begun(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("no such cache")

    pressure = Pressure(LIMIT, [Step("caches", 0.8, fail, fail)], measure=lambda: LIMIT)
    assert [change.step for change in pressure.look(1.0)] == ["caches"]
    assert "step caches failed" in caplog.text


def test_steps_out_of_order_are_a_mistake_of_ours() -> None:
    steps = [Step(name, at, lambda: None, lambda: None) for name, at in (("a", 0.9), ("b", 0.8))]
    with pytest.raises(ValueError, match="out of order"):
        Pressure(LIMIT, steps, measure=lambda: 0)


shares = st.floats(min_value=0.0, max_value=1.5)


@given(st.lists(shares, max_size=200))
def test_whatever_memory_does_steps_nest_like_brackets(course: list[float]) -> None:
    agent = Agent()
    for memory in course:
        agent.at(memory, 10.0)
    stack = list[str]()
    for did in agent.did:
        what, _, name = did.partition(" ")
        if what == "begin":
            assert name == PLAN[len(stack)][0]
            stack.append(name)
        else:
            assert name == stack.pop()
    assert tuple(stack) == agent.pressure.begun


@given(st.sampled_from(range(len(PLAN))), st.lists(st.floats(min_value=0, max_value=0.999), max_size=200))
def test_within_the_margin_of_a_step_nothing_ever_changes(nth: int, course: list[float]) -> None:
    agent = Agent()
    at = PLAN[nth][1]
    agent.at(at)
    ceiling = PLAN[nth + 1][1] if nth + 1 < len(PLAN) else 2.0
    for share in course:
        assert agent.at(at - MARGIN + 0.001 + share * (ceiling - at + MARGIN - 0.002), 10.0) == []


@given(st.lists(shares, max_size=100), st.floats(min_value=0.0, max_value=PLAN[0][1] - MARGIN - 0.01))
def test_whatever_memory_did_all_is_undone_once_it_has_fallen(course: list[float], low: float) -> None:
    agent = Agent()
    for memory in course:
        agent.at(memory)
    for _ in range(len(PLAN) + 1):
        agent.at(low, CALM_SECONDS)
    assert agent.pressure.begun == ()


@given(st.lists(st.tuples(shares, st.floats(min_value=1.0, max_value=100.0)), max_size=200))
def test_no_step_comes_and_goes_faster_than_the_calm(course: list[tuple[float, float]]) -> None:
    agent = Agent()
    began = dict[str, float]()
    for memory, seconds in course:
        for change in agent.at(memory, seconds):
            if change.state == "begun":
                began[change.step] = agent.now
            else:
                assert agent.now - began[change.step] >= CALM_SECONDS


def nothing() -> None:
    """What a step does in these tests."""


def test_the_ladder_has_the_steps_in_their_order_whatever_there_is_of_activity() -> None:
    kinds = ("file.open", "network.connect", "dns.query")
    for count in range(len(kinds) + 1):
        steps = ladder(
            caches=(nothing, nothing),
            activity=[(name, (nothing, nothing)) for name in kinds[:count]],
            arguments=(nothing, nothing),
            queues=(nothing, nothing),
            processes=(nothing, nothing),
        )
        names = [step.name for step in steps]
        assert names == ["caches", *(f"activity:{name}" for name in kinds[:count]), "arguments", "queues", "processes"]
        Pressure(LIMIT, steps, measure=lambda: 0)


def test_only_activity_can_be_switched_off_the_least_important_first() -> None:
    kinds = [
        Kind(name="network.connect", ring="activity", importance=2),
        Kind(name="process.exec", ring="lifecycle"),
        Kind(name="file.open", ring="activity", importance=1),
    ]
    assert dispensable(kinds) == ["file.open", "network.connect"]
