"""What the tests of rights share: capabilities as the kernel has them, and attributes as the probes tell them."""

import ctypes
import struct
from collections.abc import Callable
from pathlib import Path

from exporter.model import Value
from exporter.probes.names import capabilities
from tests.kernel.calls import call, in_child
from tests.kernel.recorded import attributes, recording, settings

N = 23
NOBODY = 1000
RAW = 13  # CAP_NET_RAW
VERSION_3 = 0x20080522

Told = dict[str, Value]


def status(name: str) -> tuple[str, ...]:
    """A set of capabilities as /proc says it of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return capabilities(int(line.split()[1], 16))


def sets() -> tuple[int, int, int]:
    """Our own effective, permitted and inheritable capabilities."""
    data = ctypes.create_string_buffer(24)
    call("capget", struct.pack("=Ii", VERSION_3, 0), data)
    low, high = struct.unpack("=III", data.raw[:12]), struct.unpack("=III", data.raw[12:])
    effective, permitted, inheritable = (one | other << 32 for one, other in zip(low, high, strict=True))
    return effective, permitted, inheritable


def capset(effective: int, permitted: int, inheritable: int) -> tuple[bytes, bytes]:
    """Arguments that ask for these sets."""
    parts = [one >> shift & 0xFFFFFFFF for shift in (0, 32) for one in (effective, permitted, inheritable)]
    return struct.pack("=Ii", VERSION_3, 0), struct.pack("=6I", *parts)


def told(folder: Path, work: Callable[[], object], *types: str) -> list[tuple[str, Told]]:
    """What the probes tell of a child that does `work`."""
    with recording(folder, settings(*types)) as finish:
        pid = in_child(work)
        whole = finish()
    events = [event for kind in types for event in whole.of(kind) if event.pid == pid]
    return [(event.kind.name, attributes(event)) for event in sorted(events, key=lambda event: event.boot_time)]


def ids(prefix: str, names: tuple[str, ...], values: tuple[int, ...]) -> Told:
    """Attributes of ids."""
    return {f"podwitness.cred.{prefix}.{name}": value for name, value in zip(names, values, strict=True)}


USERS = ("real_user.id", "user.id", "saved_user.id", "fs_user.id")
GROUPS = ("real_group.id", "group.id", "saved_group.id", "fs_group.id")


def without_thread(event: Told) -> Told:
    """A single-threaded process has its own id there."""
    assert isinstance(event.pop("podwitness.process.thread.id"), int)
    return event
