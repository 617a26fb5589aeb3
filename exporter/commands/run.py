"""`run`: from the kernel through the pipeline, until told to stop.

It goes on where the agent before it stopped: in the rings, where they were kept, in the sinks' streams and in what it
knew of the processes.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import msgspec

from exporter import __version__
from exporter.agent import Pipeline, signer_of
from exporter.commands.duties import Duties
from exporter.commands.node import Node, check_observed, hierarchy, open_kernel
from exporter.config import Config
from exporter.enrich.host import node_name
from exporter.health import serve
from exporter.keeping import Keeping, check_keeping, open_keeping
from exporter.metrics import Sender
from exporter.model import Event, Loss
from exporter.notify import Notifier
from exporter.resident import give_back
from exporter.source.programs import Kernel
from exporter.status import Shown
from exporter.telemetry import ALL_SINKS, Ledger, export_metrics, log, log_to_fluentd
from exporter.traffic import Traffic
from exporter.vitals import Vitals

_BOOT, _TIME, _LOSSES, _RINGS, _ENDED = "boot", "time", "losses", "rings", "ended"  # what the spool keeps of a run
_YES, _NONE = b"yes", msgspec.msgpack.encode([])


def run(config: Config, stop: threading.Event, *, where: str, duration: float | None = None) -> Ledger:
    """Watch this node until `stop` is set or `duration` seconds have passed; then drain, send, and return the counts.

    It also ends where no sink has a reader any more: `podwitness run | head`.

    Raises PodwitnessError for what makes a start impossible; after the start, nothing ends it but `stop`.
    """
    ledger = Ledger()
    with ExitStack() as stack:
        if config.telemetry.log_fluentd:
            fluentd = config.telemetry.log_fluentd
            stack.callback(log_to_fluentd(fluentd.host, fluentd.port))
        vitals, notifier = Vitals(), Notifier.from_environment(os.environ)
        stack.callback(notifier.close)
        if config.health:
            stack.callback(serve(config.health, vitals, where=where))
        signer_of(config, where=where)  # before the spool is opened: a wrong key must not cost what is in it
        check_keeping(config.spool, where=where)
        check_observed(config, where=where)
        tree = hierarchy(config)
        node = Node(config, ledger, tree)
        stack.callback(node.close)
        ring_bytes = min(config.kernel.lifecycle_ring_bytes, config.kernel.activity_ring_bytes)
        keeping = open_keeping(config.spool, ledger, where=where, ring_bytes=ring_bytes)
        stack.callback(keeping.close)
        kernel = open_kernel(config, tree, Path(config.spool.path) / "objects", where=where)
        stack.callback(kernel.close)
        ledger.probes.update({probe.type: probe.hook for probe in kernel.probes})
        if config.telemetry.metrics_endpoint:
            stack.callback(_metrics(config, ledger))  # ends after the sinks: the last numbers are the whole account
        sender = _sender(config, ledger)
        if sender:
            stack.callback(sender.close)
        pipeline = Pipeline(config, kernel, node.resources, ledger, where=where, keeping=keeping)
        stack.callback(pipeline.close)
        keeping.on_unsaved(partial(setattr, kernel, "unsaved", True))
        _resume(kernel, pipeline, keeping)
        node.start()
        vitals.require({name: partial(pipeline.working, name) for name, sink in config.sinks.items() if sink.required})
        vitals.attach()
        status = Shown(where, kernel.probes, kernel.program_ids(), ledger)
        stack.callback(status.close)
        traffic = Traffic(kernel, pipeline.table, node.resources, sender, ledger) if sender else None
        duties = Duties(config, kernel, pipeline, vitals, notifier, status.show, traffic)
        _Run(kernel, pipeline, duties).follow(stop, duration)
    return ledger


def _resume(kernel: Kernel, pipeline: Pipeline, keeping: Keeping) -> None:
    """Go on where the last agent stopped, and say what nobody saw in between."""
    state = keeping.state
    since = int.from_bytes(state.get(_TIME, b""), "big")
    same_boot = state.get(_BOOT) == kernel.boot_id.encode()
    if not _numbers_hold(kernel, keeping, same_boot=same_boot):
        keeping.renumber()
    if same_boot:
        pipeline.table.restore(keeping.journal)
        kernel.seek(_positions(keeping))
        kernel.restore_losses(state.get(_LOSSES, b""))
    elif kernel.resumed:
        looked = kernel.adopt_losses()
        if looked and not since and not keeping.failing:  # what a disk that fails has kept comes later
            since = looked + kernel.offset()
    if since and not (same_boot and kernel.resumed):
        reason = "not_kept" if kernel.resumed else "not_observed" if same_boot else "reboot"
        pipeline.ledger.lack(Loss(ALL_SINKS, "kernel", reason, None, since, time.time_ns()))


def _numbers_hold(kernel: Kernel, keeping: Keeping, *, same_boot: bool) -> bool:
    """Whether no number was sent that the spool does not know of; they would be given out again.

    While the disk fails the sinks send from memory. Pinned rings say whether that was so, else only a clean end does.
    """
    if same_boot and kernel.resumed:
        ahead = any(kernel.positions().get(ring, 0) > position for ring, position in _positions(keeping).items())
        return not (kernel.unsaved or ahead)
    return keeping.state.get(_ENDED) == _YES


def _positions(keeping: Keeping) -> dict[int, int]:
    """Those of this boot: the kernel's ids of rings repeat in another."""
    known = msgspec.msgpack.decode(keeping.state.get(_RINGS, _NONE), type=list[int])
    return {ring: position for ring, position in keeping.positions.items() if ring in known}


