"""Blots secrets out of the arguments of observed programs, before anything leaves the process table.

`compile` turns the settings into one function from argv to argv, called once for each new process image.
Only the value of a secret becomes `*****`; the option, the key or the header stays, and so does the number
of arguments. `compile_text` is for all other texts of events: paths, names, what was mounted. The user's
patterns see the arguments one a line, the presets with NUL between them: an option and its value may be two
arguments.

Each pattern finds spans in the original text, and the union is blotted: no pattern spoils another. Patterns
are RE2: an argument is written by whoever we observe, and must not cost more than linear time. Nor is the
number of matches open: a few hundred are walked in one argv, and what follows them is blotted whole.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Protocol, cast

import re2

from exporter.config import Redaction
from exporter.errors import ConfigError
from exporter.shape.presets import CUT, PRESETS, PROGRAMS, Program

BLOT = "*****"
# Walked in one argv, shared out among the patterns that match. More are no command line but an attack on us.
MATCHES = 256
# Patterns that may match in one argv, for the same reason.
KINDS = 24
# The kernel hands over 16 KiB at most: in characters of four bytes each, no fewer than these.
_MAYBE_CUT = 4096

_SHARE = r"\A//[^/:@]*:([^/@]+)@"  # //user:VALUE@host/share, as CIFS is mounted

Argv = tuple[str, ...]
Span = tuple[int, int]


# Where a match begins, and what of it is to be blotted; empty spans are of groups that took no part.
Found = tuple[int, list[Span]]
Walk = Callable[[str | bytes], Iterator[Found]]
_BACK = bytes.maketrans(b"?\x01", b"\x7f?")


class Match(Protocol):
    """What we use of a match of google-re2, which has no types."""

    def span(self, group: int = 0) -> Span:
        """Start and end of a group; (-1, -1) if it took no part."""


class Pattern(Protocol):
    """What we use of a pattern of google-re2."""

    @property
    def groups(self) -> int:
        """Number of capture groups."""

    def search(self, text: str | bytes, pos: int = 0) -> Match | None:
        """The first match."""

    def finditer(self, text: str | bytes) -> Iterator[Match]:
        """Matches from left to right, none overlapping."""


def compile(settings: Redaction, *, where: str = "redaction") -> Callable[[Argv], Argv]:
    """The function that blots secrets out of an argv.

    Args:
        settings: presets or not, and the user's patterns.
        where: path of the setting, for errors.

    Raises:
        ConfigError: a pattern is not RE2.
    """
    presets = _presets() if settings.presets else None
    # Under (?m) `^` and `$` are the ends of an argument: arguments stand one a line.
    patterns = [
        _walk(_pattern(f"(?m){pattern}", where=f"{where}.patterns[{index}]"))
        for index, pattern in enumerate(settings.patterns)
    ]

    def redact(argv: Argv) -> Argv:
        # The kernel ends arguments by NUL, so none holds one; should one come all the same, it must not split
        # the argument.
        arguments = [argument.replace("\0", r"\x00") for argument in argv]
        text = "\0".join(arguments)
        spans = presets(text) if presets else []
        if patterns:
            spans += _spans(patterns, "\n".join(arguments))
        return tuple(_blot(text, spans).split("\0")) if spans else argv

    return redact


def compile_text(settings: Redaction) -> Callable[[str], str]:
    """The function that blots secrets out of a text that is no argument, by the presets.

    Nearly all texts are paths and hold none, so what has no `=` and no `:` is not looked at. What begins with a slash
    is blotted name by name: else all that is done beneath a directory called `token=` would be hidden.
    """
    if not settings.presets:
        return lambda text: text
    presets, share = _presets(), _pattern(_SHARE)

    def blotted(text: str) -> str:
        spans = presets(text) if "=" in text or ":" in text else []
        return _blot(text, spans) if spans else text

    def redact(text: str) -> str:
        if "=" not in text and ":" not in text:
            return text
        if not text.startswith("/"):
            return blotted(text)
        found = share.search(text)
        text = _blot(text, [found.span(1)]) if found else text
        return "/".join(map(blotted, text.split("/")))

    return redact


@cache
def _presets() -> Callable[[str], list[Span]]:
    """A function that finds what the presets blot."""
    walks: list[Walk] = [
        *(_walk(_pattern(preset)) for preset in PRESETS),
        *map(_walk_program, PROGRAMS),
    ]
    cut = [_walk(_pattern(pattern)) for pattern in CUT]
    matching = _which((*PRESETS, *(program.whole for program in PROGRAMS)))

    def spans(text: str) -> list[Span]:
        octets = _octets(text)
        matched = [walks[index] for index in matching(octets)]
        if len(matched) > KINDS:
            return [(0, len(text))]
        return _spans([*matched, *cut] if len(text) >= _MAYBE_CUT else matched, octets)

    return spans


def _octets(text: str) -> bytes:
    """The text with each character one byte, that positions in it are positions in the text.

    The presets look for ASCII only. Any other character becomes DEL, which means nothing to them; `replace`
    would have it a question mark, which does, so that one is put aside.
    """
    if text.isascii():
        return text.encode()
    aside = text.replace("\x01", "\x7f").replace("?", "\x01")
    return aside.encode("ascii", "replace").translate(_BACK)


def _which(patterns: Sequence[str]) -> Callable[[str | bytes], Sequence[int]]:
    """A function that names the patterns which match, all found in one pass over the text: mostly there are none."""
    together = re2.Set.SearchSet(_options())
    for pattern in patterns:
        together.Add(pattern)
    together.Compile()
    return lambda text: together.Match(text) or ()


def _options() -> object:
    options = re2.Options()
    options.log_errors = False  # it would write to stderr; we raise
    return options


def _pattern(pattern: str, *, where: str = "") -> Pattern:
    try:
        return cast(Pattern, re2.compile(pattern, _options()))
    except re2.error as error:
        reason = error.args[0]
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        raise ConfigError(f"is not an RE2 pattern: {reason}", where=where) from error


def _walk(pattern: Pattern) -> Walk:
    """The matches of a pattern, each as where it begins and what of it is to be blotted."""

    def walk(text: str | bytes) -> Iterator[Found]:
        for match in pattern.finditer(text):
            yield _found(pattern, match)

    return walk


def _walk_program(program: Program) -> Walk:
    """The same for an option of a program: first its name is sought, from there the option."""
    start, secret = _pattern(program.start), _pattern(program.secret)

    def walk(text: str | bytes) -> Iterator[Found]:
        at = 0
        while name := start.search(text, at):
            at = name.span()[1] - 1  # the gap after the name may be the gap before the option
            while match := secret.search(text, at):
                yield _found(secret, match)
                at = match.span()[1]
                if not program.every:
                    break
            else:
                return  # none after this name, so none after the next

    return walk


def _found(pattern: Pattern, match: Match) -> Found:
    groups = range(1, pattern.groups + 1) if pattern.groups else (0,)
    return match.span()[0], [match.span(group) for group in groups]


def _spans(walks: Sequence[Walk], text: str | bytes) -> list[Span]:
    """What is to be blotted: each match's spans, and all that follows the last match we care to walk."""
    spans: list[Span] = []
    for walk in walks:
        share = max(1, MATCHES // len(walks))
        for count, (begin, found) in enumerate(walk(text)):
            if count == share:
                spans.append((begin, len(text)))
                break
            spans += [(start, end) for start, end in found if start < end]
    return spans


def _blot(text: str, spans: list[Span]) -> str:
    """The text with the union of `spans` blotted, in each argument by itself."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    pieces, at = [], 0
    for start, end in merged:
        parts = text[start:end].split("\0")
        pieces += [text[at:start], "\0".join(BLOT if part else "" for part in parts)]
        at = end
    return "".join((*pieces, text[at:]))
