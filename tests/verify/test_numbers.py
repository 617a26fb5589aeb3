"""Numbers of a stream: exact whatever their order, and small whatever their count."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from exporter.verify.numbers import Numbers


@given(st.lists(st.tuples(st.integers(1, 300) | st.integers(1, 1 << 62), st.sampled_from("ab"), st.integers(0, 1))))
def test_each_record_is_judged_by_the_first_of_its_number(records: list[tuple[int, str, int]]) -> None:
    numbers, known = Numbers(), dict[int, tuple[str, int]]()
    for number, uid, content in records:
        first = known.setdefault(number, (uid, content)) if number in known else None
        known.setdefault(number, (uid, content))
        expected = (
            "new" if first is None else "other" if first[0] != uid else "again" if first[1] == content else "changed"
        )
        assert numbers.see(number, uid, content) == expected
        assert number in numbers
    seen = [number for first, last in numbers.ranges() for number in range(first, last + 1)]
    assert seen == sorted(known)


def test_numbers_with_one_uid_between_them_are_found() -> None:
    numbers = Numbers()
    for number in range(1, 2000):
        numbers.see(number, f"uid-{number}", number)
    numbers.see(5000, "uid-7", 1)
    numbers.see(6000, "uid-7", 1)
    numbers.see(7000, "uid-1999", 1)
    numbers.see(8000, "", 1)
    numbers.see(8001, "", 1)  # without a uid there is nothing to share
    assert numbers.shared() == [(7, 5000, 6000), (1999, 7000)]


def test_half_a_million_records_take_less_than_twenty_bytes_each() -> None:
    tracemalloc.start()
    try:
        numbers = Numbers()
        for number in range(1, 500_001):
            numbers.see(number, "u" + str(number), number)
        held, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 20 * 500_000
