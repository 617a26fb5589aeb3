"""The boot clock and Unix time, on this machine's own clocks."""

import time
from pathlib import Path

import pytest

from exporter.errors import KernelError
from exporter.source import clock
from exporter.source.clock import BootClock, boot_id


class Clocks:
    """Both clocks, turned by hand."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

    def __init__(self) -> None:
        self.boot, self.unix = 5_000 * 10**9, 1_795_000_000 * 10**9

    def clock_gettime_ns(self, clock_id: int) -> int:
        assert clock_id == time.CLOCK_BOOTTIME
        return self.boot

    def time_ns(self) -> int:
        return self.unix


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(clock, "time", clocks)
    return clocks


def test_the_offset_turns_boot_time_into_unix_time() -> None:
    boot, unix = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns()
    offset = BootClock().offset()
    # Whenever it was measured, it was between these two moments.
    assert unix - time.clock_gettime_ns(time.CLOCK_BOOTTIME) <= offset <= time.time_ns() - boot


def test_all_batches_of_an_interval_have_one_offset_and_the_next_follows_an_adjusted_clock(clocks: Clocks) -> None:
    measured = BootClock()
    before = measured.offset()
    assert before == clocks.unix - clocks.boot
    clocks.unix += 3_600 * 10**9  # somebody sets the clock
    clocks.boot += 9_999_999_999
    assert measured.offset() == before
    clocks.boot += 1
    assert measured.offset() == clocks.unix - clocks.boot


def test_a_measurement_that_was_interrupted_is_not_believed(clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    true = clocks.unix - clocks.boot
    pauses = iter([0, 0, 700_000_000, 0, 0, 20, 0])  # one for each look at the boot clock

    def look(_clock_id: int) -> int:
        pause = next(pauses)
        clocks.boot += pause
        clocks.unix += pause
        return clocks.boot

    monkeypatch.setattr(clocks, "clock_gettime_ns", look)
    assert BootClock().offset() == true


def test_the_boot_id_is_the_kernels() -> None:
    said = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert boot_id(Path("/proc")) == said.replace("-", "")
    assert len(boot_id(Path("/proc"))) == 32


def test_a_proc_that_is_none_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=f"{tmp_path}/sys/kernel/random/boot_id: cannot be read.*kernel.proc_root"):
        boot_id(tmp_path)
