"""The settings: one typed, documented, closed YAML file.

`load` reads it and refuses an unknown key or a wrong type with the path of the setting, the reason and
a suggestion. Each setting says what it is, its unit and why its default is what it is. What a setting means for events
(globs that must match something) is checked by the stage that uses it.
"""

from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from exporter import urls
from exporter.document import read
from exporter.errors import ConfigError
from exporter.explain import convert

# Bounded above too: a thread must not find out that a wait or a size is beyond what the system can take.
Positive = Annotated[int, msgspec.Meta(gt=0, le=1 << 40)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
Text = Annotated[str, msgspec.Meta(min_length=1, pattern=r"\A[^\0]*\Z")]
RingBytes = Annotated[int, msgspec.Meta(ge=4096, le=1 << 30)]


class Closed(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Every section is closed: a key that we do not know is a mistake to be told, not to be ignored."""


class Globs(Closed, frozen=True):
    """Which keys: `include` then `exclude`; exclude wins. No include means none for metadata, all for fields."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


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
    """What is blotted out of arguments before anything leaves the process table."""

    presets: bool = True
    """Passwords, tokens, authorization headers and credentials in URLs."""
    patterns: tuple[str, ...] = ()
    """More RE2 patterns; every capture group is replaced by `*****`, the whole match where there is none."""


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


class FieldFilter(Closed, frozen=True):
    """Which attributes go on records of some event types; exclude wins, no include means all."""

    events: tuple[str, ...] = ("*",)
    """Globs of event types this filter is for; `span` is the process span."""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class Batch(Closed, frozen=True):
    """When a batch is sent: at the first of these limits."""

    max_records: Positive = 2000
    max_bytes: Positive = 3_500_000
    """Uncompressed; below the 4 MiB that gRPC servers take by default."""
    max_delay_seconds: Seconds = 0.2


class Queue(Closed, frozen=True):
    """What waits for the receiver."""

    max_bytes: Positive = 32 * 1024 * 1024
    """Encoded payloads in memory; beyond it the oldest is dropped and counted."""
    retry_initial_seconds: Seconds = 0.5
    retry_max_seconds: Seconds = 30.0
    shutdown_seconds: Seconds = 5.0
    """How long the end waits for what is still queued."""


class SinkBase(Closed, frozen=True, tag_field="type"):
    """What every sink has: its choice of events and fields, its batches and its queue."""

    events: Globs = Globs()
    """Event types by glob; no include means all."""
    fields: tuple[FieldFilter, ...] = ()
    batch: Batch = Batch()
    queue: Queue = Queue()

    def __post_init__(self) -> None:
        """Refuse a queue that would drop every full batch."""
        if self.queue.max_bytes < self.batch.max_bytes:
            raise ValueError(
                f"queue.max_bytes is {self.queue.max_bytes}, less than batch.max_bytes, which is "
                f"{self.batch.max_bytes}: a full batch could never be queued (raise the first or lower the second)"
            )


class OtlpHttp(SinkBase, frozen=True, tag="otlp_http"):
    """OTLP over HTTP, protobuf. Unset settings honour OTEL_EXPORTER_OTLP_*."""

    endpoint: str | None = None
    """Base URL; `/v1/logs` and `/v1/traces` are appended. Default http://localhost:4318."""
    headers: dict[str, str] = {}
    compression: Literal["gzip", "none"] | None = None
    """Default gzip."""
    timeout_seconds: Seconds | None = None
    """Of one request. Default 10."""
    certificate: str | None = None
    """A CA file (PEM) to trust instead of the system's."""
    client_certificate: str | None = None
    client_key: str | None = None
    spans: bool = True
    """Also send a span for each process life."""


class FluentForward(SinkBase, frozen=True, tag="fluent_forward"):
    """Fluent Forward, PackedForward mode with acknowledged chunks: Fluentd, Fluent Bit, the Collector's receiver."""

    host: Text = "localhost"
    port: Annotated[int, msgspec.Meta(gt=0, lt=65536)] = 24224
    tag: str = "podwitness"
    """Tag of the records: this, a dot and the event type."""
    timeout_seconds: Seconds = 10.0
    """To connect, and of one write."""
    ack_timeout_seconds: Seconds = 60.0
    """Until the receiver's ack; then the chunk is sent again."""


class File(SinkBase, frozen=True, tag="file"):
    """OTLP JSON lines in a file, as the Collector's otlp_json_file receiver reads them; rotated by size, mode 0600."""

    path: Text = "/var/log/podwitness/events.jsonl"
    spans_path: Text | None = None
    """A second file for process spans (one signal a file); none: no spans."""
    max_bytes: Positive = 100 * 1024 * 1024
    """Of one file; then it is renamed to `.1`, `.1` to `.2` and so on."""
    backups: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 5


class Stdout(SinkBase, frozen=True, tag="stdout"):
    """Lines in the terminal, for people: `🚀 process default/xwing /usr/bin/curl …`."""

    timestamps: bool = False


Sink = OtlpHttp | FluentForward | File | Stdout


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
    kubernetes: Kubernetes = Kubernetes()
    process: Process = Process()
    redaction: Redaction = Redaction()
    telemetry: Telemetry = Telemetry()


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
