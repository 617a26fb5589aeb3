"""How much memory the agent takes, how to give some back, and what its cgroup allows.

What counts is the resident memory of the process, as `ps` shows it: a number that anybody can check. Besides Python's
own it has SQLite's page cache, the pages of libraries, and those of the rings, all of them from the moment they are
mapped (measured: 8,196 KiB for a ring of 8 MiB). The kernel could drop the libraries' pages at any time; counting them
errs on the safe side.

A cgroup counts otherwise. A ring is charged to it once, as kernel memory, when it is made; of the mapping it takes no
notice. It also has what is not ours to give: the page cache of what the spool writes (reclaimed before anybody is
killed), per-CPU maps, socket buffers, page tables. Because of a file just written, `memory.current` would degrade an
agent that is well, so it is not asked. But the cgroup's limit is: it kills, so the ceiling stays an eighth below it.
"""

import contextlib
import ctypes
import mmap
from collections.abc import Iterator
from pathlib import Path

_STATM, _ROLLUP = Path("/proc/self/statm"), Path("/proc/self/smaps_rollup")  # made once: that costs more than opening
_LIMITS = {"memory": "memory.limit_in_bytes", "": "memory.max"}  # by v1 controller; v2 has none in /proc/self/cgroup


def resident(exact_above: int = 0) -> int:
    """Resident memory of this process, in bytes: 6 µs, or 3 µs a MiB once it seems to be over `exact_above` bytes.

    /proc/self/statm is inaccurate (proc(5)): since Linux 6.2 the counters are per CPU, and what each has not handed
    in yet, dozens of pages, is missing. smaps_rollup walks the page tables instead; not every kernel has it.
    """
    with _STATM.open("rb") as statm:
        estimate = int(statm.read().split()[1]) * mmap.PAGESIZE
    if estimate > exact_above:
        with contextlib.suppress(FileNotFoundError):
            return _exactly()
    return estimate


def _exactly() -> int:
    with _ROLLUP.open("rb") as rollup:
        return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith(b"Rss:"))


def give_back() -> None:
    """Have the C library return freed memory to the system, which it else keeps for the next time; not all have a way.

    The one use of ctypes beside libbpf: of what a flood took and freed, a third stays resident without it (measured),
    and a step would not be undone for memory that nobody uses. Half a millisecond.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def ceiling(limit: int, allowed: int | None) -> int:
    """The bytes to stay below: the settings' `limit`, or less where the limit of the cgroup, `allowed`, is too near."""
    return limit if allowed is None else min(limit, allowed - allowed // 8)


def cgroup_limit(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The lowest memory limit of our own cgroup and those above it that we see, in bytes; None without one.

    Our own view of the tree, not the host's: in a container it begins at the container.
    """
    limits = [limit for file in _files(proc, root) if (limit := _read(file)) is not None]
    return min(limits, default=None)


def _files(proc: Path, root: Path) -> Iterator[Path]:
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            if name := _LIMITS.get(controller):
                # v1 shows the host's path in a container whose tree begins at itself: what is not there is passed over.
                own = root / controller / path.strip("/")
                yield from (folder / name for folder in (own, *own.parents) if folder.is_relative_to(root))


def _read(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    # v1 says "none" with the largest number of pages.
    return int(text) if text.isdecimal() and int(text) < 1 << 62 else None
