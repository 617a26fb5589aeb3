"""Losses told once each, across agents, with the times that enclose them; the counters are in memory here."""

import os
from collections.abc import Iterator

import pytest

from exporter.source import libbpf
from exporter.source.btf import Types
from exporter.source.losses import Losses, Lost, Tally, in_words
from exporter.source.programs import objects_directory
from exporter.source.words import Words


class Counters:
    """A page with two `struct ring_counts`, as the kernel and its reader share it."""

    def __init__(self) -> None:
        opened = libbpf.Object(objects_directory() / "process.bpf.o")
        types = Types(opened.btf())
        opened.close()
        fd = os.memfd_create("counts")
        os.ftruncate(fd, 4096)
        self.words = Words(fd, types, "ring_counts")
        os.close(fd)

    def lose(self, count: int, now: int, ring: int = 0) -> None:
        """What note_loss() does."""
        self.words.set("lost.until", now, ring)
        self.words.set("lost.count", self.words.get("lost.count", ring) + count, ring)
        if not self.words.get("lost.since", ring):
            self.words.set("lost.since", now, ring)

    def tallies(self) -> list[Tally]:
        return [
            in_words(self.words, "lost.", at, key=f"{at}.lost", ring=ring, reason="ring_full")
            for at, ring in enumerate(("lifecycle", "activity"))
        ]


@pytest.fixture
def counters() -> Iterator[Counters]:
    counters = Counters()
    yield counters
    counters.words.close()


def test_a_loss_is_told_once_with_the_time_of_its_first_and_last(counters: Counters) -> None:
    losses = Losses(looked=100)
    counters.lose(2, now=110)
    counters.lose(1, now=120)
    assert losses.news(counters.tallies(), now=130) == [Lost("lifecycle", "ring_full", 3, 110, 120)]
    assert losses.news(counters.tallies(), now=140) == []
    counters.lose(1, now=150)
    counters.lose(1, now=150, ring=1)
    assert losses.news(counters.tallies(), now=160) == [
        Lost("lifecycle", "ring_full", 1, 150, 150),
        Lost("activity", "ring_full", 1, 150, 150),
    ]


def test_the_next_agent_tells_what_was_lost_meanwhile_and_nothing_else(counters: Counters) -> None:
    first, second = Losses(looked=100), Losses(looked=0)
    counters.lose(2, now=110)
    first.news(counters.tallies(), now=120)
    state = first.state()
    counters.lose(5, now=200)
    second.restore(state, taken=120)
    assert second.news(counters.tallies(), now=300) == [Lost("lifecycle", "ring_full", 5, 200, 200)]


def test_where_an_agent_looked_and_ended_before_it_told_the_loss_begins_at_the_last_told_look(
    counters: Counters,
) -> None:
    first, second = Losses(looked=100), Losses(looked=0)
    first.news(counters.tallies(), now=120)
    state = first.state()
    counters.lose(2, now=130)
    first.news(counters.tallies(), now=140)
    counters.lose(1, now=200)
    second.restore(state, taken=140)
    assert second.news(counters.tallies(), now=300) == [Lost("lifecycle", "ring_full", 3, 120, 200)]


def test_a_counter_without_times_is_between_two_looks() -> None:
    losses = Losses(looked=100)
    assert losses.news([Tally("9.recursion", "*", "recursion", lambda: 4)], now=150) == [
        Lost("*", "recursion", 4, 100, 150)
    ]


def test_counters_are_settled_when_a_state_that_tells_of_them_is_safe(counters: Counters) -> None:
    losses = Losses(looked=100)
    assert losses.settled(counters.tallies())
    counters.lose(1, now=110)
    losses.news(counters.tallies(), now=120)
    assert not losses.settled(counters.tallies())
    losses.state()
    assert not losses.settled(counters.tallies())
    losses.confirm()
    assert losses.settled(counters.tallies())


def test_what_was_told_after_the_state_that_is_safe_is_not_settled(counters: Counters) -> None:
    losses = Losses(looked=100)
    losses.state()
    counters.lose(1, now=110)
    losses.news(counters.tallies(), now=120)
    losses.confirm()
    assert not losses.settled(counters.tallies())


def test_what_another_agent_may_have_told_is_not_told_again(counters: Counters) -> None:
    losses = Losses(looked=0)
    counters.lose(2, now=110)
    losses.adopt(counters.tallies(), now=120)
    assert losses.news(counters.tallies(), now=130) == []
    counters.lose(1, now=140)
    assert losses.news(counters.tallies(), now=150) == [Lost("lifecycle", "ring_full", 1, 140, 140)]


@pytest.mark.parametrize("damaged", [b"{", b"[]", b'{"looked": "x"}', b"\xff"])
def test_a_damaged_state_is_no_end_of_the_agent(counters: Counters, damaged: bytes) -> None:
    losses = Losses(looked=0)
    losses.restore(damaged, taken=0)
    counters.lose(1, now=110)
    assert losses.news(counters.tallies(), now=120) == [Lost("lifecycle", "ring_full", 1, 110, 110)]
