r"""Lines for people: `🚀 process default/xwing /usr/bin/curl https://ebpf.io`, as Tetragon's compact output.

Called by the channel of the stdout sink. An observed program decides what stands in these lines, and they
end in a terminal: whatever is not printable (control characters, line separators, what turns the direction
of writing) is spelled out between quotes, so no program can colour, move or break a line. Lines are bounded;
what the sink does not keep is not shown.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from exporter.config import Batch
from exporter.encode.chunk import Chunk
from exporter.encode.text_agent import SENTENCES
from exporter.encode.text_safe import SHOWN, shown
from exporter.encode.text_signs import SIGNS
from exporter.model import Event, Keep, Kind, Payload, Process, Resource, Stream, Value
from exporter.probes.names import signal_name
from exporter.probes.times import iso

OTHER = "❓"

COUNT = "podwitness.aggregate.count"
CODE, SIGNAL = "process.exit.code", "podwitness.process.exit.signal"
BINARY, ARGUMENTS = "process.executable.path", "process.command_args"


class TextEncoder:
    """Events in, batches of lines out, in the order they came.

    Args:
        kinds: the event types that come.
        keep: for each kind's name, whether an attribute is shown.
        batch: when a batch is full.
        node: what stands in the pod's place where there is none.
        stream: what the lines are numbered in; no line shows it.
        timestamps: begin each line with the event's time.
    """

    def __init__(
        self,
        kinds: Sequence[Kind],
        keep: Mapping[str, Keep],
        batch: Batch,
        node: str,
        stream: Stream,
        *,
        timestamps: bool,
    ) -> None:
        self._lines = {kind: _line(kind, keep[kind.name], node) for kind in kinds}
        self._chunk = Chunk(batch, stream)
        self._stream = stream
        self._timestamps = timestamps

    @property
    def pending(self) -> int:
        """Lines waiting for the batch to be full."""
        return self._chunk.pending

    def encode(self, events: Sequence[Event]) -> Iterator[Payload]:
        """Add the events' lines to the batch, as far as the iterator is followed; gives each full batch."""
        for event in events:
            line = self._lines[event.kind](event)
            if self._timestamps:
                line = f"{iso(event.time)} ".encode() + line
            number = self._stream.next
            self._stream.next = number + 1
            if (full := self._chunk.add(line, number)) is not None:
                yield full

    def flush(self) -> Iterator[Payload]:
        """The batch as it is; nothing when it is empty."""
        if (payload := self._chunk.take()) is not None:
            yield payload


def _line(kind: Kind, keep: Keep, node: str) -> Callable[[Event], bytes]:
    """What makes the lines of one kind: the agent itself speaks in sentences."""
    if (sentence := SENTENCES.get(kind.name)) is None:
        return _Line(kind, keep, node)

    def line(event: Event) -> bytes:
        said = zip(kind.own, event.values, strict=True)
        return f"{sentence({name: value for name, value in said if value is not None and keep(name)})}\n".encode()

    return line


class _Line:
    """The lines of one kind. Its parts are kept with the Resource and the process image they were made of."""

    def __init__(self, kind: Kind, keep: Keep, node: str) -> None:
        sign, word = _sign(kind)
        self._start = f"{sign} {word:<7} ".encode()
        self._kind = kind
        self._told = [name for _key, name in kind.body if name in kind.own and name != COUNT] or kind.own
        self._keep = keep
        self._node = node

    def __call__(self, event: Event) -> bytes:
        place = event.resource.fragments.get(self) or self._place(event.resource)
        command = event.process.fragments.get(self)
        if command is None:
            command = self._command(event.process)
        return b"%b%b%b%b\n" % (self._start, place, command, self._detail(event))

    def _place(self, resource: Resource) -> bytes:
        """`namespace/pod`; without a pod `node/container`; the node alone."""
        known = {name: str(value) for name, value in resource.attributes.items() if self._keep(name)}
        pod = [known[name] for name in ("k8s.namespace.name", "k8s.pod.name") if known.get(name)]
        container = [known["container.id"][:12]] if known.get("container.id") else []
        resource.fragments[self] = place = shown("/".join(pod or [self._node, *container])).encode()
        return place

    def _command(self, process: Process) -> bytes:
        """The binary, and the arguments without argv[0]."""
        known = {name: value for name, value in process.attributes.items() if self._keep(name)}
        parts = [shown(str(known[BINARY]))] if BINARY in known else []
        if isinstance(arguments := known.get(ARGUMENTS), tuple):
            parts += _bounded(map(str, arguments[1:]))
        process.fragments[self] = command = "".join(f" {part}" for part in parts).encode()
        return command

    def _detail(self, event: Event) -> bytes:
        """What the event itself says; of an exit the signal, else the code; of a burst at last how often."""
        values = zip(self._kind.own, event.values, strict=True)
        said = {name: value for name, value in values if value is not None and self._keep(name)}
        if self._kind.name == "process.exit":
            return _status(said)
        told = [said[name] for name in self._told if name in said]
        times = [f"×{said[COUNT]}"] if COUNT in said else []
        return "".join(f" {part}" for part in (*_bounded(map(_plain, told)), *times)).encode()


def _sign(kind: Kind) -> tuple[str, str]:
    for glob, (sign, word) in SIGNS.items():
        if fnmatchcase(kind.name, glob):
            return sign, word or kind.name.rpartition(".")[2]
    return OTHER, kind.name.rpartition(".")[2]


def _status(said: Mapping[str, Value]) -> bytes:
    if signal := said.get(SIGNAL):
        return f" {signal_name(signal) if isinstance(signal, int) else shown(str(signal))}".encode()
    return f" {shown(_plain(said[CODE]))}".encode() if CODE in said else b""


def _plain(value: Value) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _bounded(texts: Iterable[str]) -> Iterator[str]:
    """Texts made safe, as many as there is room for; `…` for the rest."""
    room = SHOWN
    for text in texts:
        if room <= 0:
            yield "…"
            return
        part = shown(text, room)
        room -= len(part) + 1
        yield part
