"""The agent: the one place that knows the order of the stages.

    source -> decode -> enrich -> (for each sink: shape -> encode -> sink)

`Pipeline` is that order, for live events and for recorded ones; `run`, `record` and `replay` are the three ways to
feed it. One thread reads, enriches and encodes; each sink has its own for sending.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from exporter import probes
from exporter.channel import open_channel
from exporter.config import Config
from exporter.enrich.cgroups import Hierarchy, Tree, choose, parse
from exporter.enrich.host import host_attributes, node_name
from exporter.enrich.kubernetes import PodWatch
from exporter.enrich.pods import PodIndex
from exporter.enrich.processes import ProcessTable
from exporter.enrich.resources import Resources
from exporter.enrich.traces import Traces
from exporter.model import Event, Kind, RawSample
from exporter.shape import redact
from exporter.source.decode import Decoder, arguments
from exporter.source.programs import Cgroups, Kernel, Seen
from exporter.source.recording import Recorder, Recording
from exporter.telemetry import Ledger, export_metrics, log, log_to_fluentd

PROGRAMS = tuple(dict.fromkeys(kind.program for kind in probes.KINDS))
_SYNC_SECONDS = 1.0  # the first events wait this long for the pods, in the rings
_LOSS_INTERVAL = 1.0  # seconds between two looks at the kernel's own counts


class Pipeline:
    """Every stage, in order: samples in, payloads in the sinks' queues."""

    def __init__(
        self,
        config: Config,
        source: Kernel | Recording,
        resources: Resources,
        ledger: Ledger,
        *,
        where: str,
        kinds: Sequence[Kind] = probes.KINDS,
    ) -> None:
        """`where` names the settings in errors. Raises ConfigError for settings that no event can satisfy."""
        self.ledger, self._resources = ledger, resources
        self._decoder = Decoder(kinds, source.types, source.boot_id)
        self._snapshot = Decoder([probes.SNAPSHOT], source.types, source.boot_id)
        node = node_name(config.kubernetes)
        self.table = ProcessTable(
            Traces(node, source.boot_id),
            resources,
            redact.compile(config.redaction, where=f"{where}: redaction"),
            config.process,
            ledger,
        )
        self._channels = [
            open_channel(name, sink, kinds, node, ledger, where=f"{where}: sinks.{name}")
            for name, sink in config.sinks.items()
        ]
        for channel in self._channels:
            channel.start()

    def seed(self, seen: Sequence[Seen], offset: int, observed: int) -> None:
        """The processes that were there before."""
        events = self._snapshot.decode([one.sample for one in seen], offset, observed)
        for event, one in zip(events, seen, strict=True):
            if event.facts is not None and one.arguments:
                event.facts |= arguments("args", one.arguments)
        self.table.seed(events)

    def process(self, samples: Sequence[RawSample], offset: int, observed: int) -> None:
        """One reading of the rings through all stages; call it also with no samples, for what waits to be sent."""
        self._resources.refresh()
        events = self.decode(samples, offset, observed)
        spans = [span for span in map(self.table.apply, events) if span]
        now = time.monotonic()
        for channel in self._channels:
            channel.take(events, spans, now)
        self.table.forget()

    def close(self) -> None:
        """Send what is left; each sink for as long as its settings allow, all at once."""
        closing = [threading.Thread(target=channel.close) for channel in self._channels]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()

    def decode(self, samples: Sequence[RawSample], offset: int, observed: int) -> list[Event]:
        """Decode all; what is no sample of ours is dropped and counted."""
        try:
            events = self._decoder.decode(samples, offset, observed)
        except Exception:
            events = [event for sample in samples for event in self._decode_one(sample, offset, observed)]
        self.ledger.see(event.kind.name for event in events)
        return events

    def _decode_one(self, sample: RawSample, offset: int, observed: int) -> list[Event]:
        try:
            return self._decoder.decode([sample], offset, observed)
        except Exception as error:
            log.warning("a sample cannot be decoded: %s", error)
            self.ledger.drop("all", "decode", "undecodable", 1)
            return []


class Node:
    """Who runs here: this host, its cgroups, its pods. Open for as long as the agent runs."""

    def __init__(self, config: Config, ledger: Ledger, hierarchy: Hierarchy | None) -> None:
        """Raises KubernetesError when the settings ask for a cluster and there is none."""
        pods = PodIndex()
        self._watch = PodWatch.open(config.kubernetes, pods, ledger)
        self.resources = Resources(host_attributes(), pods, Tree(hierarchy), config.kubernetes, self._watch is not None)

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
        pipeline = Pipeline(config, kernel, node.resources, ledger, where=where)
        stack.callback(pipeline.close)
        if config.telemetry.metrics_endpoint:
            stack.callback(_metrics(config, ledger))
        node.start()
        pipeline.seed(kernel.snapshot(), kernel.offset(), time.time_ns())
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
    while not stop.is_set() and (end is None or time.monotonic() < end):
        kernel.wait()
        _read(kernel, pipeline)
        if time.monotonic() - looked >= _LOSS_INTERVAL:
            looked = time.monotonic()
            _count_losses(kernel, pipeline.ledger)
    while _read(kernel, pipeline):
        pass
    _count_losses(kernel, pipeline.ledger)


def _read(kernel: Kernel, pipeline: Pipeline) -> int:
    samples = kernel.read()
    pipeline.process(samples, kernel.offset(), time.time_ns())
    kernel.acknowledge()
    return len(samples)


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
    count = 0
    with (
        closing(_open_kernel(config, _hierarchy(config))) as kernel,
        closing(Recorder(path, kernel)) as recorder,
    ):
        recorder.snapshot(kernel.snapshot(), time.time_ns())
        while not stop.is_set() and (end is None or time.monotonic() < end):
            kernel.wait()
            samples = kernel.read()
            recorder.batch(samples, time.time_ns())
            kernel.acknowledge()
            count += len(samples)
    return count


def replay(config: Config, path: Path, *, where: str) -> Ledger:
    """Send a recording through the whole pipeline, without root and without the kernel; returns the counts."""
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
            if line.seen:
                pipeline.seed(line.seen, recording.offset(), line.observed)
            pipeline.process(line.samples, recording.offset(), line.observed)
    return ledger
