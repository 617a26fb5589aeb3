"""Payloads of lines, files that are written, and disks that are full: for the tests of files and their rotation."""

import gzip
import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exporter import config
from exporter.model import Payload
from exporter.sink.file import File


def lines(*texts: str) -> Payload:
    return Payload("logs", "".join(f"{text}\n" for text in texts).encode(), len(texts))


@contextmanager
def opened(path: Path, **changes: Any) -> Iterator[File]:
    file = File(config.File(path=str(path), **changes))
    yield file
    file.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(path: Path) -> dict[str, str]:
    """What the file and its generations hold, decompressed."""
    read = {one.name: one.read_bytes() for one in path.parent.iterdir()}
    return {
        name: (gzip.decompress(data) if name.endswith(".gz") else data).decode(errors="replace")
        for name, data in read.items()
    }


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """The kernel takes what fits and refuses the rest, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
