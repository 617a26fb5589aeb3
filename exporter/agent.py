"""The agent: the one place that knows the order of the stages.

    source -> decode -> enrich -> (for each sink: shape -> encode -> sink)

`Pipeline` is that order, for live events and for recorded ones; `commands.py` feeds it. One thread reads, enriches and
encodes; each sink has its own for sending.
"""

import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from exporter import probes
from exporter.channel import Channel, Origin, open_channel
from exporter.config import Config
from exporter.encode.chain import Signer
from exporter.enrich.host import node_name
from exporter.enrich.own import Own
from exporter.enrich.processes import ProcessTable
from exporter.enrich.resources import Resources
from exporter.enrich.traces import Traces
from exporter.errors import KernelError
from exporter.keeping import InMemory, Keeping, Positions
from exporter.model import Event, Kind, RawSample, Span
from exporter.shape import redact
from exporter.shape.select import observed
from exporter.source.decode import Decoder, Decoders, arguments
from exporter.source.programs import Kernel, Seen
from exporter.source.recording import Recording
from exporter.telemetry import ALL_SINKS, Ledger, log
from exporter.telling import Telling

State = Callable[[], Mapping[str, bytes]]
"""What the next agent must know, by name."""


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
        keeping: Keeping | None = None,
        kinds: Sequence[Kind] = probes.KINDS,
    ) -> None:
        """`where` names the settings in errors. Raises ConfigError for settings that no event can satisfy."""
        self.ledger, self._resources = ledger, resources
        self._keeping = keeping or InMemory(ledger)
        self.own = Own(source.boot_id, resources.host)
        blot = redact.compile_text(config.redaction)
        self._decoder = Decoders(kinds, source, blot)
        self._snapshot = Decoder([probes.SNAPSHOT], source.types, source.boot_id, blot=blot)
        node = node_name(config.kubernetes)
        self.table = ProcessTable(
            Traces(node, source.boot_id),
            resources,
            redact.compile(config.redaction, where=f"{where}: redaction"),
            config.process,
            ledger,
            _linger(config, where),
        )
        signer = signer_of(config, where=where)
        self._channels: list[Channel] = []
        with ExitStack() as opened:  # one that cannot be opened closes the others
            for name, sink in config.sinks.items():
                channel = open_channel(
                    name,
                    sink,
                    (*kinds, *probes.AGENT_KINDS),
                    Origin(node, signer),
                    ledger,
                    where=f"{where}: sinks.{name}",
                    place=self._keeping.place,
                )
                opened.callback(channel.close)
                self._channels.append(channel)
            self._keeping.opened()
            opened.pop_all()
        self._telling = Telling(self.own, self._channels, ledger, self._keeping)
        for channel in self._channels:
            channel.start()

    def seed(self, seen: Sequence[Seen], offset: int, observed: int) -> set[tuple[int, int]]:
        """The processes that are there at start; returns their ids and start times."""
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
        return {(event.pid, event.start_time) for event in events}

    def process(self, samples: Sequence[RawSample], offset: int, observed: int) -> None:
        """One reading of the rings through all stages; call it also with no samples, for what waits to be sent."""
        self._refresh()
        events, spans = self._enrich(self.decode(samples, offset, observed))
        now = time.monotonic()
        for channel in self._channels:
            channel.take(events, spans, now)
        self.table.forget()
        self._keeping.took(len(events), now)

    def tell(self, events: Sequence[Event]) -> None:
        """The agent's own events go into all streams."""
        self._telling.tell(events, time.monotonic())

    def secure(self, positions: Positions, state: State) -> Positions:
        """What the kernel may forget of what was read up to `positions`; `state` gives what the next agent needs."""
        now = time.monotonic()
        self._telling.look(now)
        return self._commit(positions, state) if self._keeping.due(now, positions) else self._keeping.waits(positions)

    def tell_losses(self) -> None:
        """What was lost until now is told now."""
        self._telling.losses(time.monotonic(), last=True)

    def finish(self, positions: Positions, state: State) -> Positions:
        """As `secure`, for the last time: nothing more will be read or told."""
        self.tell_losses()
        return self._commit(positions, state)

    def _commit(self, positions: Positions, state: State) -> Positions:
        for channel in self._channels:
            channel.flush()
        safe = self._keeping.commit(positions, state(), self.table.journal(whole=self._keeping.wants_checkpoint))
        for channel in self._channels:
            channel.wake()
        return safe

    def _refresh(self) -> None:
        try:
            self._resources.refresh()
        except Exception:  # a pod that we cannot make sense of must not end the agent
            self.ledger.note("resources.not_refreshed")
            log.exception("pods cannot be brought up to date; please report this")

    @property
    def pending(self) -> bool:
        """Whether an event waits for its batch or its commit, or an ended process for the rings to pass its end."""
        return self.table.pending or self._keeping.pending or any(channel.pending for channel in self._channels)

    @property
    def crowded(self) -> bool:
        """Whether nothing more should be read for now: the disk fails, and memory is full."""
        return self._keeping.crowded

    @property
    def sinks(self) -> list[str]:
        """Their names in the settings."""
        return [channel.name for channel in self._channels]

    @property
    def failing(self) -> str:
        """Why nothing can be made safe; empty when all is well."""
        return self._keeping.failing

    def squeeze(self, share: float) -> None:
        """Keep only this share of what may wait in memory for the sinks."""
        for channel in self._channels:
            channel.squeeze(share)

    def working(self, sink: str) -> bool:
        """Whether the receiver of `sink` took what it was sent last."""
        return any(channel.working for channel in self._channels if channel.name == sink)

    def close(self) -> None:
        """Send what is left; each sink for as long as its settings allow, all at once."""
        for channel in self._channels:
            channel.flush()
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
        told, spans, fault, faults = list[Event](), list[Span](), None, 0
        for event in events:
            try:
                span = self.table.apply(event)
            except Exception as error:
                fault, faults = error, faults + 1
                continue
            if event.untold:
                self.ledger.drop(ALL_SINKS, "enrich", event.untold, 1, intentional=True)
                continue
            told.append(event)
            if span:
                spans.append(span)
        self._drop("enrich", "internal error", faults, fault)
        return told, spans

    def _drop(self, stage: str, reason: str, count: int, fault: Exception | None) -> None:
        """Events that no sink will see; one line for all of a reading: bad data must not flood the log."""
        if fault:
            self.ledger.drop(ALL_SINKS, stage, reason, count)
            # What comes from the data says what it is; the rest is a fault of ours.
            traceback = None if isinstance(fault, (KernelError, struct.error, ValueError)) else fault
            log.warning("%d events dropped, %s: %s", count, reason, fault, exc_info=traceback)


def _linger(config: Config, where: str) -> int:
    """How long after its end an event of a process can come, ns: a window, the wait for its end, and a second."""
    aggregate = config.observe.aggregate
    kinds = observed(config.observe.types, probes.KINDS, probes.LIFE, where=f"{where}: observe.types")
    collected = any(kind.name in aggregate.types for kind in kinds)
    return (2 * aggregate.milliseconds + 1000) * 10**6 if collected else 0


def signer_of(config: Config, *, where: str) -> Signer | None:
    """What signs for this node, where something does. Raises ConfigError for a key that cannot be used."""
    evidence = config.tamper_evidence
    return Signer(evidence.key_file, where=f"{where}: tamper_evidence.key_file") if evidence else None
