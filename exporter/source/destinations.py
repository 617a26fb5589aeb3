"""Destinations: what each process image did with each remote end, counted in the kernel (bpf/destination.h).

`attached.py` makes one `Destinations` for the running generation; the agent reads it at intervals, and takes out what
is over. Numbers only grow: nothing is lost by reading late. Sizes and layouts come from BTF.
"""

import operator
import struct
from collections.abc import Mapping
from typing import NamedTuple

from exporter.config_observe import Network
from exporter.errors import KernelError
from exporter.model import Kind
from exporter.probes.network import NETWORK_CONNECT
from exporter.source import descriptors
from exporter.source.btf import Types
from exporter.source.losses import boot_now
from exporter.telemetry import log

MAPS = ("destinations",)
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Destination(NamedTuple):
    """One entry. `key` is the whole key; `first` is when it began to count, boot ns, `latency` a sum in ns.

    `established` and `failed` are connects; of `begun` connections so many have `ended`, which `sent` and `received`
    are of (bytes). `latencies` counts by the bits of microseconds, the last one all that is longer. `address` is in
    IPv6's form, `protocol` over IP.
    """

    key: bytes
    start_time: int
    exec_id: int
    pid: int
    protocol: int
    port: int
    address: bytes
    first: int
    cgroup: int
    established: int
    failed: int
    begun: int
    ended: int
    sent: int
    received: int
    latency: int
    latencies: tuple[int, ...]

    @property
    def is_rest(self) -> bool:
        """Whether this is what found no room for an entry of its own."""
        return not any(self.key)

    @property
    def is_overflow(self) -> bool:
        """Whether this has no remote end of its own: the rest, or what is beyond one process's share."""
        return self.is_rest or not self.protocol


def kinds(network: Network) -> tuple[Kind, ...]:
    """Whose programs count."""
    return (NETWORK_CONNECT,) if network.metrics else ()


def constants(network: Network) -> dict[str, bytes]:
    """Whether anything is counted."""
    return {"count_destinations": bytes([network.metrics])}


class Destinations:
    """What one generation counts."""

    def __init__(self, maps: Mapping[str, int], layouts: Types, network: Network) -> None:
        """`maps` are the fds of the generation's. Makes the entry for what finds no room, if it is not there yet."""
        self._fd, self._counts = maps[MAPS[0]], network.metrics
        self._key, key_names = _layout(layouts, "destination_key")
        self._value, value_names = _layout(layouts, "destination")
        names = (*key_names, *value_names)
        self._ordered = operator.itemgetter(*(names.index(name) for name in Destination._fields[1:]))
        self._before: dict[bytes, tuple[bytes, Destination]] = {}
        if self._counts:
            began = [boot_now() if name == "first" else 0 for name in value_names if name != "latencies"]
            rest = self._value.pack(*began, bytes(layouts.size("destination") - 8 * len(began)))
            descriptors.put_new(self._fd, bytes(self._key.size), rest)

    def read(self) -> list[Destination]:
        """All entries as they are now; those that are just being made come with the next call."""
        if not self._counts:
            return []
        before, self._before = self._before, {}
        for key, value in descriptors.entries(self._fd, self._key.size, self._value.size):
            known = before.get(key)
            # Most have not changed: to take one apart costs ten times as much as to compare it.
            self._before[key] = known if known and known[0] == value else (value, self._parse(key, value))
        return [one for _value, one in self._before.values() if one.first]

    def take(self, key: bytes) -> Destination | None:
        """Take an entry out; what it was then, None where it is not there."""
        value = descriptors.take(self._fd, key, self._value.size)
        return self._parse(key, value) if value else None

    def inherit(self, fd: int) -> None:
        """Move over what the programs of an earlier build have counted, which count no more; `fd` is their map.

        Each entry is taken out before it is put in: a kill between the two loses that one, and none counts twice.
        """
        if not self._counts:
            return
        if descriptors.map_sizes(fd) != (self._key.size, self._value.size):
            log.warning("what an earlier build has counted of connections cannot be read, and is not sent")
            return
        for key, _value in list(descriptors.entries(fd, self._key.size, self._value.size)):
            if value := descriptors.take(fd, key, self._value.size):
                self._add(key, value)

    def _add(self, key: bytes, value: bytes) -> None:
        """To what has been counted since, which may go on meanwhile."""
        try:
            while not descriptors.put_new(self._fd, key, value):
                if since := descriptors.take(self._fd, key, self._value.size):
                    value = _sum(value, since)
        except KernelError:  # no room
            if any(key):
                self._add(bytes(len(key)), value)

    def _parse(self, key: bytes, value: bytes) -> Destination:
        *known, latencies = self._ordered((*self._key.unpack(key), *self._value.unpack(value)))
        return Destination._make((key, *known, struct.unpack(f"<{len(latencies) // 8}Q", latencies)))


def _sum(before: bytes, since: bytes) -> bytes:
    """Two values of one key. All are words; the first two say since when (0: it is just being made), and where."""
    words = struct.Struct(f"<{len(before) // 8}Q")
    (first, cgroup, *one), (then, _cgroup, *other) = words.unpack(before), words.unpack(since)
    return words.pack(min(first or then, then or first), cgroup, *map(operator.add, one, other))


def _layout(types: Types, name: str) -> tuple[struct.Struct, list[str]]:
    """A struct whose members follow each other without gaps, and their names; arrays are bytes."""
    members = types.members(name)
    layout = struct.Struct("<" + "".join(_CODES.get(member.size, f"{member.size}s") for member in members))
    if layout.size != types.size(name):
        raise ValueError(f"struct {name} has gaps")
    return layout, [member.name for member in members]
