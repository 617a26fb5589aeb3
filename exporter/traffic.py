"""Who the numbers of connections belong to: the kernel's entries become series of metrics, at intervals.

    kernel.destinations -> process image, Resource, attributes -> Sender

`look` runs once a second on the reader's thread, whose table it asks: a process may be gone before the interval is
over, and its entry must have its name by then. An entry stays in the kernel until its process has ended, its
connections with it, and its last numbers have arrived: so none are lost with the agent, or while no receiver answers.
"""

import time
from collections.abc import Iterator

import msgspec

from exporter.enrich.processes import ProcessTable
from exporter.enrich.resources import Resources
from exporter.metrics import Sender, Series
from exporter.model import Attributes, Process, Resource
from exporter.probes.names import NAMES
from exporter.probes.times import iso
from exporter.source.destinations import Destination
from exporter.source.programs import Kernel
from exporter.telemetry import Ledger

_PATIENCE = 5  # looks: an exec may still be in a ring when its connection is in the map
_QUIET = 600.0  # seconds: a connection that was forgotten (bpf/connection.h) has no end
_LEFT = 4096  # images kept between two looks

Image = tuple[int, int, int]


class _Known(msgspec.Struct):
    """What is known of an entry of the kernel; `batch` is the last one that had `sent`, its numbers then."""

    start: int
    attributes: Attributes
    process: Process | None = None
    looks: int = 0
    sent: Destination | None = None
    batch: int = 0
    seen: Destination | None = None
    changed: float = 0.0


class Traffic:
    """The numbers of one run of the agent."""

    def __init__(
        self, kernel: Kernel, table: ProcessTable, resources: Resources, sender: Sender, ledger: Ledger
    ) -> None:
        """All but `sender` belong to the thread that calls `look`."""
        self._kernel, self._table, self._resources = kernel, table, resources
        self._sender, self._ledger = sender, ledger
        self._known: dict[bytes, _Known] = {}
        self._last: list[tuple[int, Series]] = []  # taken out of the kernel with numbers that had not been sent
        self._left: dict[Image, Process] = {}
        self._left_before = self._left
        self._due = time.monotonic() + sender.interval
        table.left = self._remember

    def look(self, now: float, *, last: bool = False) -> None:
        """Find out whose each entry is, let go of those that are over, and send when it is time, or the `last` time."""
        found = self._kernel.destinations.read()
        for entry in found:
            self._see(entry, now)
        self._left_before, self._left = self._left, {}
        self._last = [(batch, series) for batch, series in self._last if not 0 < batch <= self._sender.delivered]
        found = [entry for entry in found if not self._let_go(entry, now)]
        if last or now >= self._due:
            self._due = now + self._sender.interval
            self._send(found, last=last)

    def _remember(self, process: Process) -> None:
        if len(self._left) < _LEFT:
            self._left[process.pid, process.start_time, process.exec_id] = process

    def _see(self, entry: Destination, now: float) -> None:
        known = self._known.get(entry.key)
        if known is None:
            known = _Known(entry.first + self._kernel.offset(), _server(entry))
            self._known[entry.key] = known
        if entry != known.seen:
            known.seen, known.changed = entry, now
        known.looks += 1
        if known.process is None and known.sent is None:  # who it is does not change once it was told
            known.process = self._image(entry)

    def _image(self, entry: Destination) -> Process | None:
        image = entry.pid, entry.start_time, entry.exec_id
        return self._table.images.get(image) or self._left.get(image) or self._left_before.get(image)

    def _let_go(self, entry: Destination, now: float) -> bool:
        """Whether the entry was taken out: all is over, and what it said has arrived."""
        known = self._known[entry.key]
        if known.sent != entry or known.batch > self._sender.delivered or not self._is_over(entry, known, now):
            return False
        taken = self._kernel.destinations.take(entry.key)
        if taken and taken != entry:
            self._last.append((0, self._series(taken, known)))
        del self._known[entry.key]
        return True

    def _is_over(self, entry: Destination, known: _Known, now: float) -> bool:
        if entry.is_rest:
            return False
        image = self._table.images.get((entry.pid, entry.start_time, entry.exec_id))
        has_ended = image is None or image.exited > 0
        return has_ended and (entry.ended >= entry.begun or now - known.changed > _QUIET)

    def _send(self, found: list[Destination], *, last: bool) -> None:
        told = [entry for entry in found if self._is_known(entry) or last]
        series = [self._series(entry, self._known[entry.key]) for entry in told if _has_counted(entry)]
        batch = self._sender.send([*series, *(one for _batch, one in self._last)])
        self._last = [(batch, one) for _batch, one in self._last]
        for entry in told:
            known = self._known[entry.key]
            if known.sent is None and known.process is None and not entry.is_rest:
                self._ledger.note("traffic.process_unknown")
            known.sent, known.batch = entry, batch

    def _is_known(self, entry: Destination) -> bool:
        known = self._known[entry.key]
        return bool(known.process) or known.looks > _PATIENCE or entry.is_rest

    def _series(self, entry: Destination, known: _Known) -> Series:
        if not entry.is_rest and known.sent is None:
            known.attributes |= dict(self._who(entry, known))
        return Series(entry, known.start, self._resource(entry), known.attributes)

    def _resource(self, entry: Destination) -> Resource:
        return self._resources.host if entry.is_rest else self._resources.of(entry.cgroup)

    def _who(self, entry: Destination, known: _Known) -> Iterator[tuple[str, str | int]]:
        """The process, as its records have it; of one that nobody knows what the kernel says."""
        yield "process.pid", entry.pid
        if known.process is None:
            yield "process.creation.time", iso(entry.start_time + self._kernel.offset())
            yield "podwitness.process.exec_id", entry.exec_id
            return
        yield "podwitness.process.entity_id", known.process.entity_id
        if name := known.process.attributes.get("process.executable.name"):
            yield "process.executable.name", str(name)


def _server(entry: Destination) -> Attributes:
    """The remote end, as records have it; of what found no room in the kernel's map that it is a rest."""
    if entry.is_overflow:
        return {"otel.metric.overflow": True}  # as OpenTelemetry's SDKs say it (specification, cardinality limits)
    told = {
        "server.address": NAMES["address_t"](entry.address),
        "server.port": NAMES["port_t"](entry.port),
        "network.transport": NAMES["transport_t"](entry.protocol),
        "podwitness.network.protocol": NAMES["ip_protocol_t"](entry.protocol),
    }
    return {name: value for name, value in told.items() if value is not None}


def _has_counted(entry: Destination) -> bool:
    return bool(entry.established or entry.failed or entry.ended)
