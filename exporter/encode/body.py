r"""The display line of a record: short logfmt, `exec pid=41822 ppid=1 user=0 args="bash -c id"`.

The first word is the last part of the event type, then come the pairs that the kind declares, as far as the
attributes are there. Called by every encoder, so that a line reads the same in Loki, Fluentd and a file.

What an observed program wrote cannot break out of its value: blanks, quotes, `=` and control characters
are quoted and escaped as Loki's logfmt parser reads them (it takes `\u001b`, and fails on `\x1b`), and a
value ends after 1,024 characters.
"""

import re
from collections.abc import Callable, Container, Mapping, Sequence

from exporter.model import Kind, Value

LIMIT = 1024
"""Characters of one value; the rest is cut, and `…` says so."""

_PLAIN = re.compile(r"[^\s\"=\x00-\x20\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
# Beyond ASCII's: C1 controls, line separators, and what turns the direction of writing and so hides text.
_UNSAFE = re.compile(r"[\"\\\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def render(kind: Kind, attributes: Mapping[str, Value]) -> str:
    """The line for a record of `kind` with these attributes: those that the sink keeps, all of them."""
    known = ((key, attributes.get(name)) for key, name in kind.body)
    return word(kind) + "".join(pair(key, value) for key, value in known if value is not None)


def word(kind: Kind) -> str:
    """The line's first word: `exec` of `process.exec`."""
    return kind.name.rpartition(".")[2]


def pair(key: str, value: Value) -> str:
    """One pair with the blank before it: ` user=0`."""
    text = value if isinstance(value, str) else _plain(value)
    if len(text) > LIMIT:
        text = text[:LIMIT] + "…"
    return f" {key}={text}" if _PLAIN.fullmatch(text) else f' {key}="{_UNSAFE.sub(_escape, text)}"'


def template(
    pairs: Sequence[tuple[str, str]],
    known: Mapping[str, Value],
    own: Container[str],
    text: Callable[[str], bytes],
) -> bytes:
    """The line after its word, with `%b` where values of the event go: filled in by `%`, once for each event.

    Args:
        pairs: those of the kind's pairs that the sink keeps.
        known: the attributes of the process image.
        own: names of the event's attributes; they get a `%b`.
        text: makes bytes of text.
    """
    parts = []
    for key, name in pairs:
        if name in own:
            parts.append(b"%b")
        elif (value := known.get(name)) is not None:
            parts.append(text(pair(key, value)).replace(b"%", b"%%"))
    return b"".join(parts)


def _plain(value: bool | float | tuple[str, ...] | tuple[int, ...]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(value)


def _escape(match: re.Match[str]) -> str:
    found = match[0]
    return _SHORT.get(found) or f"\\u{ord(found):04x}"
