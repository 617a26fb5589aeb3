"""The settings of what is looked at: types of events, and rules that the kernel itself applies before it tells.

Every rule has `include` and `exclude`. Without `include` all are in; with it only those. The longest path, the smallest
network, the nearest cgroup that a rule names decides. `source/filters.py` gives them to the kernel.
"""

import ipaddress
from typing import Annotated, Literal

import msgspec

from exporter.config_types import Closed, Globs, Text

_PATH_BYTES = 255  # what a prefix map of the kernel holds
_RULES = 1000
_UNIX_SOCKETS = 32
_SOCKET_BYTES = 127  # struct watched in bpf/unix.h
UnixSocket = Annotated[str, msgspec.Meta(min_length=1, pattern=r"\A(/|@)?[^\0/]([^\0]*[^\0/])?\Z")]
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
Texts = Annotated[tuple[Text, ...], msgspec.Meta(max_length=_RULES)]


class Places(Closed, frozen=True):
    """Paths: `/etc/` is all beneath it, `/etc/pass*` all that begins so, `/etc/passwd` that file."""

    include: Texts = ()
    exclude: Texts = ()

    def __post_init__(self) -> None:
        """Refuse what could match nothing."""
        for path in (*self.include, *self.exclude):
            if not path.startswith("/"):
                raise ValueError(f"{path} is no absolute path, which is all that the kernel tells")
            if len(path.encode()) > _PATH_BYTES:
                raise ValueError(f"{path[:40]}… is longer than {_PATH_BYTES} bytes: name a directory above it")


class Users(Closed, frozen=True):
    """Effective user ids."""

    include: tuple[UserId, ...] = ()
    exclude: tuple[UserId, ...] = ()


class Ports(Closed, frozen=True):
    """Port numbers of the other side; of one's own where one only listens or binds."""

    include: tuple[Port, ...] = ()
    exclude: tuple[Port, ...] = ()


class Networks(Closed, frozen=True):
    """Addresses of the other side, as networks (`10.0.0.0/8`, `fd00::/8`) or alone."""

    include: Texts = ()
    exclude: Texts = ()

    def __post_init__(self) -> None:
        """Refuse what is no network."""
        for network in (*self.include, *self.exclude):
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(f"{error}: write 10.0.0.0/8, fd00::/8 or an address") from error


class Files(Closed, frozen=True):
    """Which files."""

    paths: Places = Places()
    """As the process sees them: in a container, from its root. Of a file with two paths (rename, link) the new one."""
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
    """The same thing, done by one process again and again within a window, becomes one event with its count."""

    types: tuple[Text, ...] = ("file.open",)
    """Of `file.open` and `network.connect`, those to count; none: every one is an event of its own."""
    milliseconds: Annotated[int, msgspec.Meta(ge=10, le=60_000)] = 1000
    """The window. An event waits in the kernel for so long."""


class Observe(Closed, frozen=True):
    """What is looked at, in the kernel: what is left out here costs next to nothing and reaches no sink.

    exec, fork and exit are never left out: they say who does all the rest. A sink can leave them out.
    """

    types: Globs = Globs()
    """Event types: `include` adds some to those that are on by default, `exclude` leaves some out. `podwitness probes`
    lists them; those of which a node has very many are off."""
    cgroups: Globs = Globs()
    """Cgroups by their path (`/kubepods.slice`), with all beneath them; no wildcards. They may come later."""
    users: Users = Users()
    binaries: Places = Places()
    """Programs, by their path."""
    files: Files = Files()
    network: Network = Network()
    unix_sockets: Annotated[tuple[UnixSocket, ...], msgspec.Meta(max_length=_UNIX_SOCKETS)] = RUNTIMES
    """Of network.unix_connect: sockets of this machine to watch, by the path they are bound at. `docker.sock` is any of
    that name, `podman/podman.sock` any whose path ends so, `/run/docker.sock` that one, `@name` an abstract one."""
    aggregate: Aggregate = Aggregate()

    def __post_init__(self) -> None:
        """Refuse what the kernel cannot compare."""
        for path in self.unix_sockets:
            if len(path.encode()) > _SOCKET_BYTES:
                raise ValueError(
                    f"unix_sockets: {path[:40]}… is longer than {_SOCKET_BYTES} bytes: leave its beginning out"
                )
