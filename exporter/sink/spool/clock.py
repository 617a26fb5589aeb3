"""How old a row of the spool is, on a clock that no jump of the wall clock moves while the agent runs.

The spool's time goes by the boot clock, and from one run to the next it goes on: within a boot by the boot clock,
over a reboot by the wall clock, which is all there is. A wall clock can be wrong for a while after a boot (no
battery, no NTP yet), so of that one step only what the machine has certainly been up for is believed in the first
minutes; later, the least that the wall clock ever said. Too early a drop cannot be undone, a late one costs minutes.
"""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

SETTLING = 300 * 10**9
"""ns after the start in which a wall clock may still be put right."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """The time of a commit on all clocks: `boot` is the kernel's id of the boot, `spool` the spool's own time; ns."""

    boot: str
    boot_ns: int
    wall_ns: int
    spool: int


def boot_id() -> str:
    """The kernel's id of this boot; empty where nobody can know."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def boot_ns() -> int:
    """Nanoseconds since the boot, suspended or not."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class SpoolClock:
    """The spool's time in this run; nanoseconds."""

    def __init__(
        self,
        boot: str | None = None,
        boot_clock: Callable[[], int] = boot_ns,
        wall_clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._boot = boot_id() if boot is None else boot
        self._boot_clock, self._wall_clock = boot_clock, wall_clock
        self._started = boot_clock()
        self._start = 0  # spool time at `_started`
        self._last: Moment | None = None  # of the last run, where that was before a reboot
        self._step = 0  # what `_start` counts from then to now
        self._least = wall_clock() - self._started  # wall minus boot, the least ever seen

    def resume(self, last: Moment, newest: int) -> None:
        """Go on from the last commit, and never from before a row of `newest`."""
        if self._boot and last.boot == self._boot:
            self._last, self._step = None, max(self._started - last.boot_ns, 0)
        else:
            self._last, self._step = last, self._believed(last)
        self._start = max(last.spool, newest) + self._step

    def now(self) -> int:
        """The spool's time: it only goes forward."""
        return self._start + self._boot_clock() - self._started

    def age(self, written: int) -> int:
        """How old a row is that was written at `written`; what is in doubt of it is not counted."""
        return self.now() - written - (self._doubt() if written < self._start else 0)

    def moment(self) -> Moment:
        """Now, for the statement."""
        return Moment(self._boot, self._boot_clock(), self._wall_clock(), self.now())

    def _doubt(self) -> int:
        """How much of the step over the reboot is not believed yet, or not any more."""
        if self._last is None:
            return 0
        boot = self._boot_clock()
        self._least = min(self._least, self._wall_clock() - boot)
        settled = boot - self._started >= SETTLING
        return self._step - (self._believed(self._last) if settled else self._started)

    def _believed(self, last: Moment) -> int:
        """From the last commit to the start of this run: at least since the boot."""
        return max(self._started, self._least + self._started - last.wall_ns)
