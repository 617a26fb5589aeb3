"""Waiting for a condition, with an end: tests never sleep for a guess of a time."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SLOWER = 10 if "PODWITNESS_EMULATED" in os.environ else 1
"""How many times slower the CPU is where it is emulated (tests/machines)."""


def wait_for(look: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """The first true answer of `look`; fails naming `what` when none came in time."""
    seconds *= SLOWER
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = look()
        if answer:
            return answer
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what}")
