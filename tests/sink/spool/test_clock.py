"""The age of a row: no jump of the wall clock may drop it early, or keep it for ever."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import config
from exporter.sink.spool.clock import SETTLING, Moment, SpoolClock, boot_id
from tests.sink.spool.spooling import Numbered, commit, opened

SECOND = 10**9
HOUR = 3600 * SECOND
QUEUE = config.Queue(max_bytes=1 << 20, max_age_seconds=1800.0)


class Machine:
    """Its boot, how long it is up, and what it believes the time to be."""

    def __init__(self) -> None:
        self.boot, self.up, self.wall = "first", HOUR, 1_700_000_000 * SECOND

    def passes(self, ns: int) -> None:
        self.up += ns
        self.wall += ns

    def reboots(self, down: int, wrong: int = 0) -> None:
        self.boot += "+"
        self.wall += down + wrong
        self.up = 20 * SECOND

    def clock(self) -> SpoolClock:
        return SpoolClock(self.boot, lambda: self.up, lambda: self.wall)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def left(folder: Path, machine: Machine) -> None:
    """A run that leaves one record."""
    with opened(folder, QUEUE, how={"clock": machine.clock()}) as one:
        one.queue.put(Numbered().payload())
        commit(one.spool)


def waiting(folder: Path, machine: Machine, after: int = 0) -> int:
    """How many records wait in a run that began, and lasted for `after` ns."""
    with opened(folder, QUEUE, how={"clock": machine.clock()}) as one:
        machine.passes(after)
        commit(one.spool)
        return one.queue.waiting


@pytest.mark.parametrize("jump", [0, HOUR, -HOUR])
def test_a_jump_while_the_agent_runs_is_no_time(folder: Path, machine: Machine, jump: int) -> None:
    with opened(folder, QUEUE, how={"clock": machine.clock()}) as one:
        one.queue.put(Numbered().payload())
        commit(one.spool)
        machine.wall += jump
        machine.passes(1799 * SECOND)
        commit(one.spool)
        assert one.queue.waiting == 1
        machine.passes(2 * SECOND)
        commit(one.spool)
        assert one.queue.waiting == 0
        (loss,) = one.losses()
        assert (loss.stage, loss.reason, loss.count) == ("spool", "too_old", 1)


@pytest.mark.parametrize("jump", [0, HOUR, -HOUR])
def test_nor_is_a_jump_between_two_runs_of_one_boot(folder: Path, machine: Machine, jump: int) -> None:
    left(folder, machine)
    machine.passes(1000 * SECOND)
    machine.wall += jump
    assert waiting(folder, machine, 700 * SECOND) == 1
    assert waiting(folder, machine, 200 * SECOND) == 0


def test_over_a_reboot_the_wall_clock_is_believed_once_it_had_time_to_settle(folder: Path, machine: Machine) -> None:
    left(folder, machine)
    machine.reboots(down=HOUR)
    with opened(folder, QUEUE, how={"clock": machine.clock()}) as one:
        commit(one.spool)
        assert one.queue.waiting == 1
        machine.passes(SETTLING)
        commit(one.spool)
        assert one.queue.waiting == 0


def test_a_wall_clock_an_hour_ahead_at_boot_drops_nothing_when_it_is_put_right(folder: Path, machine: Machine) -> None:
    left(folder, machine)
    machine.reboots(down=60 * SECOND, wrong=HOUR)
    with opened(folder, QUEUE, how={"clock": machine.clock()}) as one:
        commit(one.spool)
        machine.wall -= HOUR
        machine.passes(SETTLING)
        commit(one.spool)
        assert one.queue.waiting == 1
        machine.passes(1500 * SECOND)
        commit(one.spool)
        assert one.queue.waiting == 0


def test_a_wall_clock_an_hour_behind_at_boot_keeps_nothing_for_ever(folder: Path, machine: Machine) -> None:
    left(folder, machine)
    machine.reboots(down=60 * SECOND, wrong=-HOUR)
    assert waiting(folder, machine, 1700 * SECOND) == 1
    assert waiting(folder, machine, 100 * SECOND) == 0


def test_what_is_put_after_a_reboot_is_not_as_old_as_what_was_there(folder: Path, machine: Machine) -> None:
    left(folder, machine)
    machine.reboots(down=HOUR)
    with opened(folder, QUEUE, how={"clock": machine.clock()}) as one:
        made = Numbered(first=2)
        one.queue.put(made.payload())
        commit(one.spool, made)
        machine.passes(SETTLING)
        commit(one.spool, made)
        assert one.drain() == [2]


def test_rows_on_disk_alone_and_the_next_head_grow_old_too(folder: Path, machine: Machine) -> None:
    made = Numbered()
    tiny = config.Queue(max_bytes=100, max_age_seconds=1800.0)
    with opened(folder, tiny, how={"clock": machine.clock()}) as one:
        for _ in range(10):
            one.queue.put(made.payload())
            commit(one.spool, made)
        head = one.queue.head()
        machine.passes(1801 * SECOND)
        one.queue.put(made.payload())
        commit(one.spool, made)
        assert one.queue.head() is head
        assert one.drain() == [1, 11]
        assert one.dropped == {"a too_old": 9}


@given(
    st.lists(
        st.tuples(
            st.integers(0, HOUR),
            st.integers(-2 * HOUR, 2 * HOUR),
            st.booleans(),
            st.integers(0, HOUR),
        ),
        max_size=8,
    )
)
def test_the_spools_time_only_goes_forward(story: list[tuple[int, int, bool, int]]) -> None:
    machine = Machine()
    clock = machine.clock()
    last = clock.now()
    for passes, jump, reboots, down in story:
        machine.passes(passes)
        machine.wall += jump
        assert clock.now() == last + passes
        last = clock.now()
        moment = clock.moment()
        if reboots:
            machine.reboots(down)
        clock = machine.clock()
        clock.resume(moment, 0)
        assert clock.now() >= last
        assert clock.age(last) >= 0
        last = clock.now()


def test_time_goes_on_from_the_newest_row() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.resume(Moment(machine.boot, machine.up, machine.wall, 5), newest=100)
    assert clock.now() == 100


def test_the_kernel_tells_its_boot() -> None:
    assert len(boot_id()) == 36
    assert SpoolClock().now() < HOUR
