"""OTLP over HTTP: one POST of protobuf for each payload, over connections that stay open.

Called by the sink's `Outbox`. Answers mean what the OTLP specification 1.11 says: 200 with a partial
success is accepted but for the rejected records; 429, 502, 503, 504 and no answer at all mean "again", with
Retry-After where given; 413 "too large"; everything else is final. Loki's 204 without a body is a success too, its 260
(ingestion blocked) is not. A redirect is not followed: the records would go where nobody configured them to.

A connection is given up after `reconnect_seconds` and each failure, so that the name is looked up again. HTTP
proxies (`HTTPS_PROXY`) are not used.
"""

import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import urllib3

from exporter import config
from exporter.model import Delivery, Payload, Signal
from exporter.sink import otlp_response
from exporter.sink.gzipped import plain
from exporter.sink.otlp_environment import Destination, destinations
from exporter.sink.tls import Contexts

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

RETRYABLE = frozenset({429, 502, 503, 504})
MAX_RESPONSE_BYTES = 4 * 1024 * 1024
TOO_LARGE = "http: request body too large"
"""How Go's servers, the Collector among them, say it; under the code 400."""
PERHAPS_STORED = "fewer may be lost than counted: Loki stores those that are valid"
"""After a 400."""


class OtlpHttp:
    """The way to one OTLP/HTTP receiver.

    Args:
        settings: the sink's settings.
        environ: the agent's environment, for OTEL_EXPORTER_OTLP_*.
        version: of podwitness, for the User-Agent.

    Raises:
        ConfigError: an endpoint, header, timeout, compression or TLS file that cannot be used.
    """

    def __init__(self, settings: config.OtlpHttp, *, environ: Mapping[str, str], version: str) -> None:
        to = destinations(settings, environ)
        self._channels = {signal: _Channel(to[signal], settings.reconnect_seconds, version) for signal in to}
        self.endpoint = to["logs"].endpoint
        self.gzip = any(destination.gzip for destination in to.values())

    def send(self, payload: Payload) -> Delivery:
        """One request; blocks up to the timeout."""
        return self._channels[payload.signal].send(payload)

    def close(self) -> None:
        """Close the connections."""
        for channel in self._channels.values():
            channel.close()


class _Channel:
    """One signal's destination with its connection."""

    def __init__(self, to: Destination, reconnect_seconds: float, version: str) -> None:
        self._to, self._reconnect_seconds = to, reconnect_seconds
        self._contexts = Contexts(to.tls) if to.tls else None
        # http.client writes headers as Latin-1; this makes the bytes on the wire UTF-8.
        custom = {name: value.encode().decode("latin-1") for name, value in to.headers.items()}
        self._headers = {
            "user-agent": f"podwitness/{version} OTel-OTLP-Exporter-Python/{version}",
            **custom,
            "content-type": "application/x-protobuf",
        }
        self._pool: urllib3.PoolManager | None = None
        self._generation, self._until = 0, 0.0  # of the pool: its TLS files, when its connection is too old

    def send(self, payload: Payload) -> Delivery:
        gzip = payload.gzip and self._to.gzip  # what waits in a spool can be older than the settings
        try:
            data = payload.data if gzip else plain(payload)
        except ValueError as error:
            return Delivery("refused", str(error))
        delivery = self._post(payload.signal, data, self._headers | ({"content-encoding": "gzip"} if gzip else {}))
        if delivery.outcome == "retry":
            self.close()
        return delivery

    def _post(self, signal: Signal, data: bytes, headers: dict[str, str]) -> Delivery:
        deadline = time.monotonic() + self._to.timeout
        try:
            response = self._connection().request(
                "POST",
                self._to.url,
                body=data,
                headers=headers,
                timeout=urllib3.Timeout(total=self._to.timeout),
                retries=False,  # nor redirects: both are for us to decide
                preload_content=False,
            )
            return _delivery(signal, response, _read(response, deadline))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Delivery("retry", f"no answer: {_cause(error)}")

    def _connection(self) -> urllib3.PoolManager:
        """A pool whose one connection is not too old and has the TLS files in force; it connects when it has to."""
        context, generation = self._contexts.current() if self._contexts else (None, 0)
        if self._pool and generation == self._generation and time.monotonic() < self._until:
            return self._pool
        self.close()
        self._generation, self._until = generation, time.monotonic() + self._reconnect_seconds
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1, ssl_context=context)
        if self._to.tls and self._to.tls.server_name:
            self._pool.connection_pool_kw["server_hostname"] = self._to.tls.server_name
        return self._pool

    def close(self) -> None:
        if self._pool is not None:
            self._pool.clear()
            self._pool = None


def _delivery(signal: Signal, response: "BaseHTTPResponse", body: bytes | None) -> Delivery:
    """What the answer means; `body` is None where it is longer than we read."""
    status = response.status
    if status == 200:
        return otlp_response.accepted(signal, body, response.headers.get("content-type", ""))
    if status == 204:
        return Delivery("accepted")
    reason = f"HTTP {status} {otlp_response.printable(response.reason or '')}".rstrip()
    if 300 <= status < 400 and "location" in response.headers:
        to = otlp_response.printable(response.headers["location"])
        return Delivery("refused", f"{reason}: redirects to {to}, which is not followed; set it as the endpoint")
    message = otlp_response.message(body or b"")
    reason = f"{reason}: {message}" if message else reason
    if status in RETRYABLE:
        return Delivery("retry", reason, delay=_retry_after(response))
    if status == 413 or (status == 400 and TOO_LARGE in message):
        return Delivery("too_large", reason)
    return Delivery("refused", f"{reason}; {PERHAPS_STORED}" if status == 400 else reason)


def _read(response: "BaseHTTPResponse", deadline: float) -> bytes | None:
    """The body as sent, or None beyond the limit; within the deadline also where it comes in drops.

    At its end urllib3 takes the connection back for the next request.
    """
    body = bytearray()
    try:
        while chunk := response.read1(64 * 1024, decode_content=False):
            body += chunk
            if len(body) > MAX_RESPONSE_BYTES:
                response.close()  # with the connection: the rest would come before the next answer
                return None
            if time.monotonic() > deadline:
                raise urllib3.exceptions.TimeoutError("the answer took too long")
    except (urllib3.exceptions.HTTPError, OSError):
        response.close()
        if response.status == 200:
            raise  # whether records were rejected is in the part that is missing
        return None
    return bytes(body)


def _retry_after(response: "BaseHTTPResponse") -> float | None:
    """Seconds from now for either form of Retry-After; None where it is neither.

    A date counts from the answer's own: our clock may be another, or jump.
    """
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    if (until := _seconds(text)) is None:
        return None
    now = _seconds(response.headers.get("date", ""))
    return max(0.0, until - (time.time() if now is None else now))


def _seconds(date: str) -> float | None:
    """Unix time of a date in a header."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _cause(error: BaseException) -> str:
    """The innermost reason, in words: urllib3 wraps the one that says something."""
    while True:
        inner = getattr(error, "reason", None) or error.__cause__ or _wrapped(error)
        if not isinstance(inner, BaseException) or inner is error:
            break
        error = inner
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the receiver's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    return otlp_response.printable(str(error)) or type(error).__name__


def _wrapped(error: BaseException) -> object:
    """ProtocolError("Connection aborted.", cause) keeps its cause as an argument."""
    return next((arg for arg in error.args if isinstance(arg, BaseException)), None)
