"""Where and how to send OTLP: the settings of one sink, completed by OTEL_EXPORTER_OTLP_*.

`OtlpHttp` and `OtlpGrpc` ask once for each signal, at start. A setting wins over the environment; a variable of the
signal (`OTEL_EXPORTER_OTLP_LOGS_HEADERS`) wins as a whole over the general one
(`OTEL_EXPORTER_OTLP_HEADERS`); an empty variable is an unset one. Rules: OpenTelemetry specification,
protocol/exporter.md. Where it lets an exporter ignore what it cannot read, we refuse to start: nobody
should find a mistyped Authorization header by its absence.
"""

import logging
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import msgspec

from exporter import config, urls
from exporter.errors import ConfigError
from exporter.model import Signal
from exporter.sink import otlp_headers, otlp_response

log = logging.getLogger("podwitness.sink")

DEFAULT_TIMEOUT = 10.0
GRPC_HINT = "write it as https://host:4317, or http://host:4317 for no TLS"

Settings = config.OtlpHttp | config.OtlpGrpc


class Protocol(NamedTuple):
    """One way to speak OTLP: its name in OTEL_EXPORTER_OTLP_PROTOCOL, and its defaults."""

    name: str
    endpoint: str
    compression: str


HTTP = Protocol("http/protobuf", "http://localhost:4318", "gzip")
GRPC = Protocol("grpc", "http://localhost:4317", "none")
"""No compression, as the specification has it: `otlp_grpc` says what it would cost."""


class Destination(NamedTuple):
    """All that a request of one signal needs to know; no `tls` means none."""

    url: str
    headers: dict[str, str]
    gzip: bool
    timeout: float
    tls: config.Tls | None

    @property
    def endpoint(self) -> str:
        """The URL for the log: a query can hold a key."""
        return self.url.partition("?")[0]

    @property
    def target(self) -> str:
        """Host and port, as gRPC wants them."""
        return urlsplit(self.url).netloc


class _Environment:
    """OTEL_EXPORTER_OTLP_* as one signal sees it."""

    def __init__(self, environ: Mapping[str, str], signal: Signal) -> None:
        self._environ, self._signal = environ, signal.upper()

    def of_signal(self, name: str) -> tuple[str, str | None]:
        """The signal's own variable: its name and what it holds."""
        variable = f"OTEL_EXPORTER_OTLP_{self._signal}_{name}"
        return variable, self._environ.get(variable, "").strip() or None

    def of_all(self, name: str) -> tuple[str, str | None]:
        """The variable for all signals."""
        variable = f"OTEL_EXPORTER_OTLP_{name}"
        return variable, self._environ.get(variable, "").strip() or None

    def get(self, name: str) -> tuple[str, str | None]:
        """The one that counts."""
        own = self.of_signal(name)
        return own if own[1] is not None else self.of_all(name)


def protocol(settings: Settings) -> Protocol:
    """Which protocol a sink with these settings speaks."""
    return GRPC if isinstance(settings, config.OtlpGrpc) else HTTP


def signals(settings: Settings) -> tuple[Signal, ...]:
    """What a sink with these settings sends."""
    return ("logs", "traces") if settings.spans else ("logs",)


def destinations(settings: Settings, environ: Mapping[str, str]) -> dict[Signal, Destination]:
    """Where all that the sink sends goes; a variable that asks for another protocol is ignored aloud.

    Raises:
        ConfigError: as `destination`.
    """
    for asked in ignored_protocols(settings, environ):
        sink, spoken = settings.__struct_config__.tag, protocol(settings).name
        log.warning("%s is ignored: an %s sink speaks %s", otlp_response.printable(asked), sink, spoken)
    return {signal: destination(settings, environ, signal) for signal in signals(settings)}


def check_tls(settings: Settings, environ: Mapping[str, str]) -> None:
    """Raise ConfigError for settings of TLS that no endpoint of the sink would use."""
    given = [name for name, value in msgspec.structs.asdict(settings.tls).items() if value is not None]
    endpoints = (settings.endpoint, *settings.fallback_endpoints)
    ways = [msgspec.structs.replace(settings, endpoint=endpoint) for endpoint in endpoints]
    if given and all(destination(way, environ, signal).tls is None for way in ways for signal in signals(way)):
        where, hint = f"tls.{given[0]}", "write https:// for TLS, or leave tls out"
        raise ConfigError("is set, and no endpoint of this sink has TLS", where=where, hint=hint)


def destination(settings: Settings, environ: Mapping[str, str], signal: Signal) -> Destination:
    """Where records of `signal` go.

    Raises:
        ConfigError: a setting or variable that cannot be used; `where` names it.
    """
    environment = _Environment(environ, signal)
    grpc = isinstance(settings, config.OtlpGrpc)
    url = _grpc_url(settings, environment) if grpc else _http_url(settings, environment, signal)
    return Destination(
        url=url,
        headers=_headers(settings, environment),
        gzip=_gzip(settings, environment),
        timeout=_timeout(settings, environment),
        tls=_tls(settings.tls, environment) if url.startswith("https:") else None,
    )


