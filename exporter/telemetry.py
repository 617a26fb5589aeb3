"""What the agent knows of itself: the ledger of events, and its own metrics and log.

Every event read is either sent or dropped, per sink; every drop has a stage, a reason and whether
it was meant. `Ledger` counts that in plain integers (a metric instrument per event would cost more than
encoding it); `export_metrics` lets opentelemetry-sdk read the ledger once an interval and ship it,
`log_to_stderr` formats the agent's own log lines, `log_to_fluentd` also sends them by fluent-logger where a node has
only Fluentd.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from exporter.model import Loss, Ranges, joined

if TYPE_CHECKING:  # at run time only when it is asked for: it costs 10 MB
    from opentelemetry.metrics import MeterProvider

log = logging.getLogger("podwitness")

_PATIENCE = 3.0  # seconds, at the end, for log lines that wait for Fluentd
_METRICS_PATIENCE = 2.0  # seconds, at the end, for the last metrics


ALL_SINKS = "*"
"""The `sink` of what is dropped before there is one way for each."""


class Drop(NamedTuple):
    """Why events did not go on: where, the reason, and whether a user's rule wanted it so."""

    sink: str
    stage: str
    reason: str
    intentional: bool


class Ledger:
    """Counts of the events' way through the agent; safe to use from any thread.

    For each sink: offered = sent + dropped + kept + what is still queued. `seen` counts events read, `lost` what the
    kernel could not hand over; what is seen and not dropped for all sinks is offered to each, and spans besides.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._losses: list[Loss] = []
        self.seen: Counter[str] = Counter()  # by event type
        self.lost: Counter[str] = Counter()  # by ring: the kernel's own losses
        self.offered: Counter[str] = Counter()  # by sink: events and spans handed to its channel
        self.sent: Counter[str] = Counter()  # by sink: acknowledged by the receiver
        self.dropped: Counter[Drop] = Counter()
        self.closed: set[str] = set()  # sinks whose reader has gone for good
        self.kept: Counter[str] = Counter()  # by sink: in the spool at the end, for the next start
        self.probes: dict[str, str] = {}  # by event type that is looked at: its hook, empty where it cannot be seen
        self.noted: Counter[str] = Counter()  # anything else worth a count: retries, warnings, missing metadata

    def see(self, kinds: Iterable[str]) -> None:
        """Events read from the source, by type."""
        with self._lock:
            self.seen.update(kinds)

    def lose(self, ring: str, count: int) -> None:
        """Samples the kernel could not put into `ring`."""
        with self._lock:
            self.lost[ring] += count

    def offer(self, sink: str, count: int) -> None:
        """Events or spans that reached `sink`'s channel."""
        with self._lock:
            self.offered[sink] += count

    def send(self, sink: str, count: int) -> None:
        """Events or spans that `sink`'s receiver acknowledged."""
        with self._lock:
            self.sent[sink] += count

    def drop(
        self,
        sink: str,
        stage: str,
        reason: str,
        count: int,
        *,
        intentional: bool = False,
        sequences: Ranges = (),
        stream: str = "",
    ) -> None:
        """Events or spans that end here; what no rule of the user's wanted is a loss, to be told in the stream.

        `sequences` are their numbers in the sink's stream, where they had some, and `stream` is its id.
        """
        if not count:
            return
        with self._lock:
            self.dropped[Drop(sink, stage, reason, intentional)] += count
            if not intentional:
                now = time.time_ns()
                stream = stream if sequences else ""  # without numbers it says nothing
                self._losses.append(Loss(sink, stage, reason, count, now, now, sequences, stream))

    def lack(self, loss: Loss) -> None:
        """Something that never became an event: `lose`, and what nobody could count, say it in the stream by this."""
        with self._lock:
            self._losses.append(loss)

    def losses(self) -> list[Loss]:
        """What was lost since the last call, see `merged`; whoever takes it tells of it in the stream."""
        with self._lock:
            taken, self._losses = self._losses, []
        return merged(taken)

    def keep(self, sink: str, count: int) -> None:
        """Records that the end of the agent leaves in `sink`'s spool."""
        with self._lock:
            self.kept[sink] += count

    def close(self, sink: str) -> None:
        """Nobody takes anything from `sink` any more."""
        with self._lock:
            self.closed.add(sink)

    @property
    def deserted(self) -> bool:
        """Whether no sink is left that could take anything."""
        return bool(self.closed) and self.closed >= self.offered.keys()

    def note(self, what: str, count: int = 1) -> None:
        """Count something that is not the end of an event."""
        with self._lock:
            self.noted[what] += count

    def summary(self) -> str:
        """The one line printed at the end: seen, lost, then sent and dropped by reason for each sink."""
        with self._lock:
            parts = [f"seen {sum(self.seen.values())}"]
            parts += [f"lost {count} in ring {ring}" for ring, count in sorted(self.lost.items()) if count]
            parts += self._drops(ALL_SINKS)
            parts += [f"{sink}: {self._fate(sink)}" for sink in sorted(self.offered)]
        return "; ".join(parts)

    def _fate(self, sink: str) -> str:
        kept = [f"kept {self.kept[sink]} in the spool"] if self.kept[sink] else []
        return ", ".join([f"sent {self.sent[sink]}", *(self._drops(sink) or ["dropped 0"]), *kept])

    def _drops(self, sink: str) -> list[str]:
        return [
            f"dropped {count} ({drop.stage}: {drop.reason}{', as configured' if drop.intentional else ''})"
            for drop, count in sorted(self.dropped.items())
            if drop.sink == sink
        ]


