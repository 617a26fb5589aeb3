"""Processes of the tests' own that do something to themselves: forked, asked for what they know, gone."""

import ctypes
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

N = 23
NOBODY = 65534
_libc = ctypes.CDLL(None, use_errno=True)
Argument = bytes | int | None | ctypes.Array[ctypes.c_char]


class Answer(NamedTuple):
    """A child that has ended, and what it found to be true."""

    pid: int
    said: Any


def call(number: int, *arguments: Argument) -> int:
    """A bare system call; the negative errno where it is refused."""
    words = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *words))
    return result if result >= 0 else -ctypes.get_errno()


def done(number: int, *arguments: Argument) -> int:
    """A system call that has to succeed."""
    result = call(number, *arguments)
    if result < 0:
        raise OSError(-result, os.strerror(-result), f"system call {number}")
    return result


def in_child(workload: Callable[[], Any]) -> Answer:
    """Run it in a child; what it returns comes back as JSON. Raises AssertionError with its traceback if it fails."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _answer(workload, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        said = json.loads(stream.read() or b'{"failed": "it ended without an answer"}')
    os.waitpid(pid, 0)
    assert "failed" not in said, said["failed"]
    return Answer(pid, said["said"])


def _answer(workload: Callable[[], Any], writer: int) -> None:
    try:
        answer = {"said": workload()}
    except BaseException:  # whatever it is, this process must not go on as the test
        answer = {"failed": traceback.format_exc()}
    sys.stdout.flush()
    with os.fdopen(writer, "wb") as stream:
        stream.write(json.dumps(answer).encode())
    os._exit(0)


def become_nobody() -> None:
    """Give up all rights; for children only."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def as_nobody(*asked: Argument) -> Callable[[], list[int]]:
    """23 times the same call, by somebody who has no right to it: a workload for `in_child`."""
    number, *arguments = asked
    assert isinstance(number, int)

    def workload() -> list[int]:
        become_nobody()
        return [call(number, *arguments) for _ in range(N)]

    return workload
