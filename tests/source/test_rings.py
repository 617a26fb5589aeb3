"""The reader against rings in memory, laid out as the kernel does: consumer page, producer page, data twice."""

import mmap
import os
import struct
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.source.rings import RingReader

SIZE = 4096
PAGE = mmap.PAGESIZE
BUSY, DISCARDED = 1 << 31, 1 << 30


class Memory:
    """A ring and its producer: what it writes it writes in both copies of the data."""

    def __init__(self, size: int = SIZE, start: int = 0) -> None:
        """`start` is the position at which producer and consumer stand: a ring in use for a while."""
        self.size = size
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * size)
        self.pages = mmap.mmap(self.fd, 2 * PAGE + 2 * size)
        struct.pack_into("<Q", self.pages, 0, start)
        struct.pack_into("<Q", self.pages, PAGE, start)

    @property
    def consumer(self) -> int:
        return int(struct.unpack_from("<Q", self.pages, 0)[0])

    @property
    def producer(self) -> int:
        return int(struct.unpack_from("<Q", self.pages, PAGE)[0])

    def write(self, data: bytes, flags: int = 0) -> int:
        """Reserve and commit a record as the kernel would; its position."""
        at = self.producer
        record = struct.pack("<II", len(data) | flags, 0) + data
        assert at + len(record) - self.consumer <= self.size, "the kernel would have counted a loss"
        self._store(at, record)
        struct.pack_into("<Q", self.pages, PAGE, at + (len(record) + 7 & ~7))
        return at

    def finish(self, at: int, data: bytes, flags: int = 0) -> None:
        """Commit (or discard) a record that was busy."""
        self._store(at, struct.pack("<II", len(data) | flags, 0))

    def _store(self, at: int, record: bytes) -> None:
        place = at % self.size
        before, after = record[: self.size - place], record[self.size - place :]
        for copy in (2 * PAGE, 2 * PAGE + self.size):
            self.pages[copy + place : copy + place + len(before)] = before
            self.pages[copy : copy + len(after)] = after

    def close(self) -> None:
        self.pages.close()
        os.close(self.fd)


@pytest.fixture
def memory() -> Iterator[Memory]:
    memory = Memory()
    yield memory
    memory.close()


@pytest.fixture
def reader(memory: Memory) -> Iterator[RingReader]:
    reader = RingReader("lifecycle", 0x1F, memory.fd, memory.size)
    yield reader
    reader.close()


def test_a_sample_has_its_bytes_and_the_place_where_it_stood(memory: Memory, reader: RingReader) -> None:
    places = [memory.write(b"first"), memory.write(b"the second, longer than eight")]
    samples = reader.read(10)
    assert [(sample.data, sample.position) for sample in samples] == [
        (b"first", places[0]),
        (b"the second, longer than eight", places[1]),
    ]
    assert {(sample.ring, sample.ring_id) for sample in samples} == {("lifecycle", 0x1F)}
    assert reader.read(10) == []


def test_a_record_in_the_making_holds_up_those_behind_it_until_it_is_done(memory: Memory, reader: RingReader) -> None:
    memory.write(b"done")
    slow = memory.write(b"slow", BUSY)
    memory.write(b"quick")
    assert [sample.data for sample in reader.read(10)] == [b"done"]
    assert reader.read(10) == []
    assert reader.cursor == slow < reader.written
    memory.finish(slow, b"slow")
    assert [sample.data for sample in reader.read(10)] == [b"slow", b"quick"]


def test_a_discarded_record_is_passed_over(memory: Memory, reader: RingReader) -> None:
    memory.write(b"one")
    memory.write(b"thought better of it", DISCARDED)
    memory.write(b"two")
    memory.write(b"last", DISCARDED)
    assert [sample.data for sample in reader.read(10)] == [b"one", b"two"]
    assert reader.cursor == memory.producer


def test_no_more_than_asked_for_and_the_rest_next_time(memory: Memory, reader: RingReader) -> None:
    for number in range(5):
        memory.write(b"%d" % number)
    assert [sample.data for sample in reader.read(2)] == [b"0", b"1"]
    assert [sample.data for sample in reader.read(2)] == [b"2", b"3"]
    assert [sample.data for sample in reader.read(2)] == [b"4"]


