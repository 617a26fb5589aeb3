"""The processes that are there: the task iterator (bpf/snapshot.bpf.c), read as often as is asked, and /proc beside it.

`programs.py` asks it who the agent is on the host, and for the snapshot at start.
"""

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from exporter import probes
from exporter.model import Event, RawSample
from exporter.source.btf import Types
from exporter.source.decode import Decoder
from exporter.source.libbpf import Object
from exporter.telemetry import log

SNAPSHOT = "snapshot"
_CMDLINE_BYTES = 16 * 1024  # as much of argv as an exec carries
_LENGTH = struct.Struct("<Q")


class Seen(NamedTuple):
    """A process of the snapshot: the iterator's record, and its arguments from /proc (None: none, or it is gone)."""

    sample: RawSample
    arguments: bytes | None


class Tasks:
    """The loaded iterator."""

    def __init__(self, snapshot: Object, types: Mapping[str, Types], proc: Path) -> None:
        """`proc` is the host's /proc."""
        self._object, self._proc = snapshot, proc
        self._decoder = Decoder([probes.SNAPSHOT], types, "")
        self.sees_host = True  # /proc has the same process ids as the kernel tells

    def ourselves(self) -> Event:
        """Our own process, as the host sees it; which one that is only the iterator knows."""
        records = [RawSample("lifecycle", 0, 0, record) for record in self._iterate()]
        us = next(
            seen for seen in self._decoder.decode(records, 0, 0) if seen.facts and seen.facts["reader"] == seen.pid
        )
        if us.pid != os.getpid():
            self.sees_host = False
            log.warning("not in the host's pid namespace: processes that are here already stay unknown; use hostPID")
        return us

    def snapshot(self) -> list[Seen]:
        """The processes that exist now."""
        return [
            Seen(RawSample("lifecycle", 0, at, record), self._arguments(int.from_bytes(record[4:8], "little")))
            for at, record in enumerate(self._iterate())
        ]

    def _iterate(self) -> list[bytes]:
        """Every record of the iterator, without its length prefix."""
        with os.fdopen(self._object.iterate(), "rb") as stream:
            data = stream.read()
        records, at = [], 0
        while at + _LENGTH.size <= len(data):
            end = at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
            records.append(data[at + _LENGTH.size : end])
            at = end
        return records

    def _arguments(self, pid: int) -> bytes | None:
        if not self.sees_host:
            return None
        try:
            with (self._proc / str(pid) / "cmdline").open("rb") as file:
                found = file.read(_CMDLINE_BYTES)
            # A program that writes a title over its arguments leaves a row of NULs behind it.
            return found.rstrip(b"\0") + b"\0" if found else None
        except OSError:
            return None  # it has ended since
