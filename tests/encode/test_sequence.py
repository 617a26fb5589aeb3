"""Every record of a stream has the number after that of the one before; payloads say which numbers are in them."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, cast

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from exporter.config import Batch
from exporter.encode.fluent import FluentEncoder
from exporter.encode.otlp import LogsEncoder
from exporter.encode.otlp_json import LogsJsonEncoder
from exporter.encode.otlp_values import LOG_TAG, encoder
from exporter.encode.sequence import numbered, unnumbered
from exporter.encode.text import TextEncoder
from exporter.model import SEQUENCE, Event, Keep, Payload, Ranges, Stream, Value, joined
from tests.encode.events import ALL_KINDS, BARE, KNOCK, TOUCH, make_event, make_process, make_stream

Said = tuple[int | None, str]
"""A record's number and the id of its stream."""


class Encoder(Protocol):
    """What all four have."""

    def encode(self, events: Sequence[Event], /) -> Iterator[Payload]:
        """Take in."""

    def flush(self) -> Iterator[Payload]:
        """Give the rest."""


Make = Callable[[dict[str, Keep], Batch, Stream], Encoder]


def same_keep(keep: Keep) -> dict[str, Keep]:
    return {kind.name: keep for kind in ALL_KINDS}


EVERYTHING = same_keep(lambda _name: True)

ENCODERS: dict[str, Make] = {
    "otlp": lambda keep, batch, stream: LogsEncoder(ALL_KINDS, keep, batch, "1", stream),
    "otlp_json": lambda keep, batch, stream: LogsJsonEncoder(ALL_KINDS, keep, batch, "1", stream),
    "fluent": lambda keep, batch, stream: FluentEncoder(ALL_KINDS, keep, batch, "t", stream),
    "text": lambda keep, batch, stream: TextEncoder(ALL_KINDS, keep, batch, "n", stream, timestamps=False),
}


def otlp_says(payload: Payload) -> list[Said]:
    found = []
    for group in LogsData.FromString(payload.data).resource_logs:
        (scope_logs,) = group.scope_logs
        scope = {item.key: item.value.string_value for item in scope_logs.scope.attributes}
        for record in scope_logs.log_records:
            numbers = [item.value.int_value for item in record.attributes if item.key == SEQUENCE]
            found.append((numbers[0] if numbers else None, scope["podwitness.stream.id"]))
    return found


def otlp_json_says(payload: Payload) -> list[Said]:
    found = []
    for group in json.loads(payload.data)["resourceLogs"]:
        (scope_logs,) = group["scopeLogs"]
        scope = {item["key"]: item["value"]["stringValue"] for item in scope_logs["scope"]["attributes"]}
        for record in scope_logs["logRecords"]:
            numbers = [int(item["value"]["intValue"]) for item in record["attributes"] if item["key"] == SEQUENCE]
            found.append((numbers[0] if numbers else None, scope["podwitness.stream.id"]))
    return found


def fluent_says(payload: Payload) -> list[Said]:
    unpacker = msgpack.Unpacker()
    unpacker.feed(payload.data)
    return [(record.get(SEQUENCE), record["podwitness.stream.id"]) for _time, record in unpacker]


SAYS: dict[str, Callable[[Payload], list[Said]]] = {
    "otlp": otlp_says,
    "otlp_json": otlp_json_says,
    "fluent": fluent_says,
}

every_encoder = pytest.mark.parametrize("name", ENCODERS)
with_numbers = pytest.mark.parametrize("name", SAYS)


def events(count: int, *, length: int = 10) -> list[Event]:
    people = [make_process(), make_process()]
    kinds = (TOUCH, BARE, KNOCK)
    found = []
    for n in range(count):
        event = make_event(kinds[n % 3], people[n % 2], uid=f"{n}")
        if event.kind is KNOCK:
            event.values = ("x" * (n * 37 % length), n)
        found.append(event)
    return found


def numbers_in(ranges: Ranges) -> list[int]:
    return [number for first, last in ranges for number in range(first, last + 1)]


@every_encoder
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_numbers_run_on_from_the_streams_through_all_payloads(name: str, data: st.DataObject) -> None:
    first = data.draw(st.sampled_from([1, 120, (1 << 14) - 20, 1 << 40]) | st.integers(1, 1 << 62))
    limits = Batch(max_records=data.draw(st.integers(1, 40)), max_bytes=data.draw(st.integers(500, 20_000)))
    stream, sent = make_stream(first), events(150, length=900)
    encoder = ENCODERS[name](EVERYTHING, limits, stream)
    payloads = [p for start in range(0, 150, 60) for p in encoder.encode(sent[start : start + 60])]
    payloads += encoder.flush()

    assert stream.next == first + 150
    assert joined(*(payload.sequences for payload in payloads)) == ((first, first + 149),)
    for payload in payloads:
        inside = numbers_in(payload.sequences)
        assert len(inside) == payload.records
        if name in SAYS:
            assert sorted(number or 0 for number, _ in SAYS[name](payload)) == inside


