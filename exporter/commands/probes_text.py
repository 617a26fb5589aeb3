"""What `probes` found out, for people: a table that fits 120 columns, the programs at the hooks, and what to know.

Hooks are cut to fit; the JSON form has them whole.
"""

import shutil
import textwrap
from collections.abc import Iterator, Sequence

import click
import msgspec

from exporter.commands.probes import EventType, Report, RunTime
from exporter.probes.times import iso
from exporter.source.hooks import ON_CALL

_COLUMNS = 120
_DOUBTS = 5  # told one by one
_HEAD = ("EVENT TYPE", "HERE", "EVENTS", "HOOK")
_PROGRAMS = ("PROGRAM", "RUNS", "NS/RUN", "AT")


def to_json(report: Report) -> str:
    """One object a line: for each event type, for each program that runs for several, for each ring."""
    shared = [one for one in report.programs if len(one.types) > 1]
    rings = [{"ring": ring, "lost": lost} for ring, lost in _lost(report)]
    return "".join(msgspec.json.encode(one).decode() + "\n" for one in (*report.types, *shared, *rings))


def _lost(report: Report) -> list[tuple[str, int]]:
    """What each ring has lost; `*` stands for nobody knows which. Empty where nobody has counted."""
    if report.lost is None:
        return []
    return [(ring, report.lost.get(ring, 0)) for ring in ("lifecycle", "activity", "*")]


def context(report: Report, where: str) -> Iterator[str]:
    """Whose numbers they are: lines for stderr."""
    if report.agent:
        yield f"of the agent with pid {report.agent.pid}, since {iso(report.agent.since)}"
    else:
        yield f"no agent runs with {where}: probes were attached for this answer, and are gone"
    for other in report.others:
        yield f"another agent has pid {other.pid}; ask it by --config {other.settings}"
    for doubt in report.doubted[:_DOUBTS]:
        yield f"says that it is an agent, and is not believed: {doubt}"
    if len(report.doubted) > _DOUBTS:
        yield f"so do {len(report.doubted) - _DOUBTS} more"


def to_text(report: Report, *, verbose: bool = False) -> str:
    """The tables and what is to be said of them; `verbose`: with the better hooks, too."""
    lines = [*_table([_HEAD, *map(_row, report.types)]), ""]
    lines += _unseen(report.types)
    if verbose:
        lines += [line for one in report.types for line in _better(one)]
    lines += _run_times(report)
    if counts := dict(_lost(report)):
        lost = ", ".join(f"{counts[ring]} in ring {ring}" for ring in ("lifecycle", "activity"))
        unplaced = f", {counts['*']} nobody knows where" if counts["*"] else ""
        lines.append(f"events lost: {lost}{unplaced}")
    return "\n".join(lines).rstrip() + "\n"


def _row(one: EventType) -> tuple[str, ...]:
    here = "attached" if one.attached else "NOT SEEN" if one.observed else "off"
    return one.type, here, "" if one.events is None else str(one.events), one.hook or "none"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows whose last column takes the room that is left; the first is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    room = _width() - sum(widths) - 2 * len(widths)
    for number, row in enumerate(rows):
        cells = [_padded(cell, width) for cell, width in zip(row, widths, strict=False)]
        line = "  ".join([*cells, _cut(row[-1], room)]).rstrip()
        yield click.style(line, bold=True) if number == 0 else line


def _padded(cell: str, width: int) -> str:
    return cell.rjust(width) if cell.isdecimal() else cell.ljust(width)


def _width() -> int:
    return min(_COLUMNS, max(80, shutil.get_terminal_size((_COLUMNS, 0)).columns))


def _cut(text: str, room: int) -> str:
    """Between two words, where there is room for one."""
    if len(text) <= room:
        return text
    head = text[: room - 1]
    return (head.rpartition(" ")[0] or head) + ("…" if " " not in head else " …")[-2:]


def _unseen(types: Sequence[EventType]) -> Iterator[str]:
    for one in types:
        if one.observed and not one.attached:
            yield from _paragraph(f"{one.type} cannot be seen here: {one.reason}")
            yield f"    `observe.types.exclude: [{one.type}]` leaves it out"
            yield ""


def _better(one: EventType) -> Iterator[str]:
    if not one.hook and not one.observed:
        yield from _paragraph(f"{one.type} could not be seen here: {one.reason}")
        yield ""
    for better in one.better:
        yield from _paragraph(f"{one.type}: {better.hook} would be better: {better.reason}")
        yield ""


def _paragraph(text: str) -> list[str]:
    return textwrap.wrap(text, _width(), subsequent_indent="    ", break_on_hyphens=False)


def _run_times(report: Report) -> Iterator[str]:
    ran = [one for one in report.programs if one.runs]
    if not ran:
        yield "run times: the kernel counts none; `--duration SECONDS` has it count for so long (20 ns a run)"
        return
    yield from _table([_PROGRAMS, *map(_times, sorted(ran, key=lambda one: one.program))])
    if any(one.program == ON_CALL for one in ran):
        yield from _paragraph(
            f"{ON_CALL} runs at the end of every system call on this node. The kernel counts the programs that it calls"
            " for single event types as part of it."
        )
    yield ""


def _times(one: RunTime) -> tuple[str, ...]:
    return one.program, str(one.runs), str(round(one.run_time_ns / one.runs)), one.hook
