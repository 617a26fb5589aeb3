"""OTLP over gRPC: one unary call for each payload, its bytes as the encoder made them.

Called by the sink's `Outbox`. Codes mean what the OTLP specification 1.11 says: RETRYABLE ones and no answer at all
mean "again", RESOURCE_EXHAUSTED with a RetryInfo too, and without it "too large"; everything else is final.

Compression, in CPU µs for 1,000 records (951 kB, by isal 148 kB): a call with grpcio's own gzip 10,200, without 480;
isal's gzip 990, its opposite 1,020; the spool's transaction 2,310 for the plain bytes, 550 for the compressed.
grpcio has no public way to send what is already compressed. So payloads wait compressed, are uncompressed for the
call, and go uncompressed unless the user asks for gzip. Waiting uncompressed would save 250 with a spool and 2,000
without, but a sixth as much fits into the queue and six times as much goes to disk. Where the network is dearer than
the CPU use otlp_http: it sends what isal made, for 320.

One connection for each signal. It is given up after `reconnect_seconds` and each failure, so that the name is looked up
again; gRPC's own retries and keepalive pings are off. A proxy in `https_proxy` is used, which is gRPC's own doing.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter import config
from exporter.errors import ConfigError
from exporter.model import Delivery, Payload, Signal
from exporter.sink import otlp_response, tls
from exporter.sink.gzipped import plain
from exporter.sink.otlp_environment import Destination, destinations

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it would write to stderr past our log; read when it is imported
import grpc

METHODS: dict[Signal, str] = {
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
}
RETRYABLE = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
MAX_RESPONSE_BYTES = 4 * 1024 * 1024
NO_STATUS = ("Stream removed", "Received RST_STREAM", "No status received")
"""How gRPC's core begins to tell, under the codes INTERNAL, UNKNOWN and others, that the peer never sent a status."""
TOO_LARGE = "message length too large"
"""How tonic (Rust: Vector, rotel) says it, under the code OUT_OF_RANGE: sent again as it is, it would never end."""
_NOISE = "failed to connect to all addresses; last error: "
_NO_TLS = ("WRONG_VERSION_NUMBER", "Handshake read failed")
"""How a TLS handshake with a receiver that has no TLS ends: it answers something else, or hangs up."""


class OtlpGrpc:
    """The way to one OTLP/gRPC receiver.

    Args:
        settings: the sink's settings.
        environ: the agent's environment, for OTEL_EXPORTER_OTLP_*.
        version: of podwitness, for the User-Agent.

    Raises:
        ConfigError: an endpoint, header, timeout, compression or TLS file that cannot be used.
    """

    gzip = True

    def __init__(self, settings: config.OtlpGrpc, *, environ: Mapping[str, str], version: str) -> None:
        to = destinations(settings, environ)
        self._calls = {signal: _Call(signal, to[signal], settings.reconnect_seconds, version) for signal in to}
        self.endpoint = self._calls["logs"].endpoint

    def send(self, payload: Payload) -> Delivery:
        """One call; blocks up to the timeout."""
        return self._calls[payload.signal].send(payload)

    def close(self) -> None:
        """Close the connections."""
        for call in self._calls.values():
            call.close()


class _Call:
    """One signal's method with its connection."""

    def __init__(self, signal: Signal, to: Destination, reconnect_seconds: float, version: str) -> None:
        self._signal, self._to, self._reconnect_seconds = signal, to, reconnect_seconds
        self.endpoint = to.endpoint
        self._credentials = tls.Renewed(to.tls, _credentials) if to.tls else None
        headers = dict(to.headers)
        agent = headers.pop("user-agent", f"podwitness/{version} OTel-OTLP-Exporter-Python/{version}")
        self._metadata = [(k, v.encode() if k.endswith("-bin") else v) for k, v in headers.items()]
        self._options = [
            ("grpc.primary_user_agent", agent),
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),  # else a new channel would get the old connection
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.max_send_message_length", -1),  # `batch.max_bytes` bounds it
            ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
        ]
        if to.tls and to.tls.server_name:
            self._options.append(("grpc.ssl_target_name_override", to.tls.server_name))
        self._channel: Any = None
        self._export: Any = None
        self._generation, self._until = 0, 0.0  # of the channel: its credentials, when it is too old

    def send(self, payload: Payload) -> Delivery:
        try:
            data = plain(payload)
        except ValueError as error:
            return Delivery("refused", str(error))
        self._connect()
        try:
            body = self._export(data, timeout=self._to.timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            delivery = _failure(error)
        else:
            delivery = otlp_response.accepted(self._signal, body, "application/grpc")
        if delivery.outcome == "retry":
            self.close()
        return delivery

    def _connect(self) -> None:
        """A channel that is not too old and has the credentials in force; it connects with the first call."""
        credentials, generation = self._credentials.current() if self._credentials else (None, 0)
        if self._channel and generation == self._generation and time.monotonic() < self._until:
            return
        self.close()
        self._generation, self._until = generation, time.monotonic() + self._reconnect_seconds
        how = {"options": self._options, "compression": grpc.Compression.Gzip if self._to.gzip else None}
        if credentials is None:
            self._channel = grpc.insecure_channel(self._to.target, **how)
        else:
            self._channel = grpc.secure_channel(self._to.target, credentials, **how)
        self._export = self._channel.unary_unary(METHODS[self._signal])

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _failure(error: Any) -> Delivery:
    """What a call that failed means; `error` is gRPC's, with code, details and the trailing metadata."""
    code, details = error.code(), error.details() or ""
    text = otlp_response.printable(details.removeprefix(_NOISE))
    reason = f"gRPC {code.name}: {text}" if text else f"gRPC {code.name}"
    if details.startswith(_NOISE) and any(sign in details for sign in _NO_TLS):
        reason += "; write http:// for a receiver without TLS"
    trailers = dict(error.trailing_metadata() or ())
    delay = otlp_response.retry_delay(trailers.get("grpc-status-details-bin", b""))
    if TOO_LARGE in text and delay is None:
        return Delivery("too_large", reason)
    if code in RETRYABLE or text.startswith(NO_STATUS):
        return Delivery("retry", reason, delay=delay)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Delivery("too_large", reason) if delay is None else Delivery("retry", reason, delay=delay)
    return Delivery("refused", reason)


def _credentials(files: config.Tls) -> Any:
    """Channel credentials of the files; what is wrong with them gRPC would tell with the first handshake only."""
    tls.context(files)
    ca, own, key = files.ca_file or tls.system_cas(), files.certificate_file, files.key_file or files.certificate_file
    try:
        return grpc.ssl_channel_credentials(*(Path(file).read_bytes() if file else None for file in (ca, key, own)))
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be read: {error.strerror}", where="tls") from error
