"""What is said of rows: read in older formats too, and added up by stream."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from exporter.sink.spool.clock import Moment
from exporter.sink.spool.rows import (
    Holding,
    Meta,
    Statement,
    Tally,
    checksum,
    decoded,
    meta_of,
    numbers,
    payload_of,
)

CLOCK = Moment("boot", 1, 2, 3)


def test_a_row_of_the_older_format_has_no_stream() -> None:
    meta = Meta("a", "otlp", "logs", "", 2, ((1, 2),), False, 9, 5, "not yet")
    older = msgspec.msgpack.encode(msgspec.structs.astuple(meta)[:-1])
    found = meta_of(7, older, checksum(older, 7))
    assert found == msgspec.structs.replace(meta, stream="")
    payload = payload_of(found, b"data")
    assert (payload.sequences, payload.stream, Tally.of(7, payload)) == (((1, 2),), "", Tally(((7, 7),), 2, ((1, 2),)))


def test_a_statement_of_the_older_format_has_numbers_of_no_stream() -> None:
    older = [1, 9, [[[1, 3]], 6, [[1, 6]]]]
    assert decoded(msgspec.msgpack.encode(older), Holding) == Holding(1, 9, Tally(((1, 3),), 6, ((1, 6),)))
    fields: tuple[object, ...] = ("name", 3, {7: 1}, {}, {}, 0, (1, 1), CLOCK, (("*", "spool_key"),))
    statement = decoded(msgspec.msgpack.encode(fields), Statement)
    assert statement is not None
    assert (statement.doubts, statement.losses) == ((("*", "spool_key"),), ())


rows = st.lists(st.tuples(st.sampled_from(["", "old", "new"]), st.integers(0, 4)), max_size=30)


@given(rows, st.data())
def test_what_leaves_and_what_stays_are_all_by_stream(drawn: list[tuple[str, int]], data: st.DataObject) -> None:
    nexts = {"": 1, "old": 1, "new": 1}
    tallies = []
    for row, (stream, records) in enumerate(drawn, start=1):
        first, nexts[stream] = nexts[stream], nexts[stream] + records
        sequences = ((first, first + records - 1),) if records else ()
        meta = Meta("a", "otlp", "logs", "", records or 3, sequences, False, 9, 5, stream)
        tallies.append(Tally.of(row, meta))
    leaving = data.draw(st.sets(st.integers(0, max(len(drawn) - 1, 0)))) if drawn else set()
    gone = Tally().plus(*(tallies[at] for at in leaving))
    stays = Tally().plus(*(one for at, one in enumerate(tallies) if at not in leaving))
    whole = Tally().plus(*tallies)
    assert whole.minus(gone) == stays
    assert stays.plus(gone) == whole
    assert sum(records for _, records, _ in whole.shares) == whole.records
    told = {stream: list(numbers(ranges)) for stream, _, ranges in whole.shares if ranges}
    assert told == {stream: list(range(1, end)) for stream, end in nexts.items() if end > 1}