def merged(losses: Iterable[Loss]) -> list[Loss]:
    """One for each sink, stage, reason and stream: counts added, times enclosing all, numbers of all."""
    found: dict[tuple[str, str, str, str], Loss] = {}
    for loss in losses:
        key = loss.sink, loss.stage, loss.reason, loss.stream
        found[key] = _joined(found[key], loss) if key in found else loss
    return list(found.values())


def _joined(one: Loss, other: Loss) -> Loss:
    count = None if one.count is None or other.count is None else one.count + other.count
    since, until = min(one.since, other.since), max(one.until, other.until)
    sequences = joined(one.sequences, other.sequences)
    return Loss(one.sink, one.stage, one.reason, count, since, until, sequences, one.stream)


class _Lines(logging.Formatter):
    """`podwitness: warning: text`; what libraries say is cut to one line: their tracebacks help nobody here."""

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        if record.name.partition(".")[0] == log.name:
            return f"podwitness: {level}{super().format(record)}"
        error = f": {record.exc_info[1]}" if record.exc_info and record.exc_info[1] else ""
        text = " ".join(f"{record.getMessage()}{error}".split())
        return f"podwitness: {level}{record.name}: {text}"


def log_to_stderr(level: str = "INFO") -> None:
    """Our log lines from `level` on, on stderr; of libraries, which log each retry of their own, the errors only."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    logging.basicConfig(handlers=[handler], level=logging.ERROR)
    log.setLevel(level)


def log_to_fluentd(host: str, port: int) -> Callable[[], None]:
    """Send the agent's own log lines to Fluentd's `in_forward` as `podwitness.log`, by fluent-logger.

    fluent-logger's asynchronous sender, its queue a circle: a Fluentd that hangs must not hold up the agent. Returns
    the function that ends it, after a few seconds at most.
    """
    from fluent.asynchandler import FluentHandler
    from fluent.handler import FluentRecordFormatter

    handler = FluentHandler("podwitness.log", host=host, port=port, nanosecond_precision=True, queue_circular=True)
    handler.setFormatter(FluentRecordFormatter({"level": "%(levelname)s", "logger": "%(name)s"}))
    log.addHandler(handler)

    def end() -> None:
        log.removeHandler(handler)
        # fluent-logger would wait for as long as it takes to send, or not to send, each line.
        waiting, deadline = handler.sender._queue, time.monotonic() + _PATIENCE
        while not waiting.empty() and time.monotonic() < deadline:
            time.sleep(0.01)
        handler.sender.close(flush=False)
        handler.close()

    return end


def export_metrics(ledger: Ledger, *, endpoint: str, interval: float, resource: dict[str, str]) -> Callable[[], None]:
    """Ship the ledger as OTLP metrics to `endpoint` every `interval` seconds; returns the function that stops it.

    `endpoint` is the base URL of an OTLP/HTTP receiver; the SDK's own environment variables keep their meaning
    for everything not given here.
    """
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource as SdkResource

    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint=endpoint.rstrip("/") + "/v1/metrics"),
        export_interval_millis=interval * 1000,
    )
    attributes = SdkResource.create({"service.name": "podwitness", **resource})
    provider = MeterProvider([reader], resource=attributes, shutdown_on_exit=False)  # at exit it would wait for 30 s
    _instrument(provider, ledger)
    return lambda: provider.shutdown(timeout_millis=_METRICS_PATIENCE * 1000)


def _instrument(provider: "MeterProvider", ledger: Ledger) -> None:
    """One observable counter for each column of the ledger, and a gauge: 1 or 0 for each event type looked at."""
    from opentelemetry.metrics import CallbackOptions, Observation

    meter = provider.get_meter("podwitness")

    def reader(
        column: Callable[[], Iterable[tuple[int, dict[str, str | bool]]]],
    ) -> Callable[[CallbackOptions], list[Observation]]:
        return lambda _options: [Observation(count, attributes) for count, attributes in column()]

    def by(label: str, counts: Counter[str]) -> Callable[[], list[tuple[int, dict[str, str | bool]]]]:
        return lambda: [(count, {label: key}) for key, count in list(counts.items())]

    def drops() -> list[tuple[int, dict[str, str | bool]]]:
        return [(count, dict(drop._asdict())) for drop, count in list(ledger.dropped.items())]

    columns: tuple[tuple[str, Callable[[], Iterable[tuple[int, dict[str, str | bool]]]]], ...] = (
        ("podwitness.events.seen", by("event.type", ledger.seen)),
        ("podwitness.events.lost", by("ring", ledger.lost)),
        ("podwitness.records.offered", by("sink", ledger.offered)),
        ("podwitness.records.sent", by("sink", ledger.sent)),
        ("podwitness.records.dropped", drops),
        ("podwitness.notes", by("what", ledger.noted)),
    )
    for name, column in columns:
        meter.create_observable_counter(name, callbacks=[reader(column)], unit="{record}")

    def attached() -> list[tuple[int, dict[str, str | bool]]]:
        return [(int(bool(hook)), {"event.type": kind, "hook": hook}) for kind, hook in list(ledger.probes.items())]

    meter.create_observable_gauge("podwitness.probe.attached", callbacks=[reader(attached)], unit="1")
