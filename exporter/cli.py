"""The command line: `podwitness run | check | record | replay | probes`.

Errors of ours are printed as one line on stderr, exit code 1 (2 for wrong usage, as click has it). On SIGINT,
SIGTERM and SIGHUP the agent drains and sends what it has, then says in one line what became of the events.
"""

import contextlib
import os
import signal

with contextlib.suppress(ValueError):  # imported in a thread: then an interrupt is not for us
    # First of all: one that comes while the rest is imported is quiet, until a command has begun what it must end.
    signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))

import math
import sys
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click

from exporter import __version__, commands, config
from exporter.agent import signer_of
from exporter.channel import check_sink, check_sinks
from exporter.errors import PodwitnessError
from exporter.keeping import check_keeping
from exporter.probes import TOLD
from exporter.shape import redact
from exporter.telemetry import Ledger, log_to_stderr

P = ParamSpec("P")

DEFAULT = Path("/etc/podwitness/config.yaml")

CONFIG = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, readable=False),
    default=DEFAULT,
    show_default=True,
    help="The settings file.",
)


def finite(_context: click.Context, _option: click.Parameter, value: float | None) -> float | None:
    """Refuse what no clock reaches; click's range lets `nan` and `inf` through."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is no number of seconds.")
    return value


DURATION = click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    callback=finite,
    help="Stop after this many seconds.",
)


def told(command: Callable[P, None]) -> Callable[P, None]:
    """Print our errors as a line, not as a traceback."""

    @wraps(command)
    def run_command(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except PodwitnessError as error:
            raise click.ClickException(str(error)) from error

    return run_command


class UnusableError(click.ClickException):
    """An error of `verify`, whose exit code 1 says that records are missing."""

    exit_code = 2


@click.group()
@click.version_option(__version__)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What of the own log goes to stderr; `debug` has all that the kernel says of a probe it refuses.",
)
def main(log_level: str) -> None:
    """Tell what every process in every pod on this node does, to OpenTelemetry and Fluentd."""
    log_to_stderr(log_level.upper())


@main.command()
@CONFIG
@DURATION
@told
def run(path: Path, duration: float | None) -> None:
    """Watch this node and send what happens to the sinks of the settings file."""
    stop = _stop_on_signal("podwitness: sending what is left; again to end at once\n")
    _summarize(commands.run(_settings(path), stop, where=str(path), duration=duration))


@main.command()
@CONFIG
@told
def check(path: Path) -> None:
    """Check a settings file as `run` would, without starting anything; the kernel and the cluster are not asked."""
    settings = _settings(path)
    check_keeping(settings.spool, where=str(path))
    redact.compile(settings.redaction, where=f"{path}: redaction")
    signer_of(settings, where=str(path))
    for name, sink in settings.sinks.items():
        check_sink(sink, TOLD, where=f"{path}: sinks.{name}")
    commands.check_observed(settings, where=str(path))
    click.echo(f"{path}: ok, sinks: {', '.join(settings.sinks)}")


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
    _summarize(commands.replay(_settings(path), recording, _stop_on_signal(), where=str(path)))


@main.command()
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, readable=False),
    help=f"The settings file.  [default: {DEFAULT}, where there is one]",
)
@click.option(
    "--duration",
    type=click.FloatRange(min=0, min_open=True),
    callback=finite,
    help="Count events and run times for this many seconds; a run costs 20 ns more for so long.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON lines: event types, shared programs, rings.")
@click.option("-v", "--verbose", is_flag=True, help="Tell also which better hooks this kernel cannot do, and why.")
@told
def probes(path: Path | None, duration: float | None, *, as_json: bool, verbose: bool) -> None:
    """List every event type: whether it is seen here, by which hook, or why not.

    Where an agent runs with these settings the answer is the agent's; else probes are attached for a moment.
    """
    from exporter.commands import probes_text

    known = path or (DEFAULT if DEFAULT.exists() else None)
    where = str(known or "default settings")
    settings = config.load(known) if known else config.parse("sinks: {}", where=where)
    stop = _stop_on_signal() if duration else threading.Event()  # without one it ends by itself
    report = commands.probes(settings, stop, where=where, duration=duration)
    for line in probes_text.context(report, where):
        click.echo(f"podwitness: {line}", err=True)
    click.echo(probes_text.to_json(report) if as_json else probes_text.to_text(report, verbose=verbose), nl=False)


@main.command()
@CONFIG
@told
def unload(path: Path) -> None:
    """Take everything of podwitness out of the kernel: probes and rings that `kernel.persist` has left there."""
    settings = config.load(path)
    removed = commands.unload(settings)
    said = f"{len(removed)} pins removed" if removed else "nothing is pinned"
    if not removed and not Path(settings.kernel.pin_path).exists():
        said += f": the directory {settings.kernel.pin_path} does not exist"
    click.echo(f"podwitness: {said}", err=True)


@main.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, readable=False, allow_dash=True))
@click.option("--public-key", type=click.Path(path_type=Path), help="PEM with the public key of the signatures.")
@click.option("--spool", type=click.Path(path_type=Path), help="The sending node's: tells what is still on its way.")
@click.option("--spool-key", type=click.Path(path_type=Path), help="The key of an encrypted spool.")
@click.option(
    "--from",
    "start",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Accept that the stream begins at record number N: its older files were rotated away.",
)
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def verify(
    files: tuple[Path, ...],
    public_key: Path | None,
    spool: Path | None,
    spool_key: Path | None,
    start: int,
    output: str,
) -> None:
    """Check that nothing is missing from shipped records: FILES of JSON lines, or stdin.

    Ends with 0: all is there, or its loss is stated; 1: it is not, or was changed; 2: nothing that could be checked.
    The report goes to stdout, what keeps it from being made to stderr.
    """
    from exporter.verify import verify as check

    inputs = files or (Path("-"),)
    try:
        verdict = check(inputs, key=public_key, spool=spool, spool_key=spool_key, as_json=output == "json", start=start)
    except PodwitnessError as error:
        raise UnusableError(str(error)) from error
    click.echo(verdict.text, nl=False)
    sys.exit(verdict.code)


def _settings(path: Path) -> config.Config:
    """Settings that have somewhere to send to; `record` needs no sink."""
    settings = config.load(path)
    check_sinks(settings.sinks, where=str(path))
    return settings


def _stop_on_signal(notice: str = "") -> threading.Event:
    """Set by the first SIGINT, SIGTERM or SIGHUP, which prints `notice`; a second one ends the process at once."""
    stop = threading.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        numbers.append(signal.SIGHUP)

    def begin_to_stop(_number: int, _frame: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        stop.set()
        if sys.stderr is not None:  # else descriptor 2 is some other file
            with contextlib.suppress(OSError):
                os.write(2, notice.encode())  # sys.stderr itself may be halfway through a line of the log

    for number in numbers:
        signal.signal(number, begin_to_stop)
    return stop


def _summarize(ledger: Ledger) -> None:
    click.echo(f"podwitness: {ledger.summary()}", err=True)


if __name__ == "__main__":
    main()
