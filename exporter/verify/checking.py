"""All of the input through one pass, and what the streams in it are found to be."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from exporter.encode.reading import Told, told_of_line
from exporter.errors import ConfigError
from exporter.sink.spool.reading import Spooled, spooled
from exporter.verify.findings import Fault, Finding, Report, Unreadable
from exporter.verify.keys import read_keys
from exporter.verify.report import to_json, to_text
from exporter.verify.sources import Line, again, check, lines
from exporter.verify.stream import Seen, Stream

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

COMPLETE, INCOMPLETE, UNUSABLE = 0, 1, 2


class Verdict(NamedTuple):
    """Exit code (0: all there, or its loss stated; 1: not so; 2: nothing that could be checked) and what to print."""

    code: int
    text: str


def verify(
    files: Sequence[Path],
    *,
    key: Path | None,
    spool: Path | None,
    as_json: bool,
    spool_key: Path | None = None,
    start: int = 1,
) -> Verdict:
    """Check the records in `files` (`-`: stdin).

    Args:
        files: OTLP JSON lines or flat JSON lines, also gzip, in any order.
        key: PEM with the public keys of signatures; None: those are not checked.
        spool: the spool of the node that sent them; None: nobody knows how far the streams go.
        as_json: the report as JSON.
        spool_key: the key of an encrypted spool, as in its settings.
        start: the number of the first record asked for, in the one stream whose beginning is not in the files.

    Raises:
        ConfigError: what cannot be read, or it is not clear for which stream `start` is.
    """
    keys = read_keys(key) if key else None
    check(files)
    before = spooled(spool, spool_key) if spool else None
    checking = Checking(keys)
    for line in lines(files):
        checking.take(line)
    after = spooled(spool, spool_key) if spool else None
    checking.begin_at(start)
    report = checking.report(_seen(before, after))
    if all(map(again, files)):
        _place(report, files)
    if not any(stream.first for stream in report.streams):
        code = UNUSABLE
    else:
        code = COMPLETE if report.complete else INCOMPLETE
    return Verdict(code, to_json(report) if as_json else to_text(report))


def _seen(before: dict[str, Spooled] | None, after: dict[str, Spooled] | None) -> dict[str, Seen] | None:
    """Records that were delivered while we read: the first look says what must be there, the second what may be."""
    if before is None or after is None:
        return None
    return {sink: Seen(one, after.get(sink, one)) for sink, one in before.items()}


def _place(report: Report, files: Sequence[Path]) -> None:
    """Say where the records stand that are at fault and whose place nobody kept: it needs another look at the files."""
    wanted: dict[tuple[str, int], list[tuple[list[Fault], int]]] = {}
    for finding in report.streams:
        for at, fault in enumerate(finding.faults):
            if fault.sequence and not fault.place:
                wanted.setdefault((finding.stream, fault.sequence), []).append((finding.faults, at))
    for line in lines(files) if wanted else ():
        for record in _records(line):
            for faults, at in wanted.pop((record.stream, record.sequence or 0), ()):
                faults[at] = msgspec.structs.replace(faults[at], uid=record.uid, place=str(line.place))


def _records(line: Line) -> list[Told]:
    try:
        return told_of_line(line.data)
    except ValueError:
        return []


class Checking:
    """Lines in, a report out."""

    def __init__(self, keys: "Sequence[Ed25519PublicKey] | None") -> None:
        self._keys = keys
        self._streams: dict[tuple[str, str], Stream] = {}
        self._lines = self._foreign = 0
        self._broken = False  # a file could not be read to its end
        self._unreadable = Unreadable()

    def take(self, line: Line) -> None:
        """One line, whatever it holds."""
        self._lines += 1
        try:
            if line.why:
                raise ValueError(line.why)
            told = told_of_line(line.data)
        except ValueError as error:
            self._unreadable.count += 1
            self._broken = self._broken or bool(line.why)
            if self._unreadable.count == 1:
                self._unreadable.first, self._unreadable.why = str(line.place), str(error)
            return
        self._foreign += not told and bool(line.data.strip())
        for record in told:
            # Field filters may have left the id out; then what names the sink has to do.
            key = (record.stream, "") if record.stream else (record.node, record.sink)
            stream = self._streams.get(key)
            if stream is None:
                stream = self._streams[key] = Stream(record.sink, record.stream, self._keys)
            stream.take(record, line.place)

    def begin_at(self, start: int) -> None:
        """Ask for records from the number `start` on in the stream whose beginning is missing.

        Raises ConfigError where several are without theirs: the number of one would hide what another has lost.
        """
        torn = [stream for stream in self._streams.values() if not stream.begins] if start > 1 else []
        if len(torn) > 1:
            names = ", ".join(sorted(stream.name for stream in torn))
            hint = "verify the files of one sink of one node at a time"
            raise ConfigError(f"{len(torn)} streams are without their beginning: {names}", where="--from", hint=hint)
        for stream in torn:
            stream.start = start

    def report(self, spools: dict[str, Seen] | None) -> Report:
        """What was found."""
        by_id = {name: stream for (name, rest), stream in self._streams.items() if name and not rest}
        for stream in self._streams.values():
            stream.tell(by_id)
        findings = sorted((stream.finding(spools) for stream in self._streams.values()), key=_name)
        complete = not self._broken and bool(findings) and all(finding.complete for finding in findings)
        return Report(complete, self._lines, self._foreign, self._unreadable, findings)


def _name(finding: Finding) -> tuple[str, str, str]:
    return finding.node, finding.sink, finding.stream
