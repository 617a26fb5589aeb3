"""A real OpenTelemetry Collector that takes OTLP and Fluent Forward and keeps what it got as JSON.

The `collector` fixture of tests/conftest.py starts one; sinks send to it, tests read what arrived.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.peers.processes import Server, accepts, free_port
from tests.waiting import wait_for


class Record(NamedTuple):
    """One log record or span as the Collector understood it.

    `raw` is its OTLP JSON: `timeUnixNano`, `body`, `eventName`, `traceId`, `name` and so on.
    """

    resource: dict[str, Any]
    attributes: dict[str, Any]
    raw: dict[str, Any]

    @property
    def body(self) -> Any:
        """The body of a log record as a Python value."""
        return value(self.raw.get("body", {}))


class ServerTls(NamedTuple):
    """Files of the Collector's side: its certificate, and the CA of its clients' where it asks for theirs."""

    certificate: str
    key: str
    client_ca: str | None = None

    @property
    def settings(self) -> dict[str, str]:
        """As `tls` of a receiver."""
        found = {"cert_file": self.certificate, "key_file": self.key}
        return found | ({"client_ca_file": self.client_ca} if self.client_ca else {})


class Collector:
    """The Collector on free loopback ports; it keeps them over `stop` and `start`.

    Args:
        binary: of the Collector.
        folder: for its settings and what it got.
        tls: of both OTLP receivers; none: without.
        limits: settings added to each OTLP receiver: `{"grpc": {"max_recv_msg_size_mib": 1}}`.
    """

    def __init__(
        self,
        binary: Path,
        folder: Path,
        *,
        tls: ServerTls | None = None,
        limits: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._folder, self._tls, self._limits = folder, tls, limits or {}
        http, grpc, self.fluent_port = free_port(), free_port(), free_port()
        self.otlp_endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{http}"
        self.otlp_grpc_endpoint = f"127.0.0.1:{grpc}"
        self.otlp_grpc_url = f"{'https' if tls else 'http'}://{self.otlp_grpc_endpoint}"
        config = folder / "collector.yaml"
        config.write_text(yaml.safe_dump(self._settings(http, grpc)))
        self._server = Server(
            [binary, f"--config={config}"],
            folder / "collector.log",
            lambda: all(accepts(port) for port in (http, grpc, self.fluent_port)),
        )
        self.logs_path = folder / "otlp-logs.json"
        """OTLP JSON lines: what a user's own Collector with a file exporter would have."""
        self.start, self.stop, self.restart = self._server.start, self._server.stop, self._server.restart

    def logs(self) -> list[Record]:
        """Log records that came by OTLP, in the order of arrival."""
        return list(_records(self._folder / "otlp-logs.json", "resourceLogs", "scopeLogs", "logRecords"))

    def traces(self) -> list[Record]:
        """Spans that came by OTLP."""
        return list(_records(self._folder / "otlp-traces.json", "resourceSpans", "scopeSpans", "spans"))

    def metrics(self) -> list[Record]:
        """The points of all metrics that came by OTLP, each with its metric's `name` and `unit` in `raw`."""
        found = []
        for metric in _records(self._folder / "otlp-metrics.json", "resourceMetrics", "scopeMetrics", "metrics"):
            named = {"name": metric.raw["name"], "unit": metric.raw.get("unit", "")}
            for point in (metric.raw.get("sum") or metric.raw.get("histogram") or metric.raw["gauge"])["dataPoints"]:
                found.append(Record(metric.resource, attributes(point.get("attributes", ())), point | named))
        return found

    def fluent_logs(self) -> list[Record]:
        """Log records that came by Fluent Forward; the tag is the attribute `fluent.tag`."""
        return list(_records(self._folder / "fluent-logs.json", "resourceLogs", "scopeLogs", "logRecords"))

    def wait_for(self, predicate: Callable[["Collector"], Any], timeout: float = 30.0) -> Any:
        """Wait until `predicate(self)` is truthy, as in `wait_for(lambda c: len(c.logs()) == 23)`."""
        try:
            return wait_for(lambda: predicate(self), "the Collector has it", timeout)
        except AssertionError as error:
            counts = f"{len(self.logs())} logs, {len(self.traces())} spans, {len(self.fluent_logs())} by Fluent"
            error.add_note(f"it has {counts}; its last lines:\n{self._server.last_words()}")
            raise

    def _settings(self, http: int, grpc: int) -> dict[str, Any]:
        folder = self._folder
        storage = folder / "storage"
        storage.mkdir(exist_ok=True)
        files = {
            f"file/{name}": {"path": str(folder / f"{name}.json"), "append": True, "flush_interval": "10ms"}
            for name in ("otlp-logs", "otlp-traces", "otlp-metrics", "fluent-logs")
        }
        tls = {"tls": self._tls.settings} if self._tls else {}
        protocols = {
            name: {"endpoint": f"127.0.0.1:{port}", **tls, **self._limits.get(name, {})}
            for name, port in (("http", http), ("grpc", grpc))
        }
        return {
            "extensions": {"file_storage": {"directory": str(storage)}},
            "receivers": {
                "otlp": {"protocols": protocols},
                "fluent_forward": {"endpoint": f"127.0.0.1:{self.fluent_port}"},
            },
            "exporters": files | {"debug": {}},
            "service": {
                "extensions": ["file_storage"],
                # Its own metrics would take a fixed port.
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {
                    "logs/otlp": {"receivers": ["otlp"], "exporters": ["file/otlp-logs", "debug"]},
                    "traces/otlp": {"receivers": ["otlp"], "exporters": ["file/otlp-traces", "debug"]},
                    "metrics/otlp": {"receivers": ["otlp"], "exporters": ["file/otlp-metrics", "debug"]},
                    "logs/fluent": {
                        "receivers": ["fluent_forward"],
                        "exporters": ["file/fluent-logs", "debug"],
                    },
                },
            },
        }


def _records(path: Path, resources: str, scopes: str, records: str) -> Iterator[Record]:
    """The records of a file of OTLP JSON lines; a last line without its end is still being written."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for line in text.split("\n")[:-1]:
        for group in json.loads(line)[resources]:
            resource = attributes(group.get("resource", {}).get("attributes", ()))
            for scope in group.get(scopes, ()):
                for raw in scope.get(records, ()):
                    yield Record(resource, attributes(raw.get("attributes", ())), raw)


def attributes(pairs: Any) -> dict[str, Any]:
    """OTLP's list of key and value as a dictionary."""
    return {pair["key"]: value(pair.get("value", {})) for pair in pairs}


def value(any_value: dict[str, Any]) -> Any:
    """An OTLP JSON AnyValue in Python; bytes stay base64."""
    for kind, content in any_value.items():
        if kind == "intValue":
            return int(content)
        if kind == "arrayValue":
            return [value(item) for item in content.get("values", ())]
        if kind == "kvlistValue":
            return attributes(content.get("values", ()))
        return content
    return None
