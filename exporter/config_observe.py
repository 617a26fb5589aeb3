"""The settings of what is looked at: types of events, and rules that the kernel itself applies before it tells.

Every rule has `include` and `exclude`. Without `include` all are in; with it only those. The longest path, the smallest
network, the nearest cgroup that a rule names decides. `source/filters.py` gives them to the kernel.
"""

import ipaddress
import posixpath
from collections.abc import Callable, Hashable, Sequence
from typing import Annotated, Literal, TypeVar

import msgspec

from exporter.config_types import Closed, Globs, Text

_PATH_BYTES = 255  # what a prefix map of the kernel holds
_RULES = 1000  # of a sort; RULES in bpf/filter.h is a little more
_UNIX_SOCKETS = 32
_SOCKET_BYTES = 127  # struct watched in bpf/unix.h
RUNTIMES = (
    "docker.sock",
    "containerd.sock",
    "crio.sock",
    "podman.sock",
    "cri-dockerd.sock",
    "dockershim.sock",
    "buildkitd.sock",
    "kubelet.sock",
)
"""Sockets of container runtimes and of the kubelet (device plugins, pod resources): who gets to them is root."""
UserId = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
Port = Annotated[int, msgspec.Meta(gt=0, lt=65536)]
Texts = tuple[Text, ...]
_T = TypeVar("_T")


def _check(include: Sequence[_T], exclude: Sequence[_T], key: Callable[[_T], Hashable]) -> None:
    """Refuse more rules than the kernel's map holds, and two that say the opposite of what has one `key`."""
    count = len(include) + len(exclude)
    if count > _RULES:
        raise ValueError(
            f"has {count} rules; the kernel keeps {_RULES}, include and exclude together: write wider ones"
        )
    included = {key(one) for one in include}
    for one in exclude:
        if key(one) in included:
            raise ValueError(f"{one} is in include and in exclude: take it out of one")


def _check_path(path: str) -> None:
    """Refuse what no path is that the kernel tells, with the path that was meant."""
    meant = f"/{posixpath.normpath(path).lstrip('/')}"
    meant += "/" * (path.endswith("/") and meant != "/")
    if not path.startswith("/"):
        raise ValueError(f"{path} is no absolute path, which is all that the kernel tells")
    if path != meant:
        raise ValueError(f"{path} is no path that the kernel tells: write {meant}")


class CgroupPaths(Closed, frozen=True):
    """CgroupPaths by their path (`/kubepods.slice`), with all beneath them; no wildcards. They may come later."""

    include: Texts = ()
    exclude: Texts = ()

    def __post_init__(self) -> None:
        """Refuse what could match nothing."""
        for path in (*self.include, *self.exclude):
            if wild := set("*?[") & set(path):
                above = path[: min(map(path.index, wild))].rpartition("/")[0] or "/"
                raise ValueError(f"{path} has a wildcard, which cgroups have not: {above} is all beneath it")
            _check_path(path)
        _check(self.include, self.exclude, lambda path: path.strip("/"))


class Places(Closed, frozen=True):
    """Paths: `/etc/` is all beneath it, `/etc/pass*` all that begins so, `/etc/passwd` that file."""

    include: Texts = ()
    exclude: Texts = ()

    def __post_init__(self) -> None:
        """Refuse what could match nothing."""
        for path in (*self.include, *self.exclude):
            _check_path(path)
            if len(path.encode()) > _PATH_BYTES:
                raise ValueError(f"{path[:40]}… is longer than {_PATH_BYTES} bytes: name a directory above it")
            if "*" in path[:-1]:
                above = path[: path.index("*")]
                raise ValueError(f"{path}: a * can only be the end: {above}* is all that begins so")
        _check(self.include, self.exclude, lambda path: path.removesuffix("*"))


