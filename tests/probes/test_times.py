"""Times in attributes, as semantic conventions show them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.probes.times import iso

CALENDAR = st.integers(-62_135_596_800 * 10**9, 253_402_300_800 * 10**9 - 1)


@given(CALENDAR)
def test_any_time_of_the_calendar_reads_back_to_the_millisecond(unix_ns: int) -> None:
    told = iso(unix_ns)
    assert len(told) == len("2026-11-20T08:41:03.123Z")
    since = datetime.fromisoformat(told) - datetime(1970, 1, 1, tzinfo=UTC)
    milliseconds = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    assert milliseconds == unix_ns // 10**6


def test_what_semantic_conventions_show() -> None:
    assert iso(1_700_492_063_123_999_999) == "2023-11-20T14:54:23.123Z"
    assert iso(0) == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("beyond", "nearest"), [(-(1 << 80), "0001-01-01T00:00:00.000Z"), (1 << 80, "9999-12-31T23:59:59.999Z")]
)
def test_a_time_that_no_calendar_has_is_the_nearest_that_it_has(beyond: int, nearest: str) -> None:
    assert iso(beyond) == nearest
