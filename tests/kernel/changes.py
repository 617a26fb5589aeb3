"""What the tests of changes to files share: the calls, and what an event must say of a file."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

from exporter.model import Value
from tests.kernel.hooks import is_noted
from tests.kernel.recorded import Told, attributes, recording, settings

N = 23
AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH = -100, 0x100, 0x1000
LIBC = ctypes.CDLL(None, use_errno=True)
TYPES = {0o100000: "file", 0o040000: "dir", 0o120000: "symlink", 0o010000: "fifo"}
Facts = dict[str, Value]


def ours(told: Told, kind: str, pid: int = 0) -> list[Facts]:
    """What was told of our own process, or of a child."""
    return [attributes(event) for event in told.of(kind) if event.pid == (pid or os.getpid())]


def told_of(kind: str, folder: Path, does: Callable[[], None]) -> list[Facts]:
    """What is told of a workload."""
    with recording(folder, settings(kind)) as finish:
        does()
        return ours(finish(), kind)


def file_facts(path: str | Path | int) -> Facts:
    """What an event says of a file that it knows, by stat."""
    truth = os.fstat(path) if isinstance(path, int) else os.lstat(path)
    return {
        "file.inode": str(truth.st_ino),
        "file.mode": f"{truth.st_mode & 0o7777:04o}",
        "file.owner.id": str(truth.st_uid),
        "file.group.id": str(truth.st_gid),
        "podwitness.file.type": TYPES[truth.st_mode & 0o170000],
        "podwitness.file.device": f"{os.major(truth.st_dev)}:{os.minor(truth.st_dev)}",
    }


def expected(kind: str, known: Facts, call: str, resolved: Facts, asked: Facts | None = None) -> Facts:
    """`known` of the file and the `resolved` paths where a hook notes them; else the paths as they were `asked` for."""
    named: Facts = {"podwitness.syscall.name": call}
    if is_noted(kind):
        return named | known | resolved
    return named | (resolved if asked is None else asked) | {"podwitness.file.path_unresolved": True}


def syscall(number: int, *arguments: object) -> int:
    """A call that this Python has no function for; minus errno where it failed."""
    result = int(LIBC.syscall(ctypes.c_long(number), *arguments))
    return -ctypes.get_errno() if result < 0 else result
