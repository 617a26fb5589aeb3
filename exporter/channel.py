"""One sink's way: its choice of events, its encoders, its outbox.

The agent hands every channel the same events; what one sink leaves out or cannot take never touches another.
`open_channel` is the literal table from a sink's settings to the stages that serve it.
"""

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, Protocol, TypeVar

from exporter import __version__, config, probes
from exporter.encode.chain import Chain, Signer
from exporter.encode.fluent import FluentEncoder
from exporter.encode.otlp import LogsEncoder, SpansEncoder
from exporter.encode.otlp_json import LogsJsonEncoder, SpansJsonEncoder
from exporter.encode.text import TextEncoder
from exporter.errors import ConfigError
from exporter.model import Event, Keep, Kind, Payload, Span, Stream
from exporter.shape import fields, select
from exporter.sink.delivery import Outbox
from exporter.sink.file import check_shared
from exporter.sink.queue import Queue
from exporter.sink.transports import check_transport, open_transport, wire
from exporter.telemetry import Ledger, log

Item_contra = TypeVar("Item_contra", contravariant=True)  # Event or Span


Place = Callable[[str, config.Sink], tuple[Queue, Stream]]
"""Where a sink's payloads are kept, and the numbers of its records."""


class Origin(NamedTuple):
    """Where records come from: the node's name, and what signs for it, where something does."""

    node: str
    signer: Signer | None = None


class Numbering(NamedTuple):
    """What the records of a sink are numbered in, and chained in, where they are."""

    stream: Stream
    chain: Chain | None


class Encoder(Protocol[Item_contra]):
    """Events or spans in, full batches out; `flush` gives what is left."""

    @property
    def pending(self) -> int:
        """Records taken in and not given out."""

    def encode(self, items: Sequence[Item_contra], /) -> Iterator[Payload]:
        """Take items in; a Payload each time a batch is full."""

    def flush(self) -> Iterator[Payload]:
        """What has been taken in and not given out."""


class Channel:
    """From events to a sink's outbox, in batches bounded in records, bytes and time."""

    def __init__(
        self,
        name: str,
        settings: config.Sink,
        wanted: frozenset[str],
        encoders: tuple[Encoder[Event], Encoder[Span] | None],
        outbox: Outbox,
        ledger: Ledger,
        numbering: Numbering,
    ) -> None:
        """`wanted` are the event types the sink selects."""
        self._stream, self._chain = numbering
        self.name, self._wanted, self._outbox, self._ledger = name, wanted, outbox, ledger
        self._logs, self._spans = encoders
        self._delay = settings.batch.max_delay_seconds
        ledger.offer(name, 0)  # a sink that gets nothing is in the summary too
        self._since = 0.0  # when the oldest of what is pending came in

    def start(self) -> None:
        """Begin to send."""
        self._outbox.start()

    def take(self, events: Sequence[Event], spans: Sequence[Span], now: float) -> None:
        """Select, encode, and queue the batches that are full or old; `now` in monotonic seconds."""
        if events or spans:
            chosen = self._select(events)
            before = self.pending
            self._encode(self._logs, chosen)
            if self._spans is not None and spans:
                self._ledger.offer(self.name, len(spans))
                self._encode(self._spans, spans)
            if not before or self.pending < before:  # what waits now came in now
                self._since = now
        if self.pending and now - self._since >= self._delay:
            self.flush()

    def sign(self, event: Event) -> None:
        """Put a signature (a CHAIN_SIGNED `event`) after the records that have none, where they are chained."""
        if self._chain and self._chain.unsigned:
            self._ledger.see([event.kind.name])
            self.take((event,), (), time.monotonic())

    def flush(self) -> None:
        """Queue what is pending."""
        self._put(self._logs.flush())
        if self._spans is not None:
            self._put(self._spans.flush())

    def wake(self) -> None:
        """What was queued is safe and can go."""
        self._outbox.wake()

    def close(self) -> None:
        """Drain the outbox, for as long as its settings say."""
        self._outbox.close()

    def squeeze(self, share: float) -> None:
        """Keep only this share of what may wait in memory."""
        self._outbox.squeeze(share)

    @property
    def stream(self) -> str:
        """The id of the sink's stream."""
        return self._stream.id

    @property
    def next(self) -> int:
        """The number of the next record in the sink's stream."""
        return self._stream.next

    @property
    def working(self) -> bool:
        """Whether the receiver took what it was sent last."""
        return self._outbox.working

    @property
    def pending(self) -> int:
        """Records waiting for their batch."""
        return self._logs.pending + (self._spans.pending if self._spans is not None else 0)

    def _select(self, events: Sequence[Event]) -> Sequence[Event]:
        self._ledger.offer(self.name, len(events))
        chosen = [event for event in events if event.kind.name in self._wanted]
        self._ledger.drop(self.name, "shape", "not selected", len(events) - len(chosen), intentional=True)
        return chosen

    def _encode(self, encoder: Encoder[Item_contra], items: Sequence[Item_contra]) -> None:
        """Encode all; one that cannot be encoded is dropped and counted: data never ends the agent."""
        done, dropped, fault = 0, 0, None
        while done < len(items):
            before, put = encoder.pending, 0
            try:
                for payload in encoder.encode(items[done:]):
                    put += payload.records
                    self._outbox.put(payload)
                break
            except Exception as error:
                done += put + encoder.pending - before + 1
                dropped, fault = dropped + 1, error
        if fault:  # one line for all of a reading: bad data must not flood the log
            self._ledger.drop(self.name, "encode", "internal error", dropped)
            text = "sink %s: %d events or spans cannot be encoded and are dropped; please report this"
            log.error(text, self.name, dropped, exc_info=fault)

    def _put(self, payloads: Iterable[Payload]) -> None:
        for payload in payloads:
            self._outbox.put(payload)


