"""Which transport a sink's settings ask for, and what it writes; asked once for each sink, at start or for `check`.

Receivers on a network are behind a `Failover`, one transport for each endpoint, also where there is one only.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import msgspec

from exporter import config
from exporter.errors import ConfigError
from exporter.sink import file
from exporter.sink.failover import Failover
from exporter.sink.file import File
from exporter.sink.fluent_forward import FluentForward
from exporter.sink.otlp_environment import check_tls
from exporter.sink.otlp_http import OtlpHttp
from exporter.sink.split import Wire
from exporter.sink.stdout import Stdout
from exporter.sink.transport import Transport

Networked = config.OtlpHttp | config.OtlpGrpc | config.FluentForward


def wire(settings: config.Sink) -> Wire:
    """The format of the sink's payloads: what was queued in one is nothing that a sink of another could send."""
    match settings:
        case config.OtlpHttp() | config.OtlpGrpc():
            return "otlp"
        case config.FluentForward():
            return "fluent"
        case config.File():
            return "otlp_json"
        case config.Stdout():
            return "text"


def open_transport(settings: config.Sink, *, environ: Mapping[str, str], version: str) -> Transport:
    """The transport for `settings`; nothing is sent yet.

    Raises:
        ConfigError: settings or environment that cannot be used; `where` is relative to the sink.
    """
    match settings:
        case config.File():
            return File(settings)
        case config.Stdout():
            return Stdout()
        case _:
            return Failover(list(_ways(settings, environ, version)), settings.queue)


def check_transport(settings: config.Sink, *, environ: Mapping[str, str], version: str) -> None:
    """Raise what `open_transport` would; makes no file."""
    if isinstance(settings, config.File):
        file.check(settings)
    else:
        open_transport(settings, environ=environ, version=version).close()


def _ways(settings: Networked, environ: Mapping[str, str], version: str) -> Iterator[Transport]:
    """One transport for each endpoint, the preferred first."""
    if isinstance(settings, config.FluentForward):
        yield FluentForward(settings, (settings.host, settings.port))
    else:
        yield _otlp(settings, environ, version)
    for number, endpoint in enumerate(settings.fallback_endpoints):
        try:
            if isinstance(settings, config.FluentForward):
                yield FluentForward(settings, _host_and_port(endpoint))
            else:
                yield _otlp(msgspec.structs.replace(settings, endpoint=endpoint), environ, version)
        except ConfigError as error:
            error.where = f"fallback_endpoints[{number}]" if error.where == "endpoint" else error.where
            raise
    if not isinstance(settings, config.FluentForward):
        check_tls(settings, environ)


def _otlp(settings: config.OtlpHttp | config.OtlpGrpc, environ: Mapping[str, str], version: str) -> Transport:
    if isinstance(settings, config.OtlpHttp):
        return OtlpHttp(settings, environ=environ, version=version)
    from exporter.sink.otlp_grpc import OtlpGrpc  # 15 MB of memory: only who asks for it has it

    return OtlpGrpc(settings, environ=environ, version=version)


def _host_and_port(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        if parts.hostname and parts.port and parts.netloc == text and "@" not in text:
            return parts.hostname, parts.port
    except ValueError:  # a port that is no number, a bracket that does not close
        pass
    raise ConfigError("is no host and port", where="endpoint", hint="write it as host:24224 or [2001:db8::1]:24224")