def ignored_protocols(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """`VARIABLE=value` of each variable that asks for another protocol than the one this sink speaks."""
    asked = dict(_Environment(environ, signal).get("PROTOCOL") for signal in signals(settings))
    return [f"{variable}={value}" for variable, value in asked.items() if value not in (None, protocol(settings).name)]


def _http_url(settings: Settings, environment: _Environment, signal: Signal) -> str:
    """A base endpoint gets the signal's path, a signal's own endpoint is taken as it is."""
    variable, own = environment.of_signal("ENDPOINT")
    if settings.endpoint is None and own is not None:
        return _url(own, variable, urls.HINT)._replace(fragment="").geturl()
    variable, base = environment.of_all("ENDPOINT")
    if settings.endpoint is not None:
        variable, base = "endpoint", settings.endpoint
    parts = _url(base or HTTP.endpoint, variable, urls.HINT)
    return parts._replace(path=f"{parts.path.rstrip('/')}/v1/{signal}", fragment="").geturl()


def _grpc_url(settings: Settings, environment: _Environment) -> str:
    """`http://HOST:PORT` or `https://HOST:PORT`; without a scheme it is TLS unless OTEL_EXPORTER_OTLP_INSECURE."""
    variable, text = environment.get("ENDPOINT")
    if settings.endpoint is not None:
        variable, text = "endpoint", settings.endpoint
    text = text or GRPC.endpoint
    if "://" not in text:
        if not re.search(r":[0-9]+$", text):
            raise ConfigError("is no host and port", where=variable, hint=GRPC_HINT)
        text = f"{'http' if _insecure(environment) else 'https'}://{text}"
    parts = _url(text, variable, GRPC_HINT)
    if parts.path != "/" or parts.query or parts.fragment:
        raise ConfigError("has a path, which gRPC has no use for", where=variable, hint=GRPC_HINT)
    port = "" if parts.port else {"http": ":80", "https": ":443"}[parts.scheme]  # gRPC would take 443 for both
    return f"{parts.scheme}://{parts.netloc.rstrip(':')}{port}"


def _insecure(environment: _Environment) -> bool:
    variable, text = environment.get("INSECURE")
    if (text or "false").lower() not in ("true", "false"):
        raise ConfigError("is neither true nor false", where=variable)
    return (text or "").lower() == "true"


def _tls(tls: config.Tls, environment: _Environment) -> config.Tls:
    """Our certificate and its key belong together: both are of the settings, or both of the environment."""
    tls = msgspec.structs.replace(tls, ca_file=tls.ca_file or environment.get("CERTIFICATE")[1])
    if tls.certificate_file or tls.key_file:
        return tls
    own, key = (environment.get(name)[1] for name in ("CLIENT_CERTIFICATE", "CLIENT_KEY"))
    return msgspec.structs.replace(tls, certificate_file=own, key_file=key)


def _url(url: str, where: str, hint: str) -> SplitResult:
    """`url` taken apart, with `/` for no path.

    The URL itself stays out of the errors about passwords: they end in logs.
    """
    try:
        parts = urls.split(url)
    except ValueError as error:
        raise ConfigError(str(error), where=where, hint=hint) from error
    if "@" in parts.netloc:
        raise ConfigError("holds a user name or password", where=where, hint="send them in headers")
    return parts._replace(path=parts.path or "/")


def _headers(settings: Settings, environment: _Environment) -> dict[str, str]:
    where, text = environment.get("HEADERS")
    pairs = list(settings.headers.items())
    if pairs:
        where = "headers"
    elif text:
        pairs = otlp_headers.listed(text, where)
    return otlp_headers.checked(pairs, where, grpc=isinstance(settings, config.OtlpGrpc))


def _gzip(settings: Settings, environment: _Environment) -> bool:
    variable, text = environment.get("COMPRESSION")
    chosen = settings.compression or text or protocol(settings).compression
    if chosen not in ("gzip", "none"):
        raise ConfigError("is an unknown compression", where=variable, hint="gzip or none")
    return chosen == "gzip"


def _timeout(settings: Settings, environment: _Environment) -> float:
    """In seconds; the environment counts milliseconds."""
    variable, text = environment.get("TIMEOUT")
    if settings.timeout_seconds is not None or text is None:
        return settings.timeout_seconds or DEFAULT_TIMEOUT
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) == 0:
        raise ConfigError("is no number of milliseconds", where=variable, hint="10000 is ten seconds")
    return int(text) / 1000
