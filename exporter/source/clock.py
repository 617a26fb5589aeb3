"""The kernel's boot clock and Unix time.

Samples carry boot time, records Unix time. The offset between the two is measured once an interval, so that all
events of a batch share one and clock adjustments are followed.
"""

import time
from pathlib import Path

from exporter.errors import KernelError

_INTERVAL = 10 * 10**9


class BootClock:
    """Unix time minus boot time, in nanoseconds, measured at most every ten seconds."""

    def __init__(self) -> None:
        self._measured = -_INTERVAL
        self._offset = 0

    def offset(self) -> int:
        """What to add to a boot time to get Unix time."""
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if now - self._measured >= _INTERVAL:
            self._offset = min((_gap() for _ in range(3)), key=lambda gap: gap[0])[1]
            self._measured = now
        return self._offset


def _gap() -> tuple[int, int]:
    """(how long the measurement took, offset): the shortest of several was disturbed the least."""
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    unix = time.time_ns()
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return after - before, unix - (before + after) // 2


def boot_id(proc: Path) -> str:
    """The kernel's random id of this boot, 32 hex digits. Raises KernelError where `proc` is no /proc."""
    path = proc / "sys/kernel/random/boot_id"
    try:
        return path.read_text().strip().replace("-", "")
    except OSError as error:
        raise KernelError(
            f"cannot be read: {error.strerror}", where=str(path), hint="kernel.proc_root names the host's /proc"
        ) from error
