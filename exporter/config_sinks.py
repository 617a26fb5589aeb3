"""The settings of sinks: where records go, in which batches, and what waits for whom.

`config.py` has the rest of the file, and the names of both for everyone else.
"""

from typing import Annotated, Literal

import msgspec

from exporter.config_types import Age, Closed, Globs, Positive, Seconds, Text


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
    """Encoded payloads in memory; beyond it the oldest is dropped and counted, or, with a spool, is on disk only."""
    max_disk_bytes: Positive = 512 * 1024 * 1024
    """Encoded payloads in the spool; beyond it the oldest is dropped and counted."""
    max_age_seconds: Age = 7 * 86400.0
    """What is older is dropped and counted: Loki takes nothing that is older than a week."""
    retry_initial_seconds: Seconds = 0.5
    retry_max_seconds: Seconds = 30.0
    breaker_failures: Positive = 5
    """After so many in a row an endpoint is left alone for at most `retry_max_seconds`, then asked with one request."""
    max_resends: Positive = 5
    """Of a payload that was taken and never answered: then it is halved, and a single record dropped and counted."""
    shutdown_seconds: Seconds = 5.0
    """How long the end waits for what is still queued; what is in the spool by then stays there."""


class SinkBase(Closed, frozen=True, tag_field="type"):
    """What every sink has: its choice of events and fields, its batches and its queue."""

    events: Globs = Globs()
    """Event types by glob; no include means all. `agent.events_lost` is there unless it is excluded."""
    fields: tuple[FieldFilter, ...] = ()
    batch: Batch = Batch()
    queue: Queue = Queue()
    required: bool = True
    """Whether the agent is ready only while one of the required sinks delivers."""

    def __post_init__(self) -> None:
        """Refuse a queue that would drop every full batch."""
        if self.queue.max_bytes < self.batch.max_bytes:
            raise ValueError(
                f"queue.max_bytes is {self.queue.max_bytes}, less than batch.max_bytes, which is "
                f"{self.batch.max_bytes}: a full batch could never be queued (raise the first or lower the second)"
            )


class Tls(Closed, frozen=True):
    """TLS to a receiver; its certificate is always verified. The files are read again when they change."""

    ca_file: Text | None = None
    """CA certificates (PEM) to trust instead of the system's."""
    certificate_file: Text | None = None
    """Our own certificate (PEM), for receivers that ask for one."""
    key_file: Text | None = None
    """Its key (PEM), where it is not in the same file; not encrypted."""
    server_name: Text | None = None
    """The name the receiver's certificate must have, where it is not the host's."""


class Otlp(SinkBase, frozen=True):
    """What OTLP over HTTP and over gRPC share. Unset settings honour OTEL_EXPORTER_OTLP_*."""

    endpoint: str | None = None
    """Where to send; see the kinds of OTLP below."""
    fallback_endpoints: tuple[Text, ...] = ()
    """Where to send while `endpoint` fails, in this order; `endpoint` is tried again after a while."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    compression: Literal["gzip", "none"] | None = None
    """Of requests. Default gzip for otlp_http, none for otlp_grpc, whose gzip costs more than all else together."""
    timeout_seconds: Seconds | None = None
    """Of one request. Default 10."""
    tls: Tls = Tls()
    reconnect_seconds: Seconds = 300.0
    """A connection is not used for longer: names are looked up again, so that new addresses get their share."""
    spans: bool = True
    """Also send a span for each process life."""


class OtlpHttp(Otlp, frozen=True, tag="otlp_http"):
    """OTLP over HTTP, protobuf. `endpoint` is a base URL: `/v1/logs` and `/v1/traces` are appended.

    Default http://localhost:4318.
    """


class OtlpGrpc(Otlp, frozen=True, tag="otlp_grpc"):
    """OTLP over gRPC. `endpoint` is `https://HOST:PORT`, or `http://HOST:PORT` for no TLS.

    Default http://localhost:4317.
    """


class User(Closed, frozen=True):
    """Who we are to a Fluent receiver with user authentication."""

    name: Text
    password: Text
    """`${NAME}` takes it from the environment."""


class FluentForward(SinkBase, frozen=True, tag="fluent_forward"):
    """Fluent Forward, PackedForward mode with acknowledged chunks: Fluentd, Fluent Bit, the Collector's receiver."""

    host: Text = "localhost"
    port: Annotated[int, msgspec.Meta(gt=0, lt=65536)] = 24224
    fallback_endpoints: tuple[Text, ...] = ()
    """`HOST:PORT` of those to send to while the first fails, in this order."""
    tag: str = "podwitness"
    """Tag of the records: this, a dot and the event type."""
    compression: Literal["gzip", "none"] = "gzip"
    """Of the entries (CompressedPackedForward); receivers older than Fluentd 0.14 want `none`."""
    shared_key: Text | None = None
    """The receiver's `shared_key`; `${NAME}` takes it from the environment."""
    user: User | None = None
    hostname: Text | None = None
    """What we call ourselves in the handshake; none: this host's name. It must not be the receiver's own."""
    tls: Tls | None = None
    """TLS with these settings (`{}`: the system's CAs); none: no TLS."""
    timeout_seconds: Seconds = 10.0
    """To connect, and of one write."""
    ack_timeout_seconds: Seconds = 60.0
    """Until the receiver's ack; then the chunk is sent again."""
    reconnect_seconds: Seconds = 300.0
    """A connection is not used for longer: the name is looked up again."""


class File(SinkBase, frozen=True, tag="file"):
    """OTLP JSON lines in a file, as the Collector's otlp_json_file receiver reads them; rotated, mode 0600."""

    path: Text = "/var/log/podwitness/events.jsonl"
    spans_path: Text | None = None
    """A second file for process spans (one signal a file); none: no spans."""
    max_bytes: Positive = 100 * 1024 * 1024
    """Of one file; then it is renamed to `.1`, `.1` to `.2` and so on."""
    max_age_seconds: Age | None = None
    """Of a file since its first line; then it is renamed in the same way. None: rotated by size alone."""
    backups: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 5
    compress_backups: bool = False
    """Renamed files become `.1.gz` and so on."""


class Stdout(SinkBase, frozen=True, tag="stdout"):
    """Lines in the terminal, for people: `🚀 process default/xwing /usr/bin/curl …`."""

    timestamps: bool = False


Sink = OtlpHttp | OtlpGrpc | FluentForward | File | Stdout
