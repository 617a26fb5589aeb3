"""A process's arguments as attributes: redacted first, then cut to size, and every cut marked.

The kernel hands over at most the first 16 KiB; `process.args_count` and `podwitness.process.args.length` are
the true ones.
"""

from collections.abc import Callable

from exporter import config
from exporter.enrich.facts import number, texts
from exporter.model import Attributes, Value

Redact = Callable[[tuple[str, ...]], tuple[str, ...]]


class Arguments:
    """Turns the kernel's argv into attributes."""

    def __init__(self, redact: Redact, settings: config.Arguments) -> None:
        """`redact` blots secrets out and keeps the number of arguments."""
        self._redact, self._settings = redact, settings

    def attributes(self, facts: dict[str, Value]) -> Attributes:
        """`process.command`, `process.command_args` and what was cut of them; nothing without arguments."""
        raw = texts(facts, "args")
        if not raw:
            return {}
        whole = number(facts, "args_whole", len(raw))
        true_count = number(facts, "process.args_count", len(raw))
        kept, cut = self._fit(self._redact(raw))
        if whole < len(kept):
            cut.add(len(kept) - 1)
        found: Attributes = {
            "process.command": kept[0],
            "process.command_args": kept,
            "process.args_count": true_count,
        }
        if cut or len(kept) < true_count:
            found["podwitness.process.args.truncated"] = True
        if cut:
            found["podwitness.process.args.truncated_indexes"] = tuple(sorted(cut))
        return found

    def refused(self, facts: Attributes) -> tuple[Value | None, ...]:
        """Of a program that did not begin: its arguments, how many there are, whether something of them is missing."""
        raw = texts(facts, "args")
        count = number(facts, "process.args_count")
        kept, cut = self._fit(self._redact(raw)) if raw else ((), set())
        missing = "args_missing" in facts or bool(cut) or len(kept) < count or number(facts, "args_whole") < len(kept)
        return kept or None, None if "args_uncounted" in facts else count, missing or None

    def redacted(self, known: Attributes) -> Attributes:
        """The attributes that are others now: `known` may be of an agent that had fewer rules."""
        args = texts(known, "process.command_args")
        kept = self._redact(args) if args else args
        return {"process.command": kept[0], "process.command_args": kept} if kept != args else {}

    def _fit(self, args: tuple[str, ...]) -> tuple[tuple[str, ...], set[int]]:
        """Arguments within both limits, and the indexes of those that lost their end."""
        kept: list[str] = []
        cut: set[int] = set()
        room = self._settings.max_total_bytes
        for index, arg in enumerate(args):
            if room <= 0 and index:
                break
            short = shorten(arg, min(self._settings.max_bytes, max(room, 1)))
            if short is not arg:
                cut.add(index)
            kept.append(short)
            room -= len(short.encode())
        return tuple(kept), cut


def shorten(value: str, limit: int) -> str:
    """`value` itself when it has at most `limit` bytes in UTF-8, else its beginning, whole characters only."""
    if len(value) * 4 <= limit:
        return value
    encoded = value.encode()
    return value if len(encoded) <= limit else encoded[:limit].decode("utf-8", "ignore")
