"""The same events through our pipeline and through opentelemetry-sdk's own, each in a fresh process.

Run as `python -m tests.bench.pipelines memory|halves|disk|sdk activity|lives COUNT PORT`; prints one JSON object with
the CPU time (user and system, all threads) from the first byte of the ring to the last acknowledgement. `memory` and
`disk` are ours without and with the spool; `halves` is `memory` in batches as small as the spool's commits make them.
"""

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter import config
from exporter.agent import Pipeline
from exporter.enrich.cgroups import Hierarchy, Tree
from exporter.enrich.resources import Resources
from exporter.keeping import InMemory, Keeping
from exporter.model import Event
from exporter.source.btf import Types
from exporter.source.rings import RingReader
from exporter.telemetry import Ledger
from tests.bench import synthetic
from tests.bench.timed import Timed

BUILD = Path("build")
_OFFSET = 1_795_000_000 * 10**9
_CHUNK = 1000  # of one reading: one commit of the spool's default settings
QUEUE = config.Queue(max_bytes=1 << 30, shutdown_seconds=60)  # nothing may be dropped: all is to be paid for


class Source:
    """What the pipeline asks of a source: layouts and the boot's id."""

    def __init__(self, types: dict[str, Types]) -> None:
        self.types, self.boot_id = types, "0" * 32

    def types_of(self, _ring_id: int) -> dict[str, Types]:
        """All rings are of one build."""
        return self.types


def pipeline(
    port: int, ledger: Ledger, keeping: Keeping | None = None, batch: config.Batch | None = None
) -> tuple[Pipeline, dict[str, Types]]:
    """Ours, with one OTLP/HTTP sink."""
    types = {
        "process": synthetic.process_types(),
        "open": synthetic.open_types(BUILD),
        "snapshot": _snapshot_types(),
    }
    settings = config.Config(
        sinks={
            "otlp": config.OtlpHttp(endpoint=f"http://127.0.0.1:{port}", queue=QUEUE, batch=batch or config.Batch())
        },
        kubernetes=config.Kubernetes(
            mode="off",
            node_name="node-1",
            labels=config.Globs(("app.kubernetes.io/*",)),
            annotations=config.Globs(("example.com/*",)),
        ),
        process=config.Process(max_processes=100_000),
    )
    tree = Tree(Hierarchy("v2", Path("/nonexistent"), None))
    resources = Resources(
        {"host.name": "node-1", "os.type": "linux"}, synthetic.pods(), tree, settings.kubernetes, True
    )
    source: Any = Source(types)
    line = Pipeline(settings, source, resources, ledger, where="bench", keeping=keeping, kinds=synthetic.KINDS)
    return line, types


def _snapshot_types() -> Types:
    from exporter.source.libbpf import Object
    from exporter.source.programs import objects_directory

    return Types(Object(objects_directory() / "snapshot.bpf.o").btf())


def rings(scenario: str, count: int, types: dict[str, Types]) -> tuple[RingReader, RingReader | None]:
    """(what is measured, what must have happened before)."""
    if scenario == "activity":
        return synthetic.ring("activity", synthetic.activity(count)), synthetic.ring(
            "lifecycle", synthetic.processes(types["process"])
        )
    return synthetic.ring("lifecycle", synthetic.lives(types["process"], count)), None


def ours(which: str, scenario: str, count: int, port: int) -> dict[str, float]:
    """From ring to acknowledgement; with the spool on the disk that `build/` is on."""
    ledger = Ledger()
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        keeping = Timed(config.Spool(path=f"{folder}/spool"), ledger) if which == "disk" else InMemory(ledger)
        batch = config.Batch(max_records=_CHUNK) if which == "halves" else config.Batch()
        line, types = pipeline(port, ledger, keeping, batch)
        measured, before = rings(scenario, count, types)
        if before:
            line.process(before.read(10_000), _OFFSET, time.time_ns())
            line.secure({before.ring_id: before.cursor}, _state)
        used, wall = _run(line, measured, keeping)
        sent, offered = ledger.sent["otlp"], ledger.offered["otlp"]
        assert sent == offered, ledger.summary()
        assert not ledger.dropped, ledger.summary()
        found = {"cpu_us": used, "wall_us": wall, "records": sum(ledger.seen.values())}
        return found | keeping.costs(Path(folder)) if isinstance(keeping, Timed) else found


def _run(line: Pipeline, measured: RingReader, keeping: Keeping) -> tuple[float, float]:
    """CPU and wall time, both in µs."""
    began, at = time.process_time_ns(), time.perf_counter_ns()
    while samples := measured.read(_CHUNK):
        line.process(samples, _OFFSET, time.time_ns())
        for position in line.secure({measured.ring_id: measured.cursor}, _state).values():
            measured.acknowledge(position)
    line.finish({measured.ring_id: measured.cursor}, _state)
    line.close()
    keeping.close()
    return (time.process_time_ns() - began) / 1000, (time.perf_counter_ns() - at) / 1000


def _state() -> Mapping[str, bytes]:
    """As much as `run` keeps of itself."""
    return {"boot": b"0" * 32, "time": time.time_ns().to_bytes(8, "big"), "losses": b"\0" * 128}


def sdk(_which: str, scenario: str, count: int, port: int) -> dict[str, float]:
    """The same events, decoded and enriched beforehand and not counted, through the SDK's own pipeline."""
    from opentelemetry._logs import LogRecord, SeverityNumber
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.resources import Resource

    events = _enriched(scenario, count, port)
    exporter = OTLPLogExporter(endpoint=f"http://127.0.0.1:{port}/v1/logs", compression=Compression.Gzip)
    provider = LoggerProvider(Resource(events[0].resource.attributes))
    provider.add_log_record_processor(
        BatchLogRecordProcessor(exporter, max_queue_size=4096, max_export_batch_size=1000)
    )
    logger = provider.get_logger("podwitness")
    began = time.process_time_ns()
    for at in range(0, len(events), 1000):
        for event in events[at : at + 1000]:
            logger.emit(
                LogRecord(
                    timestamp=event.time,
                    observed_timestamp=event.observed,
                    severity_number=SeverityNumber(event.kind.severity),
                    body="bench",
                    attributes=event.attributes(),
                    event_name=event.kind.event_name,
                )
            )
        provider.force_flush()
    provider.shutdown()
    return {"cpu_us": (time.process_time_ns() - began) / 1000, "records": len(events)}


def _enriched(scenario: str, count: int, port: int) -> list[Event]:
    """The events as the encoders get them."""
    line, types = pipeline(port, Ledger())
    measured, before = rings(scenario, count, types)
    events: list[Event] = []
    for reader in (before, measured):
        while reader and (samples := reader.read(_CHUNK)):
            found = line.decode(samples, _OFFSET, time.time_ns())
            for event in found:
                line.table.apply(event)
            events += found if reader is measured else []
    line.close()
    return events


if __name__ == "__main__":
    which, scenario, count, port = sys.argv[1:]
    run = sdk if which == "sdk" else ours
    result = run(which, scenario, int(count), int(port))
    sys.stdout.write(json.dumps(result))
