"""OTLP over HTTP: one POST of protobuf for each payload, over connections that stay open.

Called by the sink's `Outbox`. Answers mean what the OTLP specification 1.11 says: 200 with a partial
success is accepted but for the rejected records; 429, 502, 503, 504 and no answer at all mean "again", with
Retry-After where given; everything else is final. Loki's 204 without a body is a success too, its 260
(ingestion blocked) is not. A redirect is not followed: the records would go where nobody configured them to.
"""

import logging
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import urllib3
from isal import igzip

from exporter import config
from exporter.errors import ConfigError
from exporter.model import Delivery, Payload, Signal
from exporter.sink import otlp_response
from exporter.sink.otlp_environment import PROTOCOL, Destination, destination, ignored_protocols

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

log = logging.getLogger("podwitness.sink")

RETRYABLE = frozenset({429, 502, 503, 504})
MAX_RESPONSE_BYTES = 4 * 1024 * 1024


class OtlpHttp:
    """The way to one OTLP/HTTP receiver.

    Args:
        settings: the sink's settings.
        environ: the agent's environment, for OTEL_EXPORTER_OTLP_*.
        version: of podwitness, for the User-Agent.

    Raises:
        ConfigError: an endpoint, header, timeout, compression or certificate that cannot be used.
    """

    def __init__(self, settings: config.OtlpHttp, *, environ: Mapping[str, str], version: str) -> None:
        signals: tuple[Signal, ...] = ("logs", "traces") if settings.spans else ("logs",)
        for asked in ignored_protocols(environ, signals):
            log.warning("%s is ignored: an otlp_http sink speaks %s", otlp_response.printable(asked), PROTOCOL)
        self._channels = {signal: _Channel(destination(settings, environ, signal), version) for signal in signals}

    @property
    def endpoint(self) -> str:
        """Where log records go."""
        return self._channels["logs"].endpoint

    def send(self, payload: Payload) -> Delivery:
        """One request; blocks up to the timeout."""
        return self._channels[payload.signal].send(payload)

    def close(self) -> None:
        """Close the connections."""
        for channel in self._channels.values():
            channel.close()


class _Channel:
    """One signal's destination with its connection."""

    def __init__(self, to: Destination, version: str) -> None:
        self._to = to
        self.endpoint = to.endpoint
        context = _tls(to) if to.url.startswith("https:") else None
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1, ssl_context=context)
        # http.client writes headers as Latin-1; this makes the bytes on the wire UTF-8.
        custom = {name: value.encode().decode("latin-1") for name, value in to.headers.items()}
        self._headers = {
            "user-agent": f"podwitness/{version} OTel-OTLP-Exporter-Python/{version}",
            **custom,
            "content-type": "application/x-protobuf",
            **({"content-encoding": "gzip"} if to.gzip else {}),
        }
        self._compressed: tuple[Payload, bytes] | None = None

    def send(self, payload: Payload) -> Delivery:
        deadline = time.monotonic() + self._to.timeout
        try:
            response = self._pool.request(
                "POST",
                self._to.url,
                body=self._body(payload),
                headers=self._headers,
                timeout=urllib3.Timeout(total=self._to.timeout),
                retries=False,  # nor redirects: both are for us to decide
                preload_content=False,
            )
            delivery = _delivery(payload.signal, response, _read(response, deadline))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Delivery("retry", f"no answer: {_cause(error)}")
        if delivery.outcome != "retry":
            self._compressed = None
        return delivery

    def _body(self, payload: Payload) -> bytes:
        """What goes on the wire, compressed once however often it is sent."""
        if not self._to.gzip:
            return payload.data
        if self._compressed is None or self._compressed[0] is not payload:
            self._compressed = payload, igzip.compress(payload.data, 1)
        return self._compressed[1]

    def close(self) -> None:
        self._pool.clear()


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
        return Delivery("retry", reason, delay=_retry_after(response.headers.get("retry-after", "")))
    return Delivery("refused", reason)


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


def _retry_after(text: str) -> float | None:
    """Seconds from now for either form of Retry-After; None where it is neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
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


def _tls(to: Destination) -> ssl.SSLContext:
    """A context that always verifies; a file that is missing or no PEM is found at start."""
    try:
        context = ssl.create_default_context(cafile=to.certificate)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the CA file {to.certificate} cannot be used: {error}", where="certificate") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # Python 3.11 leaves that to the distribution
    if to.client_certificate is None and to.client_key is None:
        return context
    if to.client_certificate is None:
        raise ConfigError("is set without client_certificate", where="client_key")
    try:
        # An encrypted key would make OpenSSL ask on the terminal.
        context.load_cert_chain(to.client_certificate, to.client_key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        files = " and ".join(file for file in (to.client_certificate, to.client_key) if file)
        raise ConfigError(f"{files} cannot be used: {error}", where="client_certificate") from error
    return context
