"""The settings: one typed, documented, closed YAML file.

`load` reads it and refuses an unknown key or a wrong type with the path of the setting, the reason and
a suggestion. Each setting says what it is, its unit and why its default is what it is. What a setting means for events
(globs that must match something) is checked by the stage that uses it.
"""

from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from exporter import urls
from exporter.config_observe import Aggregate, CgroupPaths, Observe
from exporter.config_sinks import (
    Batch,
    FieldFilter,
    File,
    FluentForward,
    Otlp,
    OtlpGrpc,
    OtlpHttp,
    Queue,
    Sink,
    SinkBase,
    Stdout,
    Tls,
    User,
)
from exporter.config_types import Closed, Globs, Positive, RingBytes, Seconds, Text
from exporter.document import read
from exporter.errors import ConfigError
from exporter.explain import convert

__all__ = [
    "Aggregate",
    "Batch",
    "CgroupPaths",
    "Config",
    "FieldFilter",
    "File",
    "FluentForward",
    "Globs",
    "Observe",
    "Otlp",
    "OtlpGrpc",
    "OtlpHttp",
    "Queue",
    "Sink",
    "SinkBase",
    "Stdout",
    "Tls",
    "User",
    "load",
    "parse",
]


_AGENT_BYTES = 64 * 1024 * 1024  # what the agent itself takes when nothing waits


class Kernel(Closed, frozen=True):
    """The probes and the rings between kernel and agent."""

    lifecycle_ring_bytes: RingBytes = 8 * 1024 * 1024
    """Size of the ring for exec, fork, exit; a power of two. Holds about 6,000 process lives."""
    activity_ring_bytes: RingBytes = 4 * 1024 * 1024
    """Size of the ring for files, network, DNS; a power of two."""
    poll_milliseconds: Annotated[int, msgspec.Meta(gt=0, le=1000)] = 20
    """How often the rings are read while something happens; when nothing does, the next event wakes the agent."""
    hierarchy: Literal["auto", "v2", "pids", "memory"] = "auto"
    """The cgroup hierarchy that names containers: v2 where it is the only one, else v1's `pids`, else `memory`."""
    cgroup_root: Text = "/sys/fs/cgroup"
    """Where the cgroup file systems are mounted (the host's, also from inside a container)."""
    proc_root: Text = "/proc"
    """The host's /proc, for the arguments of processes that were there before the agent."""

    strict: bool = False
    """Refuse to start where a type of event that was asked for cannot be seen; else the agent says so and goes on."""
    persist: bool = False
    """Keep probes and rings in the kernel (pinned in bpffs) when the agent ends: the next one misses nothing.
    They stop by themselves after 10 minutes without a reader; `podwitness unload` removes them."""
    pin_path: Text = "/sys/fs/bpf/podwitness"
    """The directory of the pins; in a bpffs."""

    def __post_init__(self) -> None:
        """Refuse a size that the kernel would round up in silence: what is then read is no ring."""
        for name in ("lifecycle_ring_bytes", "activity_ring_bytes"):
            size: int = getattr(self, name)
            if size & (size - 1):
                larger = 1 << size.bit_length()
                raise ValueError(
                    f"{name} is {size}, which is no power of two; the next ones are {larger // 2} and {larger}"
                )


class Kubernetes(Closed, frozen=True):
    """Where pods are known from, and which of their labels and annotations are told."""

    mode: Literal["auto", "on", "off"] = "auto"
    """`auto`: on inside a cluster or with a `kubeconfig`; `on`: refuse to start without; `off`: never."""
    kubeconfig: str | None = None
    """A kubeconfig file; none: the pod's service account."""
    context: str | None = None
    """The kubeconfig's context; none: its current one."""
    node_name: str | None = None
    """This node's name in the cluster; none: the environment's NODE_NAME, else the host name."""
    cluster_name: str | None = None
    """`k8s.cluster.name` of every Resource."""
    labels: Globs = Globs()
    """Pod labels to put on the Resource. Nothing is included unless asked for."""
    annotations: Globs = Globs()
    """Pod annotations to put on the Resource. `kubectl.kubernetes.io/last-applied-configuration` and keys that look
    like secrets are included by their full name only, never by a wildcard."""


class Redaction(Closed, frozen=True):
    """What is blotted out of arguments before anything leaves the process table, and out of paths and names."""

    presets: bool = True
    """Passwords, tokens, authorization headers and credentials in URLs. In paths, names and other texts of events what
    stands as `key=value` or in a URL."""
    patterns: tuple[str, ...] = ()
    """More RE2 patterns for arguments; every capture group is replaced by `*****`, the whole match where there is
    none."""


class Arguments(Closed, frozen=True):
    """How much of a process's arguments goes on a record."""

    max_bytes: Positive = 4096
    """Of one argument; the rest is cut and marked."""
    max_total_bytes: Positive = 16384
    """Of all arguments together."""


