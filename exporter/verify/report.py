"""A report for people: a table of the streams, and below it what is to be said of each; or the same as JSON.

What records say of themselves is anybody's text: no control character of it reaches the terminal.
"""

from collections.abc import Iterator, Sequence

import msgspec

from exporter.model import Ranges
from exporter.verify.findings import ChainFinding, Fault, Finding, Kept, Lost, Missing, Report

TOLD = 20
"""Gaps of a stream that are told one by one."""

_HEAD = ("NODE", "SINK", "STREAM", "RECORDS", "NUMBERS", "AGAIN", "LOST", "MISSING", "FAULTS", "ANSWER")


def to_json(report: Report) -> str:
    """All that was found."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def to_text(report: Report) -> str:
    """The table, the details, the sum."""
    told = [*_table([_HEAD, *map(_row, report.streams)]), ""]
    for finding in report.streams:
        told += _details(finding)
    told += _input(report)
    return "\n".join(map(_printable, told)) + "\n"


def _row(one: Finding) -> tuple[str, ...]:
    lost = sum(gap.last - gap.first + 1 for gap in one.missing if gap.explained)
    missing = sum(gap.last - gap.first + 1 for gap in one.missing if not gap.explained)
    numbers = f"{one.first}-{one.last}" if one.first else "none"
    counts = (one.duplicates, lost, missing, one.fault_count)
    return (
        one.node or "?",
        one.sink or "?",
        one.stream[:8] or "?",
        str(one.records),
        numbers,
        *map(str, counts),
        _answer(one),
    )


def _answer(one: Finding) -> str:
    if one.first is None:
        return "cannot be checked"
    if not one.complete:
        return "NOT COMPLETE"
    answer = "complete" if one.start == 1 else f"complete from {one.start} on"
    answer += ", losses stated" if one.missing or one.lost else ""
    return answer if one.end == "stopped" else f"{answer}, open end"  # whether there was more nobody can say


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()


def _details(one: Finding) -> Iterator[str]:
    yield f"{one.node or '?'} {one.sink or '?'} {one.stream or '(stream not named)'}:"
    said = [*_numbers(one), *_missing(one.missing), *map(_lost, one.lost), *_faults(one), *_chain(one.chain)]
    said += [*_end(one), *_spool(one.spool)]
    for line in said:
        yield f"  {line}"
    yield ""


def _numbers(one: Finding) -> Iterator[str]:
    if one.first is None:
        yield "no record has a number (podwitness.event.sequence): nothing can be said of what is missing"
    elif one.start > 1:
        yield f"begins at {one.first}; what was before {one.start} was not asked for (--from)"
    elif one.first > 1:
        yield (
            f"begins at {one.first}: what was before is not in the input; give the older files too, "
            f"or --from {one.first} where they were rotated away"
        )
    if one.duplicates:
        yield f"{one.duplicates} records came again, the same each time: harmless"
    if one.disordered:
        yield f"{one.disordered} records stand behind later ones, the first is {one.disordered_at}: sent late, or moved"


def _missing(missing: Sequence[Missing]) -> Iterator[str]:
    for gap in sorted(missing, key=lambda one: (one.explained, one.first))[:TOLD]:
        numbers = _ranges(((gap.first, gap.last),))
        if gap.explained:
            yield f"lost {numbers}: {gap.stage} {gap.reason}, as stated at {gap.stated_at}"
        else:
            yield f"MISSING {numbers}: {_between(gap)}; no record says why"
    if len(missing) > TOLD:
        yield f"and {len(missing) - TOLD} more gaps (--output json names all)"


def _between(gap: Missing) -> str:
    sides = [f"after {gap.first - 1} at {gap.after}"] * bool(gap.after)
    sides += [f"before {gap.last + 1} at {gap.before}"] * bool(gap.before)
    return " and ".join(sides) or "nowhere in the input"


def _lost(one: Lost) -> str:
    count = "nobody knows how many" if one.count is None else f"{one.count}"
    return f"lost without a number: {count} ({one.stage} {one.reason}, {one.since} to {one.until})"


def _faults(one: Finding) -> Iterator[str]:
    for fault in one.faults:
        yield _fault(fault)
    if one.fault_count > len(one.faults):
        yield f"and {one.fault_count - len(one.faults)} more with higher numbers"


def _fault(fault: Fault) -> str:
    if not fault.sequence:
        return f"FAULT: {fault.what}"
    names = [part for part in (fault.uid and f"uid {fault.uid}", fault.place and f"at {fault.place}") if part]
    return f"FAULT in record {fault.sequence}{' (' + ', '.join(names) + ')' if names else ''}: {fault.what}"


def _chain(chain: ChainFinding | None) -> Iterator[str]:
    if chain is None:
        return
    yield f"chain: {chain.records} records carry a hash, {chain.signatures} of them a signature"
    if chain.unproven:
        some = ", ".join(map(str, chain.unproven[:TOLD])) + (" …" if len(chain.unproven) > TOLD else "")
        yield f"nothing proves the content of {some}: the record before is missing; from there on the chain begins anew"
    if chain.signed is None:
        yield "signatures were not checked: give --public-key; hashes alone do not stop who can make them anew"
    else:
        yield f"{chain.valid} signatures are valid and vouch for: {_ranges(chain.signed[:TOLD]) or 'nothing'}"


def _end(one: Finding) -> Iterator[str]:
    if one.first is None:
        return
    if one.end == "stopped":
        yield f"the agent stopped after {one.last}"
    else:
        yield f"open after {one.last}: the agent runs, or was killed, or the end is not in the input"


def _spool(kept: Kept | None) -> Iterator[str]:
    if kept is None:
        return
    if not kept.next:
        other = f", its stream of this sink is {kept.other_stream}" if kept.other_stream else ""
        yield f"the spool does not know this stream{other}"
        return
    waiting = _ranges(kept.waiting)
    yield f"the node has given out numbers up to {kept.next - 1}" + (
        f"; in its spool wait {waiting}" if waiting else ""
    )


def _input(report: Report) -> Iterator[str]:
    bad = report.unreadable
    if bad.count:
        yield f"{bad.count} lines are no records, the first is {bad.first}: {bad.why}"
    if report.foreign:
        yield f"{report.foreign} lines hold no record of podwitness"
    if not report.streams:
        yield f"no record of podwitness in {report.lines} lines"


def _ranges(ranges: Ranges) -> str:
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
