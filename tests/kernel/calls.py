"""System calls as the kernel takes them, each by the thread that runs, and children that make some."""

import ctypes
import os
import traceback
from collections.abc import Callable

from exporter.probes.words import SYSCALLS

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long


def call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char]) -> int:
    """A call without the C library's help, which would change the other threads too. Raises OSError."""
    whole = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = int(_LIBC.syscall(ctypes.c_long(SYSCALLS[name]), *whole))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


def refused(error: type[OSError], name: str, *arguments: int | bytes) -> None:
    """A call that must fail so."""
    try:
        call(name, *arguments)
    except error:
        return
    raise AssertionError(f"{name} was not refused by {error.__name__}")


def start_child(work: Callable[[], object]) -> int:
    """A child that does `work` and exits; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def in_child(work: Callable[[], object]) -> int:
    """The same; it has ended, and well."""
    pid = start_child(work)
    assert os.waitpid(pid, 0)[1] == 0, "the child has failed; its words are above"
    return pid
