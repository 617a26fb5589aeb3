"""What is left out in the kernel: the settings' rules as entries of the maps in bpf/filter.h, and as its constants.

`programs.py` sets `constants` before the programs are loaded, then calls `Filters.write`, and `turn`
as often as it looks at the rings: cgroups come and go.
"""

import ipaddress
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from exporter.config import CgroupPaths, Observe
from exporter.source import descriptors

MAPS = ("cgroup_rules", "user_rules", "port_rules", "binary_rules", "path_rules", "address_rules", "image_rules")
_PREFIX_BYTES = 256  # bpf/filter.h
_NO_VERDICT, _TAKEN_IN, _LEFT_OUT = b"\0", b"\x01", b"\x02"  # enum verdict
_ACCESS = {"read": 1, "write": 2, "create": 4}  # open_access in bpf/file.bpf.c
_INTERVAL_SECONDS = 1.0
_T = TypeVar("_T")


class _Rules(Protocol):
    """What all sorts of rules have."""

    @property
    def include(self) -> Sequence[object]: ...
    @property
    def exclude(self) -> Sequence[object]: ...


class Rule(NamedTuple):
    """An entry of a map."""

    map: str
    key: bytes
    verdict: bytes


def rules(observe: Observe) -> list[Rule]:
    """All but those on cgroups, which have no number before they exist."""
    files, network = observe.files, observe.network
    return [
        *_each("user_rules", observe.users.include, observe.users.exclude, struct.Struct("<I").pack),
        *_each("port_rules", network.ports.include, network.ports.exclude, struct.Struct("<H").pack),
        *_each("binary_rules", observe.binaries.include, observe.binaries.exclude, text_prefix),
        *_each("path_rules", files.paths.include, files.paths.exclude, text_prefix),
        *_apart(network.addresses),
        *_each("address_rules", network.addresses.include, network.addresses.exclude, address_prefix),
    ]


def _each(name: str, include: Iterable[_T], exclude: Iterable[_T], key: Callable[[_T], bytes]) -> Iterator[Rule]:
    yield from (Rule(name, key(one), _TAKEN_IN) for one in include)
    yield from (Rule(name, key(one), _LEFT_OUT) for one in exclude)


def _apart(addresses: _Rules) -> Iterator[Rule]:
    """What keeps IPv4 out of networks of IPv6 that hold its form, such as ::/0; a rule on all of IPv4 replaces it."""
    if addresses.include or addresses.exclude:
        yield Rule("address_rules", address_prefix("0.0.0.0/0"), _NO_VERDICT)


def text_prefix(path: str) -> bytes:
    """`struct text_prefix`: `/etc/` and all beneath, `/etc/pass*` all that begins so, else that one file."""
    text = path.encode()
    text = text[:-1] if path.endswith("*") else text if path.endswith("/") else text + b"\0"
    return struct.pack("<I", len(text) * 8) + text.ljust(_PREFIX_BYTES, b"\0")


def address_prefix(network: str) -> bytes:
    """`struct address_prefix` of a CIDR block or an address, IPv4 in IPv6's form."""
    found = ipaddress.ip_network(network)
    if isinstance(found, ipaddress.IPv6Network):
        return struct.pack("<I", found.prefixlen) + found.network_address.packed
    return struct.pack("<I", 96 + found.prefixlen) + bytes(10) + b"\xff\xff" + found.network_address.packed


def constants(observe: Observe) -> dict[str, bytes]:
    """Which sorts of rules there are (`struct rules`), and what else the programs leave out by constants."""
    sorts: dict[str, _Rules] = {
        "cgroup_filter": observe.cgroups,
        "user_filter": observe.users,
        "binary_filter": observe.binaries,
        "path_filter": observe.files.paths,
        "address_filter": observe.network.addresses,
        "port_filter": observe.network.ports,
    }
    found = {
        name: struct.pack("<??", bool(rule.include or rule.exclude), bool(rule.include)) for name, rule in sorts.items()
    }
    return found | {"open_access": bytes([sum(_ACCESS[one] for one in set(observe.files.access))])}


class Filters:
    """The rules of one generation."""

    def __init__(self, observe: Observe, mount: Path, maps: Mapping[str, int]) -> None:
        """`mount` is where the cgroup tree is, `maps` are the fds of MAPS; nothing is written yet."""
        self._observe, self._mount = observe, mount
        self._fds = {name: maps[name] for name in MAPS}
        self._due = 0.0
        self._cgroups: dict[str, int] = {}  # by path in the settings: the number that has a rule

    def write(self) -> None:
        """All rules that need no looking up; before the programs are attached."""
        for rule in rules(self._observe):
            descriptors.put(self._fds[rule.map], rule.key, rule.verdict)
        self.apply()

    def turn(self) -> None:
        """Once a second, for cgroups that came or were made again: these have another number."""
        now = time.monotonic()
        if self._observe.cgroups != CgroupPaths() and now >= self._due:
            self._due = now + _INTERVAL_SECONDS
            self.apply()

    def apply(self) -> None:
        """The rules on cgroups as they are there now."""
        cgroups = self._observe.cgroups
        for rule in _each("cgroup_rules", cgroups.include, cgroups.exclude, str.encode):
            self._apply(rule.key.decode(), rule.verdict)

    def _apply(self, path: str, verdict: bytes) -> None:
        number, before = _inode(self._mount / path.strip("/")), self._cgroups.get(path, 0)
        if number == before:
            return
        if before:
            descriptors.remove(self._fds["cgroup_rules"], struct.pack("<Q", before))
            del self._cgroups[path]
        if number:
            descriptors.put(self._fds["cgroup_rules"], struct.pack("<Q", number), verdict)
            self._cgroups[path] = number


def _inode(path: Path) -> int:
    """The kernfs id of a cgroup; 0 where it is not there."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0