class _Run:
    """One run of the agent, from its first reading to its last."""

    def __init__(self, kernel: Kernel, pipeline: Pipeline, duties: Duties) -> None:
        self._kernel, self._pipeline, self._duties = kernel, pipeline, duties

    def follow(self, stop: threading.Event, duration: float | None) -> None:
        """Read until told to stop, then what is in the rings at that moment."""
        kernel, pipeline = self._kernel, self._pipeline
        end = time.monotonic() + duration if duration else None
        seen = kernel.snapshot()
        written = kernel.written()
        alive = pipeline.seed(seen, kernel.offset(), time.time_ns())
        log.info("watching %d processes and what they start; sinks: %s", len(seen), ", ".join(pipeline.sinks))
        pipeline.tell([pipeline.own.started(__version__, resumed=kernel.resumed), *self._seen()])
        give_back()  # of what libbpf needed to load the probes, some 10 MiB
        behind = True
        while not (stop.is_set() or pipeline.ledger.deserted) and (end is None or time.monotonic() < end):
            self._turn()
            if behind and _reached(kernel.positions(), written):  # all is read that happened while no agent ran
                behind = False
                pipeline.table.settle(alive if kernel.sees_host else None)
        self._finish()

    def _seen(self) -> list[Event]:
        """What can be seen here, and what cannot be."""
        own = self._pipeline.own
        return [
            own.seen(probe.type, probe.hook) if probe.hook else own.unseen(probe.type, probe.reason)
            for probe in self._kernel.probes
        ]

    def _turn(self) -> None:
        """One reading. Most find nothing on a quiet node, and must cost nothing."""
        kernel, pipeline = self._kernel, self._pipeline
        pending, room = pipeline.pending, not pipeline.crowded
        if (kernel.wait(pending=pending, reading=room) or pending) and room:
            pipeline.process(kernel.read(), kernel.offset(), time.time_ns())
        self._acknowledge(pipeline.secure(kernel.positions(), self._state))
        self._duties.look()

    def _acknowledge(self, safe: Mapping[int, int]) -> None:
        """Let the kernel forget; after a good commit the spool knows all numbers again, and which losses were told."""
        saved = bool(safe) and not self._pipeline.failing
        self._kernel.acknowledge(safe, told=saved)
        if saved and self._kernel.unsaved:
            self._kernel.unsaved = False

    def _finish(self) -> None:
        """What the rings hold now, then the last record of the streams."""
        kernel, pipeline = self._kernel, self._pipeline
        self._duties.stop()
        for samples in kernel.rest():
            pipeline.process(samples, kernel.offset(), time.time_ns())
            # A full ring is more than memory holds.
            self._acknowledge(pipeline.secure(kernel.positions(), self._state))
        self._duties.look(now=True)
        pipeline.tell_losses()
        pipeline.tell([pipeline.own.stopped()])
        self._acknowledge(pipeline.finish(kernel.positions(), partial(self._state, ended=True)))

    def _state(self, *, ended: bool = False) -> Mapping[str, bytes]:
        """What the next agent must know besides the streams."""
        kernel = self._kernel
        return {
            _BOOT: kernel.boot_id.encode(),
            _TIME: time.time_ns().to_bytes(8, "big"),
            _RINGS: msgspec.msgpack.encode(list(kernel.positions())),
            _ENDED: _YES if ended else b"",
            _LOSSES: kernel.loss_state(),
        }


def _reached(positions: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    return all(positions.get(ring, end) >= end for ring, end in ends.items())


def _metrics(config: Config, ledger: Ledger) -> Callable[[], None]:
    settings = config.telemetry
    attributes = {"k8s.node.name": node_name(config.kubernetes)}
    return export_metrics(
        ledger,
        endpoint=settings.metrics_endpoint or "",
        interval=settings.metrics_interval_seconds,
        resource=attributes,
    )


def _sender(config: Config, ledger: Ledger) -> Sender | None:
    """For the numbers of connections, where somebody asked for them."""
    if not config.observe.network.metrics or not config.telemetry.metrics_endpoint:
        return None
    return Sender(config.telemetry.metrics_endpoint, config.telemetry.metrics_interval_seconds, ledger)
