"""What the tests of namespaces share: the numbers of their calls, and where a thread is."""

import os
from collections.abc import Callable
from pathlib import Path

from exporter.model import Value
from tests.kernel.children import N, become_nobody
from tests.kernel.recorded import Told, attributes, settings

CLONE, UNSHARE, SETNS, PIDFD_OPEN, CLONE3 = 56, 272, 308, 434, 435
NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEWPID, NEWNET = 0x20000000, 0x40000000
SIGCHLD = 17
HOST = {"uts": 0xEFFFFFFE, "pid": 0xEFFFFFFC}
"""Of the kernel's first namespaces (include/uapi/linux/nsfs.h, proc_ns.h): there the machine's init is."""
ALL = settings("namespace.*")


def number(name: str) -> int:
    """Of a namespace of the calling thread."""
    return Path(f"/proc/thread-self/ns/{name}").stat().st_ino


def opened(name: str) -> int:
    return os.open(f"/proc/thread-self/ns/{name}", os.O_RDONLY)


def told_of(told: Told, kind: str, pid: int) -> list[dict[str, Value]]:
    return [attributes(event) for event in told.of(kind) if event.pid == pid]


def without(event: dict[str, Value], *names: str) -> dict[str, Value]:
    return {name: value for name, value in event.items() if name not in names}


def refused(ask: Callable[[], int]) -> Callable[[], list[int]]:
    """A workload: somebody who has no right to it asks 23 times."""

    def workload() -> list[int]:
        become_nobody()
        return [ask() for _ in range(N)]

    return workload
