"""What a process span carries, after OpenTelemetry's CLI spans; used by both OTLP encoders.

The span's own attributes and a few of its process image, values capped at what Tempo keeps of one.
"""

from exporter.encode.wire import utf8
from exporter.model import Attributes, Keep, Span, Value

INTERNAL = 1
"""Span kind: the executed program itself; CLIENT would be its caller's view."""
FAILED = 2
"""Status code ERROR."""
SPAN_FLAGS = LINK_FLAGS = 0x100
"""It is known whether the other context is remote (bit 8), and it is not (bit 9): it is a process here."""

FROM_PROCESS = (
    "process.executable.name",
    "process.executable.path",
    "process.pid",
    "process.vpid",
    "process.parent_pid",
    "process.command",
    "process.command_args",
    "process.args_count",
    "process.creation.time",
    "process.working_directory",
    "process.interactive",
    "process.user.id",
    "process.real_user.id",
    "podwitness.process.entity_id",
    "podwitness.process.parent.entity_id",
)
"""Attributes of the process image that its span carries."""

MAX_BYTES = 2048
"""Of one value, an array's elements together: Tempo cuts what is longer (`max_attribute_bytes`)."""

_CUT = "…"


def span_attributes(span: Span, keep: Keep) -> Attributes:
    """The span's attributes as far as `keep` lets them through; its own win over its process's."""
    known = span.process.attributes
    merged = {name: known[name] for name in FROM_PROCESS if name in known} | span.attributes
    return {name: capped(value) for name, value in merged.items() if value is not None and keep(name)}


def capped(value: Value) -> Value:
    """`value` in at most MAX_BYTES of UTF-8; where it was cut stands `…`."""
    if isinstance(value, str):
        return _cut((value,))[0] if len(value) * 4 > MAX_BYTES else value
    if isinstance(value, tuple):
        texts = tuple(item for item in value if isinstance(item, str))
        return _cut(texts) if texts else value
    return value


def _cut(items: tuple[str, ...]) -> tuple[str, ...]:
    """The items that fit; the first that does not is cut, and the last."""
    encoded = [utf8(item) for item in items]
    if sum(map(len, encoded)) <= MAX_BYTES:
        return items
    kept: list[str] = []
    room = MAX_BYTES - len(utf8(_CUT))
    for item, data in zip(items, encoded, strict=True):
        if len(data) > room:
            kept.append(data[:room].decode("utf-8", "ignore") + _CUT)
            break
        kept.append(item)
        room -= len(data)
    return tuple(kept)
