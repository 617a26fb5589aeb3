"""Entries of the kernel's map as numbers; the layout is the objects' own. What fills the map is in tests/kernel."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from exporter.config_observe import Network
from exporter.errors import KernelError
from exporter.source import descriptors, destinations
from exporter.source.btf import Types
from exporter.source.destinations import Destinations
from exporter.source.libbpf import Object, library
from exporter.source.programs import objects_directory

BPF_MAP_TYPE_HASH = 1
KEY, VALUE, ROOM = 40, 72 + 25 * 8, 3000


@pytest.fixture
def layouts() -> Types:
    opened = Object(objects_directory() / "snapshot.bpf.o")
    try:
        return Types(opened.btf())
    finally:
        opened.close()


@contextmanager
def a_map(value_bytes: int = VALUE) -> Iterator[int]:
    """A map as the kernel makes it of bpf/destination.h, smaller."""
    made = library().bpf_map_create(BPF_MAP_TYPE_HASH, b"test", KEY, value_bytes, ROOM, None)
    if made < 0:
        pytest.skip("needs the right to make BPF maps")
    try:
        yield int(made)
    finally:
        os.close(made)


@pytest.fixture
def fd() -> Iterator[int]:
    with a_map() as made:
        yield made


def key(pid: int) -> bytes:
    return struct.pack("<QQIHH16s", 7, 2, pid, 6, 443, b"\0" * 10 + b"\xff\xff\x0a\0\0\1")


def value(first: int, established: int) -> bytes:
    return struct.pack("<9Q25Q", first, 10, established, 1, 2, 3, 4, 5, 6, *range(25))


def test_nothing_is_read_where_nobody_asked(layouts: Types, fd: int) -> None:
    assert Destinations({"destinations": fd}, layouts, Network()).read() == []
    assert list(descriptors.entries(fd, KEY, VALUE)) == []


def test_the_entry_for_what_finds_no_room_is_there_from_the_start_and_is_made_once(layouts: Types, fd: int) -> None:
    asked = Network(metrics=True)
    (rest,) = Destinations({"destinations": fd}, layouts, asked).read()
    assert rest.is_rest
    assert rest.first > 0
    assert rest.established == 0
    assert Destinations({"destinations": fd}, layouts, asked).read() == [rest], "a later agent finds it"


def test_each_member_is_where_it_belongs(layouts: Types, fd: int) -> None:
    counted = Destinations({"destinations": fd}, layouts, Network(metrics=True))
    descriptors.put_new(fd, key(4711), value(99, 23))
    (found,) = [one for one in counted.read() if not one.is_rest]
    assert found._asdict() == {
        "key": key(4711), "start_time": 7, "exec_id": 2, "pid": 4711, "protocol": 6, "port": 443,
        "address": b"\0" * 10 + b"\xff\xff\x0a\0\0\1", "first": 99, "cgroup": 10, "established": 23, "failed": 1,
        "begun": 2, "ended": 3, "sent": 4, "received": 5, "latency": 6, "latencies": tuple(range(25)),
    }  # fmt: skip


def test_what_is_just_being_made_comes_later(layouts: Types, fd: int) -> None:
    counted = Destinations({"destinations": fd}, layouts, Network(metrics=True))
    descriptors.put_new(fd, key(4711), value(0, 0))
    assert [one.is_rest for one in counted.read()] == [True]


def test_what_is_taken_out_is_gone(layouts: Types, fd: int) -> None:
    counted = Destinations({"destinations": fd}, layouts, Network(metrics=True))
    descriptors.put_new(fd, key(4711), value(99, 23))
    taken = counted.take(key(4711))
    assert taken is not None
    assert taken.established == 23
    assert counted.take(key(4711)) is None
    assert [one.is_rest for one in counted.read()] == [True]


def test_every_entry_of_a_full_map_is_read_and_the_next_finds_no_room(fd: int) -> None:
    for pid in range(ROOM):
        descriptors.put_new(fd, key(pid), value(1, pid))
    assert dict(descriptors.entries(fd, KEY, VALUE)) == {key(pid): value(1, pid) for pid in range(ROOM)}
    with pytest.raises(KernelError, match="entry cannot be made"):
        descriptors.put_new(fd, key(ROOM), value(1, 1))


def test_what_an_earlier_build_has_counted_is_added_once_and_goes_on_as_the_same_series(layouts: Types) -> None:
    with a_map() as old, a_map() as new:
        Destinations({"destinations": old}, layouts, Network(metrics=True))
        counted = Destinations({"destinations": new}, layouts, Network(metrics=True))
        descriptors.put_new(old, key(1), value(90, 23))
        descriptors.put_new(old, key(2), value(91, 5))
        descriptors.put_new(new, key(1), value(99, 2))
        for _ in range(2):
            counted.inherit(old)
        found = {one.pid: one for one in counted.read()}
        assert list(descriptors.entries(old, KEY, VALUE)) == []
    assert {pid: (one.first, one.established) for pid, one in found.items() if pid} == {1: (90, 25), 2: (91, 5)}
    assert found[1].latencies == tuple(2 * number for number in range(25))
    assert found[0].is_rest


def test_what_finds_no_room_any_more_is_added_to_the_rest(layouts: Types) -> None:
    with a_map() as old, a_map() as new:
        counted = Destinations({"destinations": new}, layouts, Network(metrics=True))
        for pid in range(1, ROOM):
            descriptors.put_new(new, key(pid), value(1, 0))
        for pid in range(ROOM, ROOM + 23):
            descriptors.put_new(old, key(pid), value(1, 10))
        counted.inherit(old)
        (rest,) = [one for one in counted.read() if one.is_rest]
    assert rest.established == 230


def test_a_map_of_another_layout_is_left_alone_and_that_is_said(
    layouts: Types, caplog: pytest.LogCaptureFixture
) -> None:
    with a_map(VALUE + 8) as old, a_map() as new:
        descriptors.put_new(old, key(1), bytes(VALUE + 8))
        Destinations({"destinations": new}, layouts, Network(metrics=True)).inherit(old)
        assert len(list(descriptors.entries(old, KEY, VALUE + 8))) == 1
    assert "an earlier build" in caplog.text


def test_only_who_asked_pays_for_it() -> None:
    assert destinations.constants(Network()) == {"count_destinations": b"\0"}
    assert destinations.constants(Network(metrics=True)) == {"count_destinations": b"\1"}
    assert destinations.kinds(Network()) == ()
    assert [kind.name for kind in destinations.kinds(Network(metrics=True))] == ["network.connect"]
