"""A recording: what the kernel handed over, in a file; the stand-in that lets the pipeline run without root.

JSON lines: a header (boot, clock offset, the objects' BTF, the hooks), the snapshot, then each batch of ring samples.
Made by `podwitness record`, read by `podwitness replay`. It holds arguments as they were, secrets included: mode 0600.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import msgspec

from exporter import probes
from exporter.errors import KernelError, RecordingError
from exporter.model import RawSample
from exporter.source.btf import Types
from exporter.source.hooks import Probe
from exporter.source.programs import Kernel, Seen

FORMAT = "podwitness.recording/1"


class Format(msgspec.Struct, frozen=True):
    """What the first line of every version says: which one this is."""

    format: str


class Header(Format, frozen=True):
    """First line: where and when, the layouts of all that follows (BTF by program, base64), how it was seen."""

    boot_id: str
    offset: int
    btf: dict[str, bytes]
    probes: tuple[Probe, ...] = ()


class Line(msgspec.Struct, frozen=True):
    """Every other line: the snapshot (then `seen`), or one batch of samples."""

    observed: int
    seen: list[Seen] = []
    samples: list[RawSample] = []


class Recorder:
    """Writes a recording of `kernel` to `path`."""

    def __init__(self, path: Path, kernel: Kernel) -> None:
        """Raises RecordingError when the file exists or cannot be made."""
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise RecordingError(
                str(error.strerror), where=str(path), hint="name a new file in a directory of yours"
            ) from error
        self._path = str(path)
        self._file = os.fdopen(fd, "wb", buffering=0)  # what a full disk refused must not be tried again by `close`
        self.count = 0  # samples written
        self._encoder = msgspec.json.Encoder()
        btf = {name: found.raw for name, found in kernel.types.items()}
        try:
            self._write(Header(FORMAT, kernel.boot_id, kernel.offset(), btf, kernel.probes))
        except RecordingError:
            self._file.close()
            raise

    def snapshot(self, seen: list[Seen], observed: int) -> None:
        """The processes that were there at start."""
        self._write(Line(observed, seen=seen))

    def batch(self, samples: list[RawSample], observed: int) -> None:
        """One reading of the rings."""
        if samples:
            self._write(Line(observed, samples=samples))
            self.count += len(samples)

    def close(self) -> None:
        """Everything is in the file afterwards."""
        self._file.close()

    def _write(self, line: Header | Line) -> None:
        rest = memoryview(self._encoder.encode(line) + b"\n")
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise RecordingError(str(error.strerror), where=self._path, hint="make room and record again") from error


class Recording:
    """Reads a recording: gives what `Kernel` gave when it was made."""

    def __init__(self, path: Path) -> None:
        """Raises RecordingError when the file cannot be read or is no recording."""
        self._path = path
        with ExitStack() as opened:
            try:
                self._file: BinaryIO = opened.enter_context(path.open("rb"))
                header = _header(self._file.readline(), path)
                self.types = {name: Types(raw) for name, raw in header.btf.items()}
                for name in (*(kind.program for kind in probes.LIFE), probes.SNAPSHOT.program):
                    if name not in self.types:
                        raise KernelError(f"of the program {name} is missing", where="type information")
            except OSError as error:
                raise RecordingError(str(error.strerror), where=str(path)) from error
            except (msgspec.DecodeError, UnicodeDecodeError, KernelError) as error:
                what = f"its {error.where} {error.what}" if isinstance(error, KernelError) else str(error)
                raise RecordingError(
                    f"is no recording: {what}", where=f"{path}, line 1", hint="make one with `podwitness record`"
                ) from error
            opened.pop_all()
        self.boot_id, self._offset = header.boot_id, header.offset
        self.probes = header.probes

    def offset(self) -> int:
        """Unix time minus boot time when it was recorded."""
        return self._offset

    def types_of(self, _ring_id: int) -> dict[str, Types]:
        """Every ring of a recording is of one generation."""
        return self.types

    def lines(self) -> Iterator[Line]:
        """The snapshot, then the batches. Raises RecordingError at the first line that is damaged."""
        decoder = msgspec.json.Decoder(Line)
        for number, line in enumerate(self._file, start=2):
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise RecordingError(f"is damaged: {error}", where=f"{self._path}, line {number}") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _header(line: bytes, path: Path) -> Header:
    """The header of our version; another's may have other members, so its version is read first."""
    found = msgspec.json.decode(line, type=Format).format
    if found != FORMAT:
        raise RecordingError(f"has format {found}, this version reads {FORMAT}", where=str(path))
    return msgspec.json.decode(line, type=Header)
