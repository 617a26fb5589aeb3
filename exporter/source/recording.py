"""A recording: what the kernel handed over, in a file; the stand-in that lets the pipeline run without root.

JSON lines: a header (boot, clock offset, node, the objects' BTF), the snapshot, then each batch of ring samples.
Made by `podwitness record`, read by `podwitness replay`. It holds arguments as they were, secrets included: mode 0600.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from exporter.errors import PodwitnessError, RecordingError
from exporter.model import RawSample
from exporter.source.btf import Types
from exporter.source.programs import Kernel, Seen

FORMAT = "podwitness.recording/1"


class Header(msgspec.Struct, frozen=True):
    """First line: where and when, and the layouts of all that follows (BTF by program, base64)."""

    format: str
    boot_id: str
    offset: int
    btf: dict[str, bytes]


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
        self._file: BinaryIO = os.fdopen(fd, "wb")
        self._encoder = msgspec.json.Encoder()
        self._write(
            Header(
                FORMAT,
                kernel.boot_id,
                kernel.offset(),
                {name: found.raw for name, found in kernel.types.items()},
            )
        )

    def snapshot(self, seen: list[Seen], observed: int) -> None:
        """The processes that were there at start."""
        self._write(Line(observed, seen=seen))

    def batch(self, samples: list[RawSample], observed: int) -> None:
        """One reading of the rings."""
        if samples:
            self._write(Line(observed, samples=samples))

    def close(self) -> None:
        """Everything is in the file afterwards."""
        self._file.close()

    def _write(self, line: Header | Line) -> None:
        try:
            self._file.write(self._encoder.encode(line) + b"\n")
            self._file.flush()
        except OSError as error:
            raise RecordingError(
                str(error.strerror), where=self._file.name, hint="make room and record again"
            ) from error


class Recording:
    """Reads a recording: gives what `Kernel` gave when it was made."""

    def __init__(self, path: Path) -> None:
        """Raises RecordingError when the file cannot be read or is no recording."""
        self._path = path
        try:
            self._file: BinaryIO = path.open("rb")
            header = msgspec.json.decode(self._file.readline(), type=Header)
            self.types = {name: Types(raw) for name, raw in header.btf.items()}
        except OSError as error:
            raise RecordingError(str(error.strerror), where=str(path)) from error
        except (msgspec.DecodeError, PodwitnessError) as error:
            raise RecordingError(
                f"is no recording: {error}", where=f"{path}, line 1", hint="make one with `podwitness record`"
            ) from error
        if header.format != FORMAT:
            raise RecordingError(f"has format {header.format}, this version reads {FORMAT}", where=str(path))
        self.boot_id, self._offset = header.boot_id, header.offset

    def offset(self) -> int:
        """Unix time minus boot time when it was recorded."""
        return self._offset

    def lines(self) -> Iterator[Line]:
        """The snapshot, then the batches. Raises RecordingError at the first line that is damaged."""
        decoder = msgspec.json.Decoder(Line)
        for number, line in enumerate(self._file, start=2):
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                raise RecordingError(f"is damaged: {error}", where=f"{self._path}, line {number}") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()