def open_channel(
    name: str,
    settings: config.Sink,
    kinds: Sequence[Kind],
    origin: Origin,
    ledger: Ledger,
    *,
    where: str,
    place: Place,
) -> Channel:
    """The channel of the sink that the settings call `name`; `place` gives its queue and its stream.

    Raises:
        ConfigError: a glob that matches nothing, an address or a file that cannot be used.
    """
    wanted = select.compile(settings.events, kinds, where=f"{where}.events", none=_spans(settings))
    keep = fields.compile(settings.fields, kinds, where=f"{where}.fields")
    with ExitStack() as opened:
        with _placed(where):
            transport = open_transport(settings, environ=os.environ, version=__version__)
        opened.callback(transport.close)
        queue, stream = place(name, settings)
        # Lines for people have no room for a hash.
        chain = Chain(stream, origin.signer) if origin.signer and not isinstance(settings, config.Stdout) else None
        numbering = Numbering(stream, chain)
        encoders = _encoders(settings, kinds, keep, origin.node, numbering)
        outbox = Outbox(name, transport, queue, settings.queue, ledger, wire=wire(settings))
        opened.pop_all()
    if chain:
        wanted |= {probes.CHAIN_SIGNED.name}  # a chain that is never signed proves nothing
    return Channel(name, settings, wanted, encoders, outbox, ledger, numbering)


def check_sink(settings: config.Sink, kinds: Sequence[Kind], *, where: str) -> None:
    """Raise what `open_channel` would; makes no file and touches no network."""
    select.compile(settings.events, kinds, where=f"{where}.events", none=_spans(settings))
    fields.compile(settings.fields, kinds, where=f"{where}.fields")
    with _placed(where):
        check_transport(settings, environ=os.environ, version=__version__)


def check_awaited(
    sinks: Mapping[str, config.Sink], kinds: Sequence[Kind], looked_at: Sequence[Kind], *, where: str
) -> None:
    """Raise ConfigError for a sink that asks for event types of which none is `looked_at`."""
    for name, sink in sinks.items():
        select.awaited(sink.events, kinds, looked_at, where=f"{where}: sinks.{name}.events")


def is_kept(sinks: Mapping[str, config.Sink], kinds: Sequence[Kind], names: Collection[str], *, where: str) -> bool:
    """Whether any sink has a record, a line or a span that can carry one of these attributes of a process.

    Raises ConfigError as `open_channel` does.
    """
    for name, sink in sinks.items():
        wanted = select.compile(sink.events, kinds, where=f"{where}: sinks.{name}.events", none=_spans(sink))
        keep = fields.compile(sink.fields, kinds, where=f"{where}: sinks.{name}.fields")
        asked = wanted | ({fields.SPAN} if _spans(sink) else set())
        if any(keep[event](attribute) for event in asked for attribute in names):
            return True
    return False


def check_sinks(sinks: Mapping[str, config.Sink], *, where: str) -> None:
    """Raise ConfigError where there is no sink, or two would write the same file."""
    if not sinks:
        hint = "`terminal: {type: stdout}` is one"
        raise ConfigError("no sink: events would go nowhere", where=f"{where}: sinks", hint=hint)
    with _placed(f"{where}: sinks"):
        check_shared(sinks)


def _spans(settings: config.Sink) -> bool:
    """Whether the sink takes spans, so that it may go without events."""
    match settings:
        case config.Otlp():
            return settings.spans
        case config.File():
            return settings.spans_path is not None
        case _:
            return False


@contextmanager
def _placed(where: str) -> Iterator[None]:
    """A transport knows only its own settings: say whose they are."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(error.what, where=f"{where}.{error.where}", hint=error.hint) from error


def _encoders(
    settings: config.Sink, kinds: Sequence[Kind], keep: Mapping[str, Keep], node: str, numbering: Numbering
) -> tuple[Encoder[Event], Encoder[Span] | None]:
    batch, (stream, chain) = settings.batch, numbering
    match settings:
        case config.OtlpHttp() | config.OtlpGrpc():
            spans = SpansEncoder(keep["span"], batch, __version__) if _spans(settings) else None
            return LogsEncoder(kinds, keep, batch, __version__, stream, chain), spans
        case config.File():
            json_spans = SpansJsonEncoder(keep["span"], batch, __version__) if _spans(settings) else None
            return LogsJsonEncoder(kinds, keep, batch, __version__, stream, chain), json_spans
        case config.FluentForward():
            return FluentEncoder(kinds, keep, batch, settings.tag, stream, chain), None
        case config.Stdout():
            return TextEncoder(kinds, keep, batch, node, stream, timestamps=settings.timestamps), None