class Users(Closed, frozen=True):
    """Effective user ids. A change of rights is told where either the old or the new one is in."""

    include: tuple[UserId, ...] = ()
    exclude: tuple[UserId, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what could match nothing."""
        _check(self.include, self.exclude, int)


class Ports(Closed, frozen=True):
    """Port numbers of the service: the other side's where one connects, one's own where one listens, binds or accepts.

    Of UDP the service is who was sent to first.
    """

    include: tuple[Port, ...] = ()
    exclude: tuple[Port, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what could match nothing."""
        _check(self.include, self.exclude, int)


class Networks(Closed, frozen=True):
    """Addresses of the other side, as networks (`10.0.0.0/8`, `fd00::/8`) or alone.

    One's own where one only listens or binds.
    IPv4 is no part of IPv6: `::/0` is all of IPv6, also where a program spells IPv4 `::ffff:10.0.0.1`.
    """

    include: Texts = ()
    exclude: Texts = ()

    def __post_init__(self) -> None:
        """Refuse what is no network."""
        for network in (*self.include, *self.exclude):
            address, percent, rest = network.partition("%")
            if percent:
                meant = address + "".join(rest.partition("/")[1:])
                raise ValueError(f"{network} names an interface, which the kernel's addresses do not: write {meant}")
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(f"{error}: write 10.0.0.0/8, fd00::/8 or an address") from error
        _check(self.include, self.exclude, ipaddress.ip_network)


class Files(Closed, frozen=True):
    """Which files."""

    paths: Places = Places()
    """As the process sees them: in a container, from its root. Of two paths (rename, link) one is enough.

    What is known only as it was asked for is told where it has `..` in it: where that leads nobody knows.
    """
    access: Annotated[tuple[Literal["read", "write", "create"], ...], msgspec.Meta(min_length=1)] = (
        "read",
        "write",
        "create",
    )
    """Of file.open: which opens. One that reads and writes is both."""


class Network(Closed, frozen=True):
    """Which connections."""

    addresses: Networks = Networks()
    ports: Ports = Ports()
    metrics: bool = False
    """Count connections, their latency and bytes, of each process to each remote end in the kernel, and send the
    numbers as OpenTelemetry metrics to `telemetry.metrics_endpoint` every `telemetry.metrics_interval_seconds`. What
    the rules leave out is not counted; whether network.connect and network.close are told makes no difference."""


class Aggregate(Closed, frozen=True):
    """The same thing, done by one process again and again within a window, becomes one event with its count.

    The event has the time of the first; the last came `podwitness.aggregate.duration_ns` later.
    """

    types: tuple[Literal["file.open", "network.connect"], ...] = ("file.open",)
    """Those to count; none: every one is an event of its own."""
    milliseconds: Annotated[int, msgspec.Meta(ge=10, le=60_000)] = 1000
    """The window. An event waits in the kernel for so long."""


class Observe(Closed, frozen=True):
    """What is looked at, in the kernel: what is left out here costs next to nothing and reaches no sink.

    exec, fork and exit are never left out: they say who does all the rest. A sink can leave them out. So
    `types.exclude: ["*"]` leaves just these.
    """

    types: Globs = Globs()
    """Event types: `include` adds some to those that are on by default, `exclude` leaves some out. `podwitness probes`
    lists them; those of which a node has very many are off."""
    cgroups: CgroupPaths = CgroupPaths()
    users: Users = Users()
    binaries: Places = Places()
    """Programs, by their path. `exclude` is for those of the host, that is in the mounts and the root directory of its
    init: elsewhere (containers, services with mounts of their own) anybody can put any program at any path. To leave
    out what runs in a container exclude its cgroup. `include` takes in programs anywhere."""
    files: Files = Files()
    network: Network = Network()
    unix_sockets: Texts = RUNTIMES
    """Of network.unix_connect: sockets of this machine to watch, by the path they are bound at. `docker.sock` is any of
    that name, `podman/podman.sock` any whose path ends so, `/run/docker.sock` that one, `@name` an abstract one."""
    aggregate: Aggregate = Aggregate()

    def __post_init__(self) -> None:
        """Refuse what the kernel cannot compare."""
        if len(self.unix_sockets) > _UNIX_SOCKETS:
            raise ValueError(f"unix_sockets: has {len(self.unix_sockets)}; the kernel compares {_UNIX_SOCKETS} at most")
        for path in self.unix_sockets:
            _check_socket(path)


def _check_socket(path: str) -> None:
    if len(path.encode()) > _SOCKET_BYTES:
        raise ValueError(f"unix_sockets: {path[:40]}… is longer than {_SOCKET_BYTES} bytes: leave its beginning out")
    meant = posixpath.normpath(path).replace("//", "/")
    if not path.startswith("@") and (path != meant or meant in ("/", ".", "..")):
        raise ValueError(f"unix_sockets: {path} is no socket's path" + f": write {meant}" * (path != meant))