class Process(Closed, frozen=True):
    """The process table."""

    arguments: Arguments = Arguments()
    max_processes: Positive = 32768
    """Images kept; the least recently used go first. Linux's default pid_max."""


class Spool(Closed, frozen=True):
    """What has been read from the kernel and not been delivered yet, on disk."""

    mode: Literal["disk", "memory"] = "disk"
    """`memory`: nothing is written to disk; what waits for a receiver is lost with the agent."""
    path: Text = "/var/lib/podwitness"
    """A directory of the agent's own (0700); one agent a directory."""
    key_file: Text | None = None
    """Encrypt what is written (AES-256-GCM) with this file's 32 bytes, as they are or in hex; none: not encrypted."""
    commit_events: Positive = 1000
    """Events read before they are made safe and sent, at the latest."""
    commit_milliseconds: Annotated[int, msgspec.Meta(gt=0, le=10_000)] = 100
    """How long an event waits for that, at the most."""


class Memory(Closed, frozen=True):
    """How much memory the agent may take."""

    limit_bytes: Annotated[int, msgspec.Meta(ge=96 << 20, le=1 << 40)] = 128 * 1024 * 1024
    """Resident memory of the agent. Near it the agent does less, step by step, says so, and undoes it afterwards."""


class TamperEvidence(Closed, frozen=True):
    """A chain of hashes over the records of each sink, signed: `podwitness verify` finds what was changed since."""

    key_file: Text
    """An Ed25519 private key (PEM, PKCS#8): `openssl genpkey -algorithm ed25519`."""


class Health(Closed, frozen=True):
    """Where to ask whether the agent is ready and alive: GET /readyz, /livez."""

    host: Text = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(gt=0, lt=65536)] = 7443


class LogFluentd(Closed, frozen=True):
    """A Fluentd (`in_forward`) that takes the agent's own log."""

    host: Text
    port: Annotated[int, msgspec.Meta(gt=0, lt=65536)] = 24224


class Telemetry(Closed, frozen=True):
    """The agent's own metrics and log."""

    metrics_endpoint: Text | None = None
    """Base URL of an OTLP/HTTP receiver for the agent's metrics; none: not sent."""
    metrics_interval_seconds: Seconds = 30.0
    log_fluentd: LogFluentd | None = None
    """A Fluentd for the agent's own log lines, beside stderr."""

    def __post_init__(self) -> None:
        """Refuse an endpoint that no metric could be sent to."""
        if self.metrics_endpoint is not None:
            try:
                urls.split(self.metrics_endpoint)
            except ValueError as error:
                raise ValueError(f"metrics_endpoint {error} ({urls.HINT})") from error


class Config(Closed, frozen=True):
    """The whole file."""

    sinks: dict[str, Sink]
    """Where events go, each under a name of yours."""
    kernel: Kernel = Kernel()
    observe: Observe = Observe()
    kubernetes: Kubernetes = Kubernetes()
    process: Process = Process()
    redaction: Redaction = Redaction()
    telemetry: Telemetry = Telemetry()
    spool: Spool = Spool()
    memory: Memory = Memory()
    tamper_evidence: TamperEvidence | None = None
    """None: no chain."""
    health: Health | None = None
    """None: nobody can ask."""

    def __post_init__(self) -> None:
        """Refuse numbers that go nowhere, and rings that leave the agent no memory: it would do less for ever."""
        if self.observe.network.metrics and self.telemetry.metrics_endpoint is None:
            raise ValueError(
                "observe.network.metrics needs telemetry.metrics_endpoint: the base URL of an OTLP/HTTP receiver"
            )
        rings = self.kernel.lifecycle_ring_bytes + self.kernel.activity_ring_bytes
        if rings + _AGENT_BYTES > 0.8 * self.memory.limit_bytes:
            least = (rings + _AGENT_BYTES) * 5 // 4
            raise ValueError(
                f"memory.limit_bytes is {self.memory.limit_bytes}: with rings of {rings} bytes, which count as the "
                f"agent's memory, it has to be {least} at least"
            )


def load(path: Path) -> Config:
    """Read and check the settings file at `path`; `${NAME}` in a value stands for the environment's NAME.

    Raises:
        ConfigError: unreadable, not YAML, unknown key, wrong type or a variable that is not set.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot be read: {reason}", where=str(path)) from error
    return parse(text, where=str(path))


def parse(text: str, *, where: str) -> Config:
    """The settings in YAML `text`; `where` names it in errors. Raises ConfigError as `load` does."""
    tree = read(text, where=where)
    if isinstance(tree, dict) and isinstance(sinks := tree.get("sinks"), dict):
        for name, sink in sinks.items():
            # Each by itself: msgspec names a member of a mapping only `[...]`.
            convert(sink, get_args(Sink), where=where, at=f".sinks.{name}")
    return convert(tree, (Config,), where=where)
