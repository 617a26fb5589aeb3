"""Which transport a sink's settings ask for; a channel asks once for each sink, at start or for `check`."""

from collections.abc import Mapping

from exporter import config
from exporter.sink import file
from exporter.sink.delivery import Transport
from exporter.sink.file import File
from exporter.sink.fluent_forward import FluentForward
from exporter.sink.otlp_http import OtlpHttp
from exporter.sink.stdout import Stdout


def open_transport(settings: config.Sink, *, environ: Mapping[str, str], version: str) -> Transport:
    """The transport for `settings`; nothing is sent yet.

    Raises:
        ConfigError: settings or environment that cannot be used; `where` is relative to the sink.
    """
    match settings:
        case config.OtlpHttp():
            return OtlpHttp(settings, environ=environ, version=version)
        case config.FluentForward():
            return FluentForward(settings)
        case config.File():
            return File(settings)
        case config.Stdout():
            return Stdout()


def check_transport(settings: config.Sink, *, environ: Mapping[str, str], version: str) -> None:
    """Raise what `open_transport` would; makes no file."""
    if isinstance(settings, config.File):
        file.check(settings)
    else:
        open_transport(settings, environ=environ, version=version).close()
