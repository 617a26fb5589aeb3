"""Stated losses against gaps: every missing number is explained once, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Ranges, joined
from exporter.verify.losses import COUNT, FROM, REASON, SEQUENCES, STAGE, TO, Losses

ranges = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair))), max_size=8)


def stated(ranges: list[tuple[int, int]]) -> dict[str, object]:
    texts = [f"{first}-{last}" if last > first else str(first) for first, last in ranges]
    return {STAGE: "sink", REASON: "queue_full", COUNT: 100, FROM: "a", TO: "b", SEQUENCES: texts}


def members(ranges: Ranges) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(ranges.map(tuple).map(joined), st.lists(ranges, max_size=5))
def test_pieces_are_the_gaps_and_each_is_wholly_stated_or_not_at_all(
    gaps: Ranges, statements: list[list[tuple[int, int]]]
) -> None:
    losses = Losses()
    for at, one in enumerate(statements):
        losses.take(stated(one), f"file:{at}")
    pieces = list(losses.explain(gaps))
    numbers = [number for first, last, _one in pieces for number in range(first, last + 1)]
    assert numbers == sorted(members(gaps))
    covered = members(tuple(pair for one in statements for pair in one))
    explained = {number for first, last, one in pieces if one for number in range(first, last + 1)}
    assert explained == members(gaps) & covered


@pytest.mark.parametrize("told", ["7-9,12", ["7-9", "12"], ("7-9", "12"), ["7-9,12"]])
def test_ranges_are_read_as_any_receiver_may_write_them(told: object) -> None:
    losses = Losses()
    losses.take({**stated([]), SEQUENCES: told}, "file:1")
    assert [piece[:2] for piece in losses.explain(((7, 9), (12, 12)))] == [(7, 9), (12, 12)]
    assert losses.without_numbers()[0].count == 96


@pytest.mark.parametrize("told", ["9-7", "x", "-3", ["0"], "1-2-3", "\u0663"])
def test_ranges_that_are_none_are_refused(told: object) -> None:
    with pytest.raises(ValueError, match="states lost numbers that are none"):
        Losses().take({**stated([]), SEQUENCES: told}, "file:1")


def test_losses_without_numbers_are_summed_by_reason_and_a_count_that_nobody_knows_stays_so() -> None:
    losses = Losses()
    for count, since, until in ((3, "b", "c"), (4, "a", "b"), (None, "c", "d"), (5, "c", "e")):
        losses.take({STAGE: "ring", REASON: "ring_full", COUNT: count, FROM: since, TO: until}, "file:1")
    (one,) = losses.without_numbers()
    assert (one.count, one.since, one.until) == (None, "a", "e")
