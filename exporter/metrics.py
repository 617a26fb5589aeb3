"""Numbers of connections as OpenTelemetry metrics: made of series, and sent by OTLP from a thread of their own.

`traffic.py` makes the series. The reader's thread only hands them over: whether and when they arrive holds up neither
the rings nor the sinks. Names follow OpenTelemetry semantic conventions 1.44.0 (`network.io.direction` and the unit
`By` are of `system.network.io`); sums and histograms are cumulative, so that an interval that fails costs nothing.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from exporter import __version__
from exporter.model import Attributes, Resource
from exporter.source.destinations import Destination
from exporter.telemetry import Ledger, log

if TYPE_CHECKING:  # at run time only when it is asked for: it costs 10 MB
    from opentelemetry.sdk.metrics.export import (
        HistogramDataPoint,
        Metric,
        MetricsData,
        NumberDataPoint,
        ResourceMetrics,
    )

_THREAD = "traffic"
_PIECE = 500  # series of one request: about 1 MB, and ten times that while it is made
_PATIENCE = 2.0  # seconds, at the end, for the last numbers
_SDK_LOGGER = "opentelemetry.exporter.otlp.proto.http.metric_exporter"


class Series(NamedTuple):
    """The numbers of one process image with one remote end, since `start` (Unix ns)."""

    numbers: Destination
    start: int
    resource: Resource
    attributes: Attributes


def metrics_data(series: Iterable[Series], now: int) -> "MetricsData":
    """All series as of `now` (Unix ns), by Resource; what has not happened yet has no point."""
    from opentelemetry.sdk.metrics.export import MetricsData

    by_resource: dict[int, list[Series]] = {}
    for one in series:
        by_resource.setdefault(id(one.resource), []).append(one)
    return MetricsData([_of_resource(found, now) for found in by_resource.values()])


def _of_resource(series: Sequence[Series], now: int) -> "ResourceMetrics":
    from opentelemetry.sdk.metrics.export import ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.resources import Resource as SdkResource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    metrics = [metric for metric in _metrics(series, now) if metric.data.data_points]
    scope = ScopeMetrics(InstrumentationScope("podwitness", __version__), metrics, "")
    return ResourceMetrics(SdkResource(series[0].resource.attributes), [scope], "")


def _metrics(series: Sequence[Series], now: int) -> Iterator["Metric"]:
    from opentelemetry.sdk.metrics.export import AggregationTemporality, Histogram, Metric, Sum

    cumulative = AggregationTemporality.CUMULATIVE
    outcomes = [
        _point(one, now, "podwitness.outcome", outcome, count)
        for one in series
        for outcome, count in (("established", one.numbers.established), ("failed", one.numbers.failed))
        if count
    ]
    flows = [
        _point(one, now, "network.io.direction", direction, count)
        for one in series
        for direction, count in (("transmit", one.numbers.sent), ("receive", one.numbers.received))
        if count
    ]
    latencies = [_latency(one, now) for one in series if any(one.numbers.latencies)]
    yield Metric(
        "podwitness.network.connections",
        "Connections that were opened, or could not be.",
        "{connection}",
        Sum(outcomes, cumulative, is_monotonic=True),
    )
    yield Metric(
        "podwitness.network.connect.duration",
        "Time from the first packet to the connection.",
        "s",
        Histogram(latencies, cumulative),
    )
    yield Metric(
        "podwitness.network.io",
        "Payload of connections that have ended.",
        "By",
        Sum(flows, cumulative, is_monotonic=True),
    )


def _point(one: Series, now: int, name: str, value: str, count: int) -> "NumberDataPoint":
    from opentelemetry.sdk.metrics.export import NumberDataPoint

    return NumberDataPoint(one.attributes | {name: value}, one.start, now, count)


def _latency(one: Series, now: int) -> "HistogramDataPoint":
    from opentelemetry.sdk.metrics.export import HistogramDataPoint

    counts = one.numbers.latencies
    return HistogramDataPoint(
        attributes=one.attributes,
        start_time_unix_nano=one.start,
        time_unix_nano=now,
        count=sum(counts),
        sum=one.numbers.latency / 1e9,
        bucket_counts=counts,
        explicit_bounds=[2**bits / 1e6 for bits in range(len(counts) - 1)],
        min=None,  # type: ignore[arg-type]  # optional in OTLP; nobody has counted it
        max=None,  # type: ignore[arg-type]  # as above
    )


class Sender:
    """Sends batches of series; the newest one takes the place of one that still waits, whose numbers it has too."""

    def __init__(self, endpoint: str, interval: float, ledger: Ledger) -> None:
        """`endpoint` is the base URL of an OTLP/HTTP receiver; the SDK's environment variables keep their meaning."""
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        self.interval, self._endpoint, self._ledger = interval, endpoint, ledger
        self._exporter = OTLPMetricExporter(endpoint=endpoint.rstrip("/") + "/v1/metrics")
        self.delivered = 0
        """The number of the last batch that arrived."""
        self._number = self._done = 0
        self._waiting = list[Series]()
        self._changed = threading.Condition()
        self._ended = self._closed = self._failing = False
        self._said = _Said()
        logging.getLogger(_SDK_LOGGER).addFilter(self._said)
        self._thread = threading.Thread(target=self._run, name=_THREAD, daemon=True)
        self._thread.start()

    def send(self, series: list[Series]) -> int:
        """Hand a batch over; its number. Returns at once."""
        with self._changed:
            self._number, self._waiting = self._number + 1, series
            self._changed.notify()
            return self._number

    def _run(self) -> None:
        while batch := self._next():
            number, series = batch
            self._said.text = ""
            pieces = [series[at : at + _PIECE] for at in range(0, len(series), _PIECE)]
            if all(self._export(piece) for piece in pieces):
                self.delivered, self._failing = number, False
            else:
                self._fail()

    def _next(self) -> tuple[int, list[Series]] | None:
        """The newest batch, once there is one; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._number > self._done)
            if self._number == self._done:
                return None
            self._done = self._number
            series, self._waiting = self._waiting, []
            return self._done, series

    def _export(self, series: list[Series]) -> bool:
        from opentelemetry.sdk.metrics.export import MetricExportResult

        try:
            return self._exporter.export(metrics_data(series, time.time_ns())) is MetricExportResult.SUCCESS
        except Exception as error:  # whatever it is, the next interval tries again
            self._said.text = self._said.text or repr(error)
            return False

    def _fail(self) -> None:
        self._ledger.note("traffic.export_failed")
        if not self._failing:
            log.warning(
                "metrics of connections do not arrive at %s: %s; the numbers are kept, and sent again every %g seconds",
                self._endpoint,
                self._said.text or "the receiver refuses them",
                self.interval,
            )
        self._failing = True

    def close(self) -> None:
        """Wait a moment for the last batch. Safe to call twice."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(_PATIENCE)
        if not self._closed:
            self._exporter.shutdown()
            self._closed = True
        self._thread.join(_PATIENCE)
        logging.getLogger(_SDK_LOGGER).removeFilter(self._said)


class _Said(logging.Filter):
    """Keeps what the SDK says of our batches, which we say once and not with each try."""

    text = ""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.threadName != _THREAD:
            return True
        self.text = " ".join(record.getMessage().split())
        return False
