"""The lines of files, compressed or not, and of stdin, each with its place.

What is gzip is known by its first bytes, whatever it is called. A file that breaks off (its writer is still at it, or
was killed) gives the lines that are whole.
"""

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from isal import igzip

from exporter.errors import ConfigError
from exporter.sink.gzipped import DAMAGED

STDIN = Path("-")
_GZIP = b"\x1f\x8b"


class Place(NamedTuple):
    """Where a record stands."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Line(NamedTuple):
    """One line; `why` says that the file cannot be read from here on."""

    place: Place
    data: bytes
    why: str = ""


def lines(files: Sequence[Path]) -> Iterator[Line]:
    """Of all `files`, `-` being stdin. Raises ConfigError for one that cannot be opened."""
    for path in files:
        with ExitStack() as opened:
            name = "stdin" if path == STDIN else str(path)
            yield from _lines(name, _open(path, opened))


def check(files: Sequence[Path]) -> None:
    """Raise ConfigError for what cannot be opened, before anything is read; a pipe is not touched."""
    for path in files:
        if again(path):
            with ExitStack() as opened:
                _open(path, opened)
        elif path != STDIN and not path.exists():
            raise ConfigError(f"cannot be read: {os.strerror(errno.ENOENT)}", where=str(path))
        elif path != STDIN and path.is_dir():
            raise ConfigError("is a directory; name the files in it", where=str(path))


def again(path: Path) -> bool:
    """Whether the lines of this file can be read a second time."""
    return path != STDIN and path.is_file()


def _open(path: Path, opened: ExitStack) -> BinaryIO:
    try:
        raw = sys.stdin.buffer if path == STDIN else opened.enter_context(path.open("rb"))
        buffered = cast(BufferedReader, raw)
        if buffered.peek(2)[:2] != _GZIP:
            return buffered
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from error
    unpacked = cast(BinaryIO, igzip.open(buffered))  # type: ignore[no-untyped-call]  # isal's igzip has no types
    return opened.enter_context(unpacked)


def _lines(name: str, stream: BinaryIO) -> Iterator[Line]:
    number = 0
    try:
        for number, data in enumerate(stream, start=1):
            yield Line(Place(name, number), data)
    except (OSError, EOFError, DAMAGED) as error:
        yield Line(Place(name, number + 1), b"", f"cannot be read any further: {error}")
