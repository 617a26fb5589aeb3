"""What the real probes told, with the processes that the process table gives to it: as an agent tells it."""

import msgspec

from exporter import config
from exporter.enrich.pods import PodIndex
from exporter.enrich.processes import ProcessTable
from exporter.enrich.resources import Resources
from exporter.enrich.traces import Traces
from exporter.shape import redact
from exporter.telemetry import Ledger
from tests.enrich.test_processes import Nowhere
from tests.kernel.recorded import Told


def table() -> ProcessTable:
    """A process table of an agent without Kubernetes."""
    resources = Resources({}, PodIndex(), Nowhere(), config.Kubernetes(), False)  # type: ignore[arg-type]
    blot = redact.compile(config.Redaction())
    return ProcessTable(Traces("node", "boot"), resources, blot, config.Process(), Ledger())


def enriched(told: Told, known: ProcessTable | None = None) -> Told:
    """The same events with their processes, from an agent that begins, or one that goes on with what it has `known`."""
    known = known or table()
    known.seed(told.snapshot)
    events = [msgspec.structs.replace(event) for event in told.events]
    for event in events:
        known.apply(event)
    return told._replace(events=events)
