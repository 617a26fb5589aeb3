"""The three ways to feed the pipeline: `run` from the kernel, `record` the kernel to a file, `replay` such a file.

The command line calls these. Each opens what it needs in order, and closes it in the reverse order, whatever happens.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from exporter import probes
from exporter.agent import Pipeline
from exporter.config import Config
from exporter.enrich.cgroups import Hierarchy, Tree, choose, parse
from exporter.enrich.host import host_attributes, node_name
from exporter.enrich.kubernetes import PodWatch
from exporter.enrich.pods import PodIndex
from exporter.enrich.resources import Resources
from exporter.model import RawSample
from exporter.source.programs import Cgroups, Kernel
from exporter.source.recording import Recorder, Recording
from exporter.telemetry import Ledger, export_metrics, log, log_to_fluentd

PROGRAMS = tuple(dict.fromkeys(kind.program for kind in probes.KINDS))
_SYNC_SECONDS = 1.0  # the first events wait this long for the pods, in the rings
_LOSS_INTERVAL = 1.0  # seconds between two looks at the kernel's own counts


class Node:
    """Who runs here: this host, its cgroups, its pods. Open for as long as the agent runs."""

    def __init__(self, config: Config, ledger: Ledger, hierarchy: Hierarchy | None) -> None:
        """Raises KubernetesError when the settings ask for a cluster and there is none."""
        pods = PodIndex()
        self._watch = PodWatch.open(config.kubernetes, pods, ledger)
        self.resources = Resources(
            host_attributes(Path(config.kernel.proc_root)),
            pods,
            Tree(hierarchy),
            config.kubernetes,
            self._watch is not None,
        )

    def start(self) -> None:
        """Begin to follow the pods; waits a moment for them, never for long."""
        if self._watch:
            self._watch.start()
            if not self._watch.synced.wait(_SYNC_SECONDS):
                log.warning("%s; events go on without pod metadata until it answers", self._watch.health)

    def close(self) -> None:
        """Stop following the pods."""
        if self._watch:
            self._watch.close()


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
        hierarchy = _hierarchy(config)
        node = Node(config, ledger, hierarchy)
        stack.callback(node.close)
        kernel = _open_kernel(config, hierarchy)
        stack.callback(kernel.close)
        if config.telemetry.metrics_endpoint:
            stack.callback(_metrics(config, ledger))  # ends after the sinks: the last numbers are the whole account
        pipeline = Pipeline(config, kernel, node.resources, ledger, where=where)
        stack.callback(pipeline.close)
        node.start()
        seen = kernel.snapshot()
        pipeline.seed(seen, kernel.offset(), time.time_ns())
        log.info("watching %d processes and what they start; sinks: %s", len(seen), ", ".join(config.sinks))
        _follow(kernel, pipeline, stop, duration)
    return ledger


def _hierarchy(config: Config) -> Hierarchy:
    return choose(config.kernel.hierarchy, Path(config.kernel.cgroup_root))


def _open_kernel(config: Config, hierarchy: Hierarchy) -> Kernel:
    return Kernel.open(config.kernel, Cgroups(hierarchy.name, lambda path: parse(path) is not None), PROGRAMS)


def _follow(kernel: Kernel, pipeline: Pipeline, stop: threading.Event, duration: float | None) -> None:
    """Read until told to stop, then what is in the rings at that moment."""
    end = time.monotonic() + duration if duration else None
    looked = 0.0
    while not (stop.is_set() or pipeline.ledger.deserted) and (end is None or time.monotonic() < end):
        # Most looks find nothing on a quiet node; they must cost nothing.
        pending = pipeline.pending
        if kernel.wait(pending=pending) or pending:
            _take(kernel, pipeline, kernel.read())
        if time.monotonic() - looked >= _LOSS_INTERVAL:
            looked = time.monotonic()
            _count_losses(kernel, pipeline.ledger)
    for samples in kernel.rest():
        _take(kernel, pipeline, samples)
    _count_losses(kernel, pipeline.ledger)


def _take(kernel: Kernel, pipeline: Pipeline, samples: Sequence[RawSample]) -> None:
    pipeline.process(samples, kernel.offset(), time.time_ns())
    kernel.acknowledge()


def _count_losses(kernel: Kernel, ledger: Ledger) -> None:
    for ring, count in kernel.lost().items():
        if count:
            ledger.lose(ring, count)
            log.warning("ring %s was full: %d samples lost; raise kernel.%s_ring_bytes", ring, count, ring)


def _metrics(config: Config, ledger: Ledger) -> Callable[[], None]:
    settings = config.telemetry
    attributes = {"k8s.node.name": node_name(config.kubernetes)}
    return export_metrics(
        ledger,
        endpoint=settings.metrics_endpoint or "",
        interval=settings.metrics_interval_seconds,
        resource=attributes,
    )


def record(config: Config, path: Path, stop: threading.Event, duration: float | None = None) -> int:
    """Write what the kernel hands over to `path` until `stop` or `duration`; returns the number of samples."""
    end = time.monotonic() + duration if duration else None
    with (
        closing(_open_kernel(config, _hierarchy(config))) as kernel,
        closing(Recorder(path, kernel)) as recorder,
    ):
        recorder.snapshot(kernel.snapshot(), time.time_ns())
        while not stop.is_set() and (end is None or time.monotonic() < end):
            kernel.wait()
            recorder.batch(kernel.read(), time.time_ns())
            kernel.acknowledge()
        for samples in kernel.rest():
            recorder.batch(samples, time.time_ns())
    return recorder.count


def replay(config: Config, path: Path, stop: threading.Event, *, where: str) -> Ledger:
    """Send a recording, until `stop` is set, through the pipeline, without root and kernel; returns the counts."""
    ledger = Ledger()
    with ExitStack() as stack:
        recording = Recording(path)
        stack.callback(recording.close)
        node = Node(config, ledger, None)
        stack.callback(node.close)
        pipeline = Pipeline(config, recording, node.resources, ledger, where=where)
        stack.callback(pipeline.close)
        node.start()
        for line in recording.lines():
            if stop.is_set() or ledger.deserted:
                break
            if line.seen:
                pipeline.seed(line.seen, recording.offset(), line.observed)
            pipeline.process(line.samples, recording.offset(), line.observed)
    return ledger
