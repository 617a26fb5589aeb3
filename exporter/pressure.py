"""The memory ceiling: near its limit the agent does less, one named step after the other, and undoes it afterwards.

`commands.run` gives the limit and the steps, the reader's loop calls `look`; each `Change` that comes back becomes an
`agent.degradation` record, a log line and a metric. What a step does is the caller's: this module knows only when. It
has no clock and reads nothing but what `measure` says (`resident.py`). What tells who did what, the kinds of ring
`lifecycle`, is no step's to take.

A step begins as soon as memory is at its share of the limit, in order; all that are due begin at one look, memory being
measured again after each. The last one begun is undone when memory has been below its share, less a margin, for a while
without a break; then the one before it. So no step ends by its own success at once, and none comes and goes faster
than that while.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from exporter.model import Kind
from exporter.telemetry import log

LOOK_SECONDS = 0.25
MARGIN = 0.08
"""Of the limit: 10 MiB of the default, more than what a batch on its way takes and gives back."""
CALM_SECONDS = 30.0

CACHES, ACTIVITY, ARGUMENTS, QUEUES, PROCESSES = 0.80, (0.84, 0.90), 0.92, 0.95, 0.97
"""At which share of the limit each step begins. An idle agent that has all its libraries in use (70 MiB, measured) and
the default rings (12) stands at 0.64 of the default limit."""


class Change(NamedTuple):
    """A step that began or was undone, and the bytes of memory that decided it."""

    step: str
    state: Literal["begun", "undone"]
    memory: int
    limit: int


class Step(NamedTuple):
    """Something the agent can do less of; `at` is a share of the limit. Its calls run in the thread of `look`."""

    name: str
    at: float
    begin: Callable[[], None]
    undo: Callable[[], None]


Action = tuple[Callable[[], None], Callable[[], None]]
"""`begin` and `undo` of a step."""


class Pressure:
    """The steps of one agent and how many of them are in force.

    Args:
        limit: bytes.
        steps: in the order in which they begin; each at least at the share of the one before.
        measure: the agent's memory now, in bytes.
        relieve: gives free memory back to the system; called while memory is high, before a step is resorted to.
        margin: share of the limit below a step's own, under which it may be undone.
        calm: seconds that memory has to stay there.
    """

    def __init__(
        self,
        limit: int,
        steps: Sequence[Step],
        *,
        measure: Callable[[], int],
        relieve: Callable[[], None] = lambda: None,
        margin: float = MARGIN,
        calm: float = CALM_SECONDS,
    ) -> None:
        if any(later.at < earlier.at for earlier, later in pairwise(steps)):
            raise ValueError(f"steps out of order: {[(step.name, step.at) for step in steps]}")
        self.limit, self.memory = limit, 0
        self._steps, self._begun = tuple(steps), 0
        self._measure, self._relieve = measure, relieve
        self._margin, self._calm = margin, calm
        self._next = 0.0
        self._calm_since: float | None = None

    @property
    def begun(self) -> tuple[str, ...]:
        """The steps in force, in the order in which they began; any thread."""
        return tuple(step.name for step in self._steps[: self._begun])

    def look(self, now: float) -> list[Change]:
        """What changes; measures at most four times a second, else free. `now` is monotonic, in seconds."""
        if now < self._next:
            return []
        self._next = now + LOOK_SECONDS
        self.memory = self._measure()
        if self._begun or self._is_due():
            self._relieve()
            self.memory = self._measure()
        return self._begin() or self._undo(now)

    def _is_due(self) -> bool:
        return self._begun < len(self._steps) and self.memory >= self._steps[self._begun].at * self.limit

    def _begin(self) -> list[Change]:
        changes = []
        while self._is_due():
            step = self._steps[self._begun]
            self._begun += 1
            self._calm_since = None
            changes.append(Change(step.name, "begun", self.memory, self.limit))
            _do(step.begin, step.name)
            self.memory = self._measure()
        return changes

    def _undo(self, now: float) -> list[Change]:
        if not self._begun:
            return []
        step = self._steps[self._begun - 1]
        if self.memory >= (step.at - self._margin) * self.limit:
            self._calm_since = None
            return []
        if self._calm_since is None:
            self._calm_since = now
        if now - self._calm_since < self._calm:
            return []
        self._begun -= 1
        self._calm_since = now  # the next one has to wait as long: it sees what undoing this one does
        _do(step.undo, step.name)
        return [Change(step.name, "undone", self.memory, self.limit)]


def _do(action: Callable[[], None], name: str) -> None:
    """A step that fails must neither end the agent nor keep the next one from being tried."""
    try:
        action()
    except Exception:
        log.exception("memory: step %s failed; please report this", name)


def ladder(
    *, caches: Action, activity: Iterable[tuple[str, Action]], arguments: Action, queues: Action, processes: Action
) -> list[Step]:
    """The steps of the agent. `activity` are the event types that can go, least important first, each a step."""
    kinds = list(activity)
    lowest, highest = ACTIVITY
    shares = [lowest + (highest - lowest) * at / max(len(kinds) - 1, 1) for at in range(len(kinds))]
    return [
        Step("caches", CACHES, *caches),
        *(Step(f"activity:{name}", at, *action) for (name, action), at in zip(kinds, shares, strict=True)),
        Step("arguments", ARGUMENTS, *arguments),
        Step("queues", QUEUES, *queues),
        Step("processes", PROCESSES, *processes),
    ]


def dispensable(kinds: Iterable[Kind]) -> list[str]:
    """Names of the event types that can be switched off, the least important first; never one of ring `lifecycle`."""
    return [kind.name for kind in sorted(kinds, key=lambda kind: kind.importance) if kind.ring == "activity"]
