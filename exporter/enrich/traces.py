"""Ids of processes, spans and traces: deterministic, so that records carry them before the span exists.

A trace is a bounded unit of work: it begins where a long-lived process starts something, and is cut after so many
processes or so much time (a backend refuses endless traces). What it was cut from, and the daemon it was started by,
are links. `processes.py` asks here once for each new image.
"""

import base64
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from exporter.model import Process

LONG_LIVED = 60 * 10**9
"""A process this old (ns) when it starts another is a daemon: its children begin traces of their own."""
MAX_PROCESSES = 2000
MAX_AGE = 3600 * 10**9
_REMEMBERED = 16384  # open traces; the oldest is forgotten first, its next process begins a new one


class Ids(NamedTuple):
    """What a process image is called on the wire."""

    entity_id: str
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    links: tuple[tuple[bytes, bytes], ...]


class Open(NamedTuple):
    """A trace that may still grow: when it began (boot ns), and how many processes are in it."""

    trace_id: bytes
    began: int
    processes: int


class Traces:
    """Gives ids and keeps the count of each open trace."""

    def __init__(self, node: str, boot_id: str) -> None:
        """`node` and `boot_id` go into the ids: equal pids of other nodes and boots get others."""
        self._node, self._boot_id = node, boot_id
        self._open: OrderedDict[bytes, list[int]] = OrderedDict()  # trace id -> [began (boot ns), processes]
        self._changed: dict[bytes, None] | None = None  # since the last `news`, in this order; None: nobody asks

    def news(self, *, everything: bool) -> list[Open]:
        """The traces that are new or have grown since the last call, or all; the first call must ask for all."""
        ids = self._open if everything or self._changed is None else self._changed
        found = [Open(trace_id, *self._open[trace_id]) for trace_id in ids if trace_id in self._open]
        self._changed = {}
        return found

    def restore(self, found: Iterable[Open]) -> None:
        """Go on counting where another left off; `found` are all the news it gave, in their order."""
        for trace_id, began, processes in found:
            self._count(trace_id, [began, processes])

    def entity_id(self, pid: int, start_time: int, number: int) -> str:
        """Base64 of node, start time and pid as Tetragon's exec_id; from the second exec on also the image's number."""
        suffix = f":{number}" if number else ""
        return base64.b64encode(f"{self._node}:{start_time}:{pid}{suffix}".encode()).decode()

    def next_image(self, before: Process, number: int) -> Ids:
        """Ids of the image that follows `before` in its process, at the same place of the same trace."""
        entity_id = self.entity_id(before.pid, before.start_time, number)
        span_id = self._hash("span", entity_id, 8)
        return Ids(entity_id, before.trace_id, span_id, before.parent_span_id, before.links)

    def identify(self, pid: int, start_time: int, number: int, parent: Process | None, began: int) -> Ids:
        """Ids of the image that `parent` started at `began` (boot ns)."""
        entity_id = self.entity_id(pid, start_time, number)
        span_id = self._hash("span", entity_id, 8)
        trace = self._join(parent, began)
        if parent and trace:
            return Ids(entity_id, trace, span_id, parent.span_id, ())
        trace_id = self._hash("trace", entity_id, 16)
        self._count(trace_id, [began, 1])
        return Ids(entity_id, trace_id, span_id, b"", ((parent.trace_id, parent.span_id),) if parent else ())

    def _join(self, parent: Process | None, began: int) -> bytes | None:
        """The parent's trace, when it is still one bounded unit."""
        if parent is None or parent.init or began - parent.start_time > LONG_LIVED:
            return None
        trace = self._open.get(parent.trace_id)
        if trace is None or trace[1] >= MAX_PROCESSES or began - trace[0] > MAX_AGE:
            return None
        self._count(parent.trace_id, [trace[0], trace[1] + 1])
        return parent.trace_id

    def _count(self, trace_id: bytes, trace: list[int]) -> None:
        self._open[trace_id] = trace
        if len(self._open) > _REMEMBERED:
            self._open.popitem(last=False)
        if self._changed is not None:
            self._changed[trace_id] = None

    def _hash(self, role: str, entity_id: str, size: int) -> bytes:
        """An id of `size` bytes; all zeros are invalid in W3C Trace Context."""
        digest = blake2b(f"{role}:{self._boot_id}:{entity_id}".encode(), digest_size=size).digest()
        return digest if any(digest) else b"\1" * size
