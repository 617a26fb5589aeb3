"""Text that ends in a terminal: bounded, and nothing in it does more than show itself.

Whatever is not printable (control characters, line separators, what turns the direction of writing) is spelled out
between quotes. Used for all that stands in the lines of `text.py` and was not written by us.
"""

import re

SHOWN = 512
"""Characters of the arguments, and of any other part of a line; the rest is cut, and `…` says so."""

_WORD = re.compile(r'[^\s"]+')


def shown(text: str, limit: int = SHOWN) -> str:
    r"""`text` for a terminal: as it is where it is one printable word, else quoted, `"\x1b[31m"`."""
    cut = text[:limit]
    rest = "…" if len(text) > limit else ""
    if _WORD.fullmatch(cut) and cut.isprintable():
        return cut + rest
    escaped = "".join(map(_escape, cut))
    return f'"{escaped[:limit]}{"…" if len(escaped) > limit else rest}"'


def _escape(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else character.encode("unicode_escape").decode()