def test_a_fluent_chunk_has_the_numbers_between_which_those_of_other_tags_lie() -> None:
    encoder = ENCODERS["fluent"](EVERYTHING, Batch(), make_stream(7))
    knock, bare = (make_event(kind, make_process()) for kind in (KNOCK, BARE))
    assert not list(encoder.encode([knock, knock, bare, knock, bare, bare]))
    assert {payload.tag: payload.sequences for payload in encoder.flush()} == {
        "t.test.knock": ((7, 8), (10, 10)),
        "t.bare": ((9, 9), (11, 12)),
    }
    assert not list(encoder.encode([bare]))
    assert [payload.sequences for payload in encoder.flush()] == [((13, 13),)]


class Poison:
    """No Value, and nothing can be made of it."""

    def __str__(self) -> str:
        raise TypeError("poison")

    __hash__ = None  # type: ignore[assignment]


@every_encoder
def test_an_event_that_cannot_be_encoded_takes_no_number(name: str) -> None:
    stream = make_stream()
    encoder = ENCODERS[name](EVERYTHING, Batch(), stream)
    good = make_event(KNOCK, make_process(), ("fine", 1))
    bad = make_event(KNOCK, make_process(), ("poison", cast(Value, Poison())))
    assert not list(encoder.encode([good]))
    for _ in range(2):
        with pytest.raises(TypeError):
            list(encoder.encode([bad]))
    assert not list(encoder.encode([good]))
    assert stream.next == 3
    assert [payload.sequences for payload in encoder.flush()] == [((1, 2),)]


@every_encoder
def test_an_event_whose_resource_cannot_be_encoded_takes_none_either(name: str) -> None:
    stream = make_stream()
    encoder = ENCODERS[name](EVERYTHING, Batch(), stream)
    bad = make_event(KNOCK, make_process(), ("", 1))
    bad.resource.attributes["k8s.pod.name"] = cast(Value, Poison())
    with pytest.raises(TypeError):
        list(encoder.encode([bad]))
    assert stream.next == 1


@with_numbers
def test_where_the_number_is_filtered_out_the_counting_goes_on(name: str) -> None:
    keep = same_keep(lambda name: name != SEQUENCE) | {"bare": lambda _name: True}
    stream = make_stream(126)
    encoder = ENCODERS[name](keep, Batch(), stream)
    knock, bare = (make_event(kind, make_process()) for kind in (KNOCK, BARE))
    payloads = [*encoder.encode([knock, bare, knock, bare]), *encoder.flush()]
    assert sorted(number or 0 for payload in payloads for number, _ in SAYS[name](payload)) == [0, 0, 127, 129]
    assert joined(*(payload.sequences for payload in payloads)) == ((126, 129),)


@with_numbers
def test_a_stream_that_begins_anew_leaves_what_was_pending_with_the_old_one(name: str) -> None:
    stream = make_stream(1000)
    old = stream.id
    encoder = ENCODERS[name](EVERYTHING, Batch(), stream)
    bare = make_event(BARE, make_process())
    assert not list(encoder.encode([bare, bare]))
    stream.id, stream.next = "another", 1
    payloads = [*encoder.encode([bare]), *encoder.flush()]
    assert [SAYS[name](payload) for payload in payloads] == [[(1000, old), (1001, old)], [(1, "another")]]
    assert [payload.sequences for payload in payloads] == [((1000, 1001),), ((1, 1),)]


@every_encoder
def test_a_payload_says_of_which_stream_its_numbers_are(name: str) -> None:
    stream = make_stream()
    old = stream.id
    encoder = ENCODERS[name](EVERYTHING, Batch(), stream)
    bare = make_event(BARE, make_process())
    assert not list(encoder.encode([bare]))
    stream.id, stream.next = "another", 1
    assert [payload.stream for payload in encoder.flush()] == [old], "what is pending was numbered before"
    assert [payload.stream for payload in (*encoder.encode([bare]), *encoder.flush())] == ["another"]


@every_encoder
def test_who_stops_following_the_iterator_loses_no_record_that_has_a_number(name: str) -> None:
    stream, sent = make_stream(), events(30, length=900)
    encoder = ENCODERS[name](EVERYTHING, Batch(max_bytes=1000), stream)
    payloads = [next(encoder.encode(sent))]
    payloads += encoder.flush()
    assert joined(*(payload.sequences for payload in payloads)) == ((1, stream.next - 1),)


@settings(max_examples=200)
@given(st.integers(1, (1 << 63) - 1), st.binary(max_size=3))
def test_a_block_gives_what_each_number_gives_by_itself(number: int, before: bytes) -> None:
    alone: Any = encoder(LOG_TAG, SEQUENCE, int)
    blocks = numbered(before, alone)
    for _ in range(2):
        begin, end = blocks(number >> 7)
        assert begin[number & 127] + end == before + alone(number)
    begin, end = unnumbered(before)(number >> 7)
    assert begin[number & 127] + end == before
