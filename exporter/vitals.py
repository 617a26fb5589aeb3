"""Whether the agent is ready and alive: what `health.py` answers with, and what `notify.py` tells systemd.

`commands.run` makes the one `Vitals`, says which sinks are required and when the probes are attached; the reader's
loop beats each time it comes round.
"""

import time
from collections.abc import Callable, Mapping

LIVE_SECONDS = 30.0
"""For a turn of the reader's loop: a commit on a slow disk takes seconds, never so many."""


class Vitals:
    """What readiness and liveness hang on; set by the reader's thread, read by any.

    The agent is ready when the probes are attached and at least one required sink works. Where no sink is required, the
    user has said that none decides about it: then the probes alone do.
    """

    def __init__(self) -> None:
        self.attached = False
        self._required: Mapping[str, Callable[[], bool]] = {}
        self._stopping = False
        self._broken = ""
        self._beaten = time.monotonic()  # the start is the first turn

    def require(self, sinks: Mapping[str, Callable[[], bool]]) -> None:
        """The required sinks by name, and whether each works; to be said before `attach`."""
        self._required = dict(sinks)

    def attach(self) -> None:
        """The probes are attached: from now on nothing is missed."""
        self.attached = True

    def fail(self, reason: str) -> None:
        """What cannot be mended but by another start."""
        self._broken = reason

    def beat(self, now: float) -> None:
        """The reader's loop has come round; `now` is monotonic, in seconds."""
        self._beaten = now

    def stop(self) -> None:
        """The loop has ended as it should; what is left is being sent."""
        self._stopping = True

    def unready(self) -> list[str]:
        """Why the agent is not ready; empty when it is."""
        reasons = []
        if self._stopping:
            reasons.append("the agent is stopping")
        if self._broken:
            reasons.append(self._broken)
        if not self.attached:
            reasons.append("the probes are not attached")
        if self._required and not any(works() for works in self._required.values()):
            reasons.append(f"no required sink delivers: {', '.join(self._required)}")
        return reasons

    def dead(self, now: float) -> list[str]:
        """Why the agent should be started anew; empty while its loop comes round, and at the end, which has its own."""
        if self._broken and not self._stopping:
            return [self._broken]
        silent = now - self._beaten
        if self._stopping or silent <= LIVE_SECONDS:
            return []
        return [f"the reader's loop has not come round for {silent:.0f} s"]
