"""The spool with a clock: what its commits take, and what the disk under it takes for a bare write."""

import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

from exporter import config
from exporter.keeping import OnDisk, Positions
from exporter.telemetry import Ledger

_WRITES = 64


class Timed(OnDisk):
    """The spool, and how long each of its commits took."""

    def __init__(self, settings: config.Spool, ledger: Ledger) -> None:
        super().__init__(settings, ledger)
        self.wall: list[float] = []  # µs
        self.cpu: list[float] = []  # µs, of the reader's thread

    def commit(self, positions: Positions, state: Mapping[str, bytes], journal: tuple[bytes, bool]) -> Positions:
        """One commit."""
        began, used = time.perf_counter_ns(), time.thread_time_ns()
        safe = super().commit(positions, state, journal)
        self.cpu.append((time.thread_time_ns() - used) / 1000)
        self.wall.append((time.perf_counter_ns() - began) / 1000)
        return safe

    def costs(self, folder: Path) -> dict[str, float]:
        """Medians of the commits, and beside them of a bare write of as many bytes that the disk has to keep; µs."""
        size = (folder / "spool" / "spool.db").stat().st_size // len(self.wall)
        return {
            "commit_us": statistics.median(self.wall),
            "commit_cpu_us": statistics.median(self.cpu),
            "write_us": _bare_write(folder / "bare", size),
        }


def _bare_write(path: Path, size: int) -> float:
    took, data = [], os.urandom(size)
    with path.open("wb", buffering=0) as file:
        for _ in range(_WRITES):
            began = time.perf_counter_ns()
            file.write(data)
            os.fdatasync(file.fileno())
            took.append((time.perf_counter_ns() - began) / 1000)
    return statistics.median(took)
