"""The command line: `podwitness run | check | record | replay`.

Errors of ours are printed as one line on stderr, exit code 1 (2 for wrong usage, as click has it). On SIGINT and
SIGTERM the agent drains and sends what it has, then says in one line what became of the events.
"""

import logging
import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click

from exporter import __version__, commands, config, probes
from exporter.channel import check_sink
from exporter.errors import PodwitnessError
from exporter.shape import redact
from exporter.telemetry import Ledger

P = ParamSpec("P")

CONFIG = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, readable=False),
    default=Path("/etc/podwitness/config.yaml"),
    show_default=True,
    help="The settings file.",
)
DURATION = click.option("--duration", type=click.FloatRange(min=0, min_open=True), help="Stop after this many seconds.")


def told(command: Callable[P, None]) -> Callable[P, None]:
    """Print our errors as a line, not as a traceback."""

    @wraps(command)
    def run_command(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except PodwitnessError as error:
            raise click.ClickException(str(error)) from error

    return run_command


@click.group()
@click.version_option(__version__)
def main() -> None:
    """Tell what every process in every pod on this node does, to OpenTelemetry and Fluentd."""
    logging.basicConfig(format="podwitness: %(levelname)s: %(message)s", level=logging.INFO, stream=sys.stderr)


@main.command()
@CONFIG
@DURATION
@told
def run(path: Path, duration: float | None) -> None:
    """Watch this node and send what happens to the sinks of the settings file."""
    settings = config.load(path)
    _summarize(commands.run(settings, _stop_on_signal(), where=str(path), duration=duration))


@main.command()
@CONFIG
@told
def check(path: Path) -> None:
    """Check a settings file as `run` would, without starting anything; the kernel and the cluster are not asked."""
    settings = config.load(path)
    redact.compile(settings.redaction, where=f"{path}: redaction")
    for name, sink in settings.sinks.items():
        check_sink(sink, probes.KINDS, where=f"{path}: sinks.{name}")
    names = ", ".join(settings.sinks)
    click.echo(f"{path}: ok, sinks: {names}" if names else f"{path}: ok, but it has no sinks")


@main.command()
@CONFIG
@DURATION
@click.option("--output", type=click.Path(path_type=Path), required=True, help="A new file; it will hold secrets.")
@told
def record(path: Path, duration: float | None, output: Path) -> None:
    """Write what the kernel says to a file, for `replay`."""
    settings = config.load(path)
    count = commands.record(settings, output, _stop_on_signal(), duration)
    click.echo(
        f"podwitness: {count} samples in {output}; it holds arguments as they were, secrets included",
        err=True,
    )


@main.command()
@CONFIG
@click.argument("recording", type=click.Path(path_type=Path, readable=False))
@told
def replay(path: Path, recording: Path) -> None:
    """Send a recording through the whole pipeline; needs no root."""
    _summarize(commands.replay(config.load(path), recording, _stop_on_signal(), where=str(path)))


def _stop_on_signal() -> threading.Event:
    """Set by the first SIGINT or SIGTERM; a second one ends the process at once."""
    stop = threading.Event()

    def begin_to_stop(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, begin_to_stop)
    return stop


def _summarize(ledger: Ledger) -> None:
    click.echo(f"podwitness: {ledger.summary()}", err=True)


if __name__ == "__main__":
    main()
