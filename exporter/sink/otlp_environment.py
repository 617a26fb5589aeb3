"""Where and how to send OTLP: the settings of one sink, completed by OTEL_EXPORTER_OTLP_*.

`OtlpHttp` asks once for each signal, at start. A setting wins over the environment; a variable of the
signal (`OTEL_EXPORTER_OTLP_LOGS_HEADERS`) wins as a whole over the general one
(`OTEL_EXPORTER_OTLP_HEADERS`); an empty variable is an unset one. Rules: OpenTelemetry specification,
protocol/exporter.md. Where it lets an exporter ignore what it cannot read, we refuse to start: nobody
should find a mistyped Authorization header by its absence.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, unquote_to_bytes

from exporter import config, urls
from exporter.errors import ConfigError
from exporter.model import Signal

DEFAULT_ENDPOINT = "http://localhost:4318"
DEFAULT_TIMEOUT = 10.0
PROTOCOL = "http/protobuf"
OURS = frozenset({"content-type", "content-encoding", "content-length", "transfer-encoding"})
"""Headers that say what the body is; nobody else may."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Destination(NamedTuple):
    """All that a request of one signal needs to know."""

    url: str
    headers: dict[str, str]
    gzip: bool
    timeout: float
    certificate: str | None
    client_certificate: str | None
    client_key: str | None

    @property
    def endpoint(self) -> str:
        """The URL for the log: a query can hold a key."""
        return self.url.partition("?")[0]


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


def destination(settings: config.OtlpHttp, environ: Mapping[str, str], signal: Signal) -> Destination:
    """Where records of `signal` go.

    Raises:
        ConfigError: a setting or variable that cannot be used; `where` names it.
    """
    environment = _Environment(environ, signal)
    return Destination(
        url=_url(settings, environment, signal),
        headers=_headers(settings, environment),
        gzip=_gzip(settings, environment),
        timeout=_timeout(settings, environment),
        certificate=settings.certificate or environment.get("CERTIFICATE")[1],
        client_certificate=settings.client_certificate or environment.get("CLIENT_CERTIFICATE")[1],
        client_key=settings.client_key or environment.get("CLIENT_KEY")[1],
    )


def ignored_protocols(environ: Mapping[str, str], signals: Iterable[Signal]) -> list[str]:
    """`VARIABLE=value` of each variable that asks for another protocol than the one we speak."""
    asked = dict(_Environment(environ, signal).get("PROTOCOL") for signal in signals)
    return [f"{variable}={value}" for variable, value in asked.items() if value not in (None, PROTOCOL)]


def _url(settings: config.OtlpHttp, environment: _Environment, signal: Signal) -> str:
    """A base endpoint gets the signal's path, a signal's own endpoint is taken as it is."""
    variable, own = environment.of_signal("ENDPOINT")
    if settings.endpoint is None and own is not None:
        return _http(own, variable)._replace(fragment="").geturl()
    variable, base = environment.of_all("ENDPOINT")
    if settings.endpoint is not None:
        variable, base = "endpoint", settings.endpoint
    parts = _http(base or DEFAULT_ENDPOINT, variable)
    return parts._replace(path=f"{parts.path.rstrip('/')}/v1/{signal}", fragment="").geturl()


def _http(url: str, where: str) -> SplitResult:
    """`url` taken apart, with `/` for no path.

    The URL itself stays out of the errors about passwords: they end in logs.
    """
    try:
        parts = urls.split(url)
    except ValueError as error:
        raise ConfigError(str(error), where=where, hint=urls.HINT) from error
    if "@" in parts.netloc:
        raise ConfigError("holds a user name or password", where=where, hint="send them in headers")
    return parts._replace(path=parts.path or "/")


def _headers(settings: config.OtlpHttp, environment: _Environment) -> dict[str, str]:
    where, text = environment.get("HEADERS")
    pairs = list(settings.headers.items())
    if pairs:
        where = "headers"
    elif text:
        pairs = [_pair(member, where) for member in text.split(",") if member.strip()]
    return dict(_header(name, value, where) for name, value in pairs)


def _pair(member: str, where: str) -> tuple[str, str]:
    """One `key=value` of W3C baggage: the value is percent-encoded UTF-8, the key a token."""
    name, equals, value = member.partition("=")
    if not equals:
        raise ConfigError("is no list of name=value", where=where, hint="percent-encode commas in values")
    try:
        return name.strip(), unquote_to_bytes(value.strip()).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"the value of {name.strip()} is not UTF-8 when decoded", where=where) from error


def _header(name: str, value: str, where: str) -> tuple[str, str]:
    if not _TOKEN.fullmatch(name):
        raise ConfigError("has a name that no header can have", where=where)
    if _CONTROL.search(value):
        raise ConfigError(f"the value of {name} has control characters", where=where)
    if name.lower() in OURS:
        raise ConfigError(f"{name} cannot be set", where=where, hint="podwitness sets it for each request")
    return name.lower(), value.strip()


def _gzip(settings: config.OtlpHttp, environment: _Environment) -> bool:
    variable, text = environment.get("COMPRESSION")
    chosen = settings.compression or text or "gzip"
    if chosen not in ("gzip", "none"):
        raise ConfigError("is an unknown compression", where=variable, hint="gzip or none")
    return chosen == "gzip"


def _timeout(settings: config.OtlpHttp, environment: _Environment) -> float:
    """In seconds; the environment counts milliseconds."""
    variable, text = environment.get("TIMEOUT")
    if settings.timeout_seconds is not None or text is None:
        return settings.timeout_seconds or DEFAULT_TIMEOUT
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) == 0:
        raise ConfigError("is no number of milliseconds", where=variable, hint="10000 is ten seconds")
    return int(text) / 1000
