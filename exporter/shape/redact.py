"""Blots secrets out of the arguments of observed programs, before anything leaves the process table.

`compile` turns the settings into one function from argv to argv, called once for each new process image.
Only the value of a secret becomes `*****`; the option, the key or the header stays, and so does the number
of arguments. The user's patterns see the arguments one a line, the presets with NUL between them: an option
and its value may be two arguments.

Each pattern finds spans in the original text, and the union is blotted: no pattern spoils another. Patterns
are RE2: an argument is written by whoever we observe, and must not cost more than linear time.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, cast

import re2

from exporter.config import Redaction
from exporter.errors import ConfigError
from exporter.shape.presets import PRESETS

BLOT = "*****"

Argv = tuple[str, ...]
Span = tuple[int, int]


class Match(Protocol):
    """What we use of a match of google-re2, which has no types."""

    def span(self, group: int = 0) -> Span:
        """Start and end of a group; (-1, -1) if it took no part."""


class Pattern(Protocol):
    """What we use of a pattern of google-re2."""

    @property
    def groups(self) -> int:
        """Number of capture groups."""

    def search(self, text: str) -> Match | None:
        """The first match."""

    def finditer(self, text: str) -> Iterator[Match]:
        """Matches from left to right, none overlapping."""


def compile(settings: Redaction, *, where: str = "redaction") -> Callable[[Argv], Argv]:
    """The function that blots secrets out of an argv.

    Args:
        settings: presets or not, and the user's patterns.
        where: path of the setting, for errors.

    Raises:
        ConfigError: a pattern is not RE2.
    """
    presets = tuple(_pattern(preset) for preset in PRESETS) if settings.presets else ()
    matching = _which(PRESETS)
    # Under (?m) `^` and `$` are the ends of an argument: arguments stand one a line.
    patterns = tuple(
        _pattern(f"(?m){pattern}", where=f"{where}.patterns[{index}]")
        for index, pattern in enumerate(settings.patterns)
    )

    def redact(argv: Argv) -> Argv:
        # The kernel ends arguments by NUL, so none holds one; should one come all the same, it must not split
        # the argument.
        arguments = [argument.replace("\0", r"\x00") for argument in argv]
        text = "\0".join(arguments)
        spans = list(_spans([presets[index] for index in matching(text)], text)) if presets else []
        if patterns:
            spans += _spans(patterns, "\n".join(arguments))
        return tuple(_blot(text, spans).split("\0")) if spans else argv

    return redact


def _which(patterns: Sequence[str]) -> Callable[[str], Sequence[int]]:
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


def _spans(patterns: Sequence[Pattern], text: str) -> Iterator[Span]:
    """What is to be blotted: the groups of each match, or the whole of it where the pattern has no groups."""
    for pattern in patterns:
        groups = range(1, pattern.groups + 1) if pattern.groups else (0,)
        for match in pattern.finditer(text):
            for group in groups:
                start, end = match.span(group)
                if start < end:
                    yield start, end


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
