"""What the agent tells of itself, as events: its beginning and end, what it sees, what was lost, what it does less of.

The pipeline asks for one when there is something to tell. They come from no process: their image has no attributes and
no trace, their Resource is the host's.
"""

import time

from exporter import probes
from exporter.model import Event, Kind, Loss, Process, Ranges, Resource, Value
from exporter.probes.times import iso

SHOWN = 512
"""Ranges of lost numbers that one record lists; more are told by more records."""


class Own:
    """Makes the agent's own events; `resource` is the host, `boot_id` goes into their uids."""

    def __init__(self, boot_id: str, resource: Resource) -> None:
        self._boot_id, self._resource = boot_id, resource
        self._process = Process(
            pid=0,
            start_time=0,
            exec_id=0,
            number=0,
            started=0,
            entity_id="",
            trace_id=b"",
            span_id=b"",
            parent_span_id=b"",
            lineage={},
            cgroup=0,
            attributes={},
            resource=resource,
        )
        self._last = 0

    def started(self, version: str, *, resumed: bool) -> Event:
        """The agent begins; `resumed` where the probes went on without it."""
        return self._event(probes.AGENT_STARTED, (version, resumed))

    def stopped(self) -> Event:
        """The agent has told all that it will."""
        return self._event(probes.AGENT_STOPPED, ())

    def lost(self, loss: Loss) -> list[Event]:
        """Records that never arrive; more than one where the numbers do not fit on a record."""
        said = (loss.stage, loss.reason)
        between = (iso(loss.since), iso(loss.until))
        first, *rest = [loss.sequences[at : at + SHOWN] for at in range(0, len(loss.sequences), SHOWN)] or [()]
        later = sum(_length(ranges) for ranges in rest)
        count = None if loss.count is None else max(0, loss.count - later)
        stream = loss.stream if loss.stream and loss.sequences else None
        return [
            self._event(probes.EVENTS_LOST, (*said, many, *between, _texts(ranges), stream))
            for many, ranges in ((count, first), *((_length(more), more) for more in rest))
        ]

    def degraded(self, step: str, state: str, memory: int, limit: int) -> Event:
        """The agent does less (`begun`) or does it again (`undone`)."""
        return self._event(probes.DEGRADATION, (step, state, memory, limit))

    def seen(self, kind: str, hook: str) -> Event:
        """This event type is seen by `hook`."""
        return self._event(probes.PROBE_ATTACHED, (kind, hook))

    def unseen(self, kind: str, reason: str) -> Event:
        """This event type was asked for and cannot be seen here."""
        return self._event(probes.PROBE_FAILED, (kind, reason))

    def signed(self) -> Event:
        """A place for the signature of what was told so far; the encoders fill it in."""
        return self._event(probes.CHAIN_SIGNED, (None, None))

    def _event(self, kind: Kind, values: tuple[Value | None, ...]) -> Event:
        # Two in one nanosecond, or a clock set back, must not make two records of one uid.
        boot = self._last = max(self._last + 1, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        now = time.time_ns()
        event = Event(kind, f"{self._boot_id}-agent-{boot:x}", boot, 0, 0, 0, 0, values, time=now, observed=now)
        event.process, event.resource = self._process, self._resource
        return event


def _length(ranges: Ranges) -> int:
    return sum(last - first + 1 for first, last in ranges)


def _texts(ranges: Ranges) -> tuple[str, ...] | None:
    return tuple(f"{first}-{last}" if last > first else str(first) for first, last in ranges) or None