def test_room_is_given_back_only_when_the_samples_are_safe(memory: Memory, reader: RingReader) -> None:
    memory.write(b"precious")
    reader.read(10)
    assert memory.consumer == 0
    reader.acknowledge()
    assert memory.consumer == memory.producer


def test_what_is_acknowledged_neither_goes_back_nor_beyond_what_was_read(memory: Memory, reader: RingReader) -> None:
    places = [memory.write(b"%d" % number) for number in range(4)]
    reader.read(3)
    reader.acknowledge(places[2])
    assert reader.acknowledged == memory.consumer == places[2]
    reader.acknowledge(places[1])
    assert memory.consumer == places[2]
    reader.acknowledge(memory.producer)
    assert memory.consumer == places[3]


def test_a_reader_goes_on_from_a_position_of_the_ring_and_from_no_other(memory: Memory, reader: RingReader) -> None:
    places = [memory.write(b"%d" % number) for number in range(4)]
    reader.read(2)
    reader.acknowledge()
    reader.seek(places[1])  # given back to the kernel since
    reader.seek(memory.producer + 8)  # not written yet
    assert [sample.data for sample in reader.read(1)] == [b"2"]
    reader.seek(places[2])  # safe, and read further since
    assert [sample.data for sample in reader.read(1)] == [b"3"]
    memory.write(b"4")
    again = RingReader("lifecycle", 0x1F, memory.fd, memory.size)
    again.seek(places[3])
    assert [sample.data for sample in again.read(9)] == [b"3", b"4"]
    again.close()


def test_the_next_reader_goes_on_where_the_last_one_acknowledged(memory: Memory, reader: RingReader) -> None:
    memory.write(b"acknowledged")
    reader.read(10)
    reader.acknowledge()
    memory.write(b"read, and lost with the agent")
    reader.read(10)
    reader.close()
    after = RingReader("lifecycle", 0x1F, memory.fd, memory.size)
    assert [sample.data for sample in after.read(10)] == [b"read, and lost with the agent"]
    after.close()


@pytest.mark.parametrize("before_the_end", [8, 16, 24, 64])
def test_a_record_that_goes_over_the_end_of_the_ring_is_whole(before_the_end: int) -> None:
    memory = Memory(start=3 * SIZE - before_the_end)
    reader = RingReader("activity", 1, memory.fd, memory.size)
    data = bytes(range(200))
    place = memory.write(data)
    memory.write(b"after it")
    assert [(sample.data, sample.position) for sample in reader.read(10)] == [
        (data, place),
        (b"after it", place + 208),
    ]
    reader.close()
    memory.close()


def test_more_than_one_reading_may_hold_is_read_in_several() -> None:
    memory = Memory(size=8 * 1024 * 1024)
    reader = RingReader("activity", 1, memory.fd, memory.size)
    samples = [bytes([number]) * 1_000_000 for number in range(8)]
    for data in samples:
        memory.write(data)
    readings = []
    while reading := reader.read(100):
        readings.append(reading)
    assert len(readings) > 1
    assert [sample.data for reading in readings for sample in reading] == samples
    reader.close()
    memory.close()


records = st.lists(st.tuples(st.binary(max_size=700), st.sampled_from([0, 0, 0, DISCARDED])), max_size=40)


@given(records, st.integers(0, 1 << 40).map(lambda words: words * 8), st.integers(1, 5))
def test_whatever_is_written_comes_out_once_and_in_order(
    written: Sequence[tuple[bytes, int]], start: int, limit: int
) -> None:
    """Some at a time, as often around the ring as it takes."""
    memory = Memory(start=start)
    reader = RingReader("lifecycle", 1, memory.fd, memory.size)
    places, read = [], []
    for data, flags in written:
        while memory.producer + 8 + len(data) - memory.consumer > memory.size:
            read += reader.read(limit)
            reader.acknowledge()
        place = memory.write(data, flags)
        places += [] if flags else [(place, data)]
    while reading := reader.read(limit):
        read += reading
    assert [(sample.position, sample.data) for sample in read] == places
    assert reader.cursor == reader.written == memory.producer
    reader.close()
    memory.close()


def test_closing_twice_does_no_harm(reader: RingReader) -> None:
    reader.close()
    reader.close()
