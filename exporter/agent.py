"""The agent: the one place that knows the order of the stages.

    source -> decode -> enrich -> (for each sink: shape -> encode -> sink)

`Pipeline` is that order, for live events and for recorded ones; `commands.py` feeds it. One thread reads, enriches and
encodes; each sink has its own for sending.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack

from exporter import probes
from exporter.channel import Channel, open_channel
from exporter.config import Config
from exporter.enrich.host import node_name
from exporter.enrich.processes import ProcessTable
from exporter.enrich.resources import Resources
from exporter.enrich.traces import Traces
from exporter.model import Event, Kind, RawSample, Span
from exporter.shape import redact
from exporter.source.decode import Decoder, arguments
from exporter.source.programs import Kernel, Seen
from exporter.source.recording import Recording
from exporter.telemetry import ALL_SINKS, Ledger, log


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
        self._channels: list[Channel] = []
        with ExitStack() as opened:  # one that cannot be opened closes the others
            for name, sink in config.sinks.items():
                channel = open_channel(name, sink, kinds, node, ledger, where=f"{where}: sinks.{name}")
                opened.callback(channel.close)
                self._channels.append(channel)
            opened.pop_all()
        for channel in self._channels:
            channel.start()

    def seed(self, seen: Sequence[Seen], offset: int, observed: int) -> None:
        """The processes that were there before."""
        events, fault = [], None
        for one in seen:
            try:
                (event,) = self._snapshot.decode([one.sample], offset, observed)
            except Exception as error:
                fault = error
                continue
            if event.facts is not None and one.arguments:
                event.facts |= arguments("args", one.arguments)
            events.append(event)
        self.table.seed(events)
        if fault:
            self.ledger.note("process.snapshot_undecodable", len(seen) - len(events))
            log.warning("%d processes of the snapshot cannot be decoded: %s", len(seen) - len(events), fault)

    def process(self, samples: Sequence[RawSample], offset: int, observed: int) -> None:
        """One reading of the rings through all stages; call it also with no samples, for what waits to be sent."""
        self._refresh()
        events, spans = self._enrich(self.decode(samples, offset, observed))
        now = time.monotonic()
        for channel in self._channels:
            channel.take(events, spans, now)
        self.table.forget()

    def _refresh(self) -> None:
        try:
            self._resources.refresh()
        except Exception:  # a pod that we cannot make sense of must not end the agent
            self.ledger.note("resources.not_refreshed")
            log.exception("pods cannot be brought up to date; please report this")

    @property
    def pending(self) -> bool:
        """Whether an event waits for its batch, or an ended process for the rings to pass its end."""
        return self.table.pending or any(channel.pending for channel in self._channels)

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
            events = self._decode_each(samples, offset, observed)
        self.ledger.see(event.kind.name for event in events)
        return events

    def _decode_each(self, samples: Sequence[RawSample], offset: int, observed: int) -> list[Event]:
        events, fault = list[Event](), None
        for sample in samples:
            try:
                events += self._decoder.decode([sample], offset, observed)
            except Exception as error:
                fault = error
        lost = len(samples) - len(events)
        self.ledger.see(["unknown"] * lost)
        self._drop("decode", "undecodable", lost, fault)
        return events

    def _enrich(self, events: Sequence[Event]) -> tuple[list[Event], list[Span]]:
        told, spans, fault = list[Event](), list[Span](), None
        for event in events:
            try:
                span = self.table.apply(event)
            except Exception as error:
                fault = error
                continue
            told.append(event)
            if span:
                spans.append(span)
        self._drop("enrich", "internal error", len(events) - len(told), fault)
        return told, spans

    def _drop(self, stage: str, reason: str, count: int, fault: Exception | None) -> None:
        """Events that no sink will see; one line for all of a reading: bad data must not flood the log."""
        if fault:
            self.ledger.drop(ALL_SINKS, stage, reason, count)
            traceback = fault if reason == "internal error" else None  # else it is the data's fault, not ours
            log.warning("%d events dropped, %s: %s", count, reason, fault, exc_info=traceback)
