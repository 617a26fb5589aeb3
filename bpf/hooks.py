"""Writes the tables of bpf/README.md: the hooks as they are declared, and which of them was taken on which kernel.

    .venv/bin/python bpf/hooks.py                                  the hooks, from exporter/probes and the objects
    .venv/bin/python bpf/hooks.py --results build/kernels.json     and what came of the last run of the kernel tests
    .venv/bin/python bpf/hooks.py --check                          whether the tables name what is declared, all of it

Each table stands between two comments in the README. `make check` runs the last one.
"""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from exporter import probes
from exporter.model import Hook, Kind
from exporter.source.hooks import ON_CALL, described
from exporter.source.survey import sections

README = Path(__file__).with_name("README.md")
RESULTS = "what was seen"
HOOKS = "hooks"

Results = dict[str, dict[str, dict[str, Any]]]
"""Kernel release -> test -> what came of it (tests/machines/results.py)."""


def hook_table(places: Mapping[str, str]) -> Iterator[str]:
    """A row for each hook of each event type; `places` says where programs belong."""
    yield from _head("event type", "default", "ring", "hook", "program", "cost", "caveats")
    for kind in probes.KINDS:
        for number, hook in enumerate(kind.hooks):
            first = (f"`{kind.name}`", "on" if kind.by_default else "off", kind.ring)
            cells = first if number == 0 else ("", "", "else")
            yield _line(*cells, f"`{described(hook, places)}`", _programs(kind, hook), hook.cost, hook.caveats)


def _programs(kind: Kind, hook: Hook) -> str:
    """Its own programs; `on_call`, which calls handlers, is everybody's."""
    names = dict.fromkeys((*hook.programs, *hook.handled.values()))
    return f"{', '.join(f'`{name}`' for name in names)} ({kind.program}.bpf.c)"


class Tried(NamedTuple):
    """The tests that looked at an event type on one kernel; `unseen` of those that passed had no hook for it."""

    hooks: list[str]
    unseen: int
    passed: int
    failed: int
    skipped: list[str]


def result_table(results: Results) -> Iterator[str]:
    """A row for each event type, a column for each kernel."""
    releases = sorted(results, key=_version)
    yield from _head("event type", *(f"Linux {release}" for release in releases))
    for kind in probes.KINDS:
        names = {name for tests in results.values() for name, told in tests.items() if kind.name in _seen(told)}
        yield _line(f"`{kind.name}`", *(_cell(tried(kind.name, names, results[release])) for release in releases))


def tried(kind: str, names: set[str], tests: Mapping[str, Mapping[str, Any]]) -> Tried:
    """What came of the tests that on some kernel looked at `kind`. One that was skipped on this one never got to it."""
    ran = [(name, tests[name]) for name in sorted(names & tests.keys())]
    taken = [_seen(told)[kind] for _name, told in ran if kind in _seen(told) and told["outcome"] == "passed"]
    skipped = list(dict.fromkeys(told["said"] for _name, told in ran if told["outcome"] == "skipped"))
    outcomes = [told["outcome"] for _name, told in ran]
    hooks = [hook for hook in dict.fromkeys(taken) if hook]
    return Tried(hooks, taken.count(""), outcomes.count("passed"), outcomes.count("failed"), skipped)


def _seen(told: Mapping[str, Any]) -> Mapping[str, str]:
    """The hook of each event type that a test looked at; tests/kernel/recorded.py notes it."""
    return cast(Mapping[str, str], told["properties"].get("seen", {}))


def _cell(found: Tried) -> str:
    if found.failed:
        return f"**{found.failed} of {found.failed + found.passed} tests failed**"
    if found.passed:
        hooks = ", ".join(f"`{hook}`" for hook in found.hooks) or "cannot be seen"
        tests = f"{hooks}; {found.passed} {'test' if found.passed == 1 else 'tests'}"
        return f"{tests}, in {found.unseen} of them it could not be seen" if found.hooks and found.unseen else tests
    return f"not run: {'; '.join(found.skipped)}" if found.skipped else "no test"


def _version(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", release)]


def _head(*names: str) -> Iterator[str]:
    yield _line(*names)
    yield f"|{'---|' * len(names)}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def wrong_results(text: str, places: Mapping[str, str]) -> Iterator[str]:
    """What the README's table of results names that is not declared, or has no row for; its numbers are a run's."""
    kinds = {kind.name: {described(hook, places) for hook in kind.hooks} for kind in probes.KINDS}
    rows = [line.strip("| ").split(" | ") for line in _between(text, RESULTS).splitlines()[2:]]
    told = {row[0].strip("`"): row[1:] for row in rows}
    yield from (f"has no row for {name}" for name in kinds.keys() - told.keys())
    yield from (f"has a row for {name}, which there is not" for name in told.keys() - kinds.keys())
    for name in kinds.keys() & told.keys():
        unknown = {hook for cell in told[name] for hook in re.findall("`([^`]*)`", cell)} - kinds[name]
        yield from (f"says that {name} was seen by {hook}, which is not declared" for hook in sorted(unknown))


def _between(text: str, name: str) -> str:
    return text.partition(f"<!-- {name}: written by bpf/hooks.py -->\n")[2].partition(f"<!-- end of {name} -->")[0]


def placed(text: str, name: str, lines: Sequence[str]) -> str:
    """`text` with these lines between its comments `name`. Raises SystemExit where it has none."""
    begin, end = f"<!-- {name}: written by bpf/hooks.py -->\n", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _old, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"bpf/hooks.py: {README} has no {begin.strip()} with {end} behind it")
    return f"{before}{begin}" + "".join(f"{line}\n" for line in lines) + f"{end}{after}"


def _declared() -> list[str]:
    places = sections(probes.KINDS, README.parent)
    return [*hook_table(places), "", f"`{ON_CALL}` ({places[ON_CALL]}, call.bpf.c) calls the handlers of system calls."]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Writes the tables of bpf/README.md.")
    parser.add_argument("--check", action="store_true", help="compare both tables with the declarations")
    parser.add_argument("--results", type=Path, metavar="FILE", help="also write what came of the kernel tests")
    options = parser.parse_args()
    text = README.read_text()
    new = placed(text, HOOKS, _declared())
    if options.check:
        if new != text:
            raise SystemExit(f"{README}: its table of hooks is not what is declared; write it again with bpf/hooks.py")
        if wrong := sorted(wrong_results(text, sections(probes.KINDS, README.parent))):
            again = "`make test-kernels` and bpf/hooks.py --results build/kernels.json write it again"
            raise SystemExit(f"{README}: its table of results {'; '.join(wrong)}; {again}")
        return
    if options.results:
        results = msgspec.json.decode(options.results.read_bytes(), type=Results)
        new = placed(new, RESULTS, [*result_table(results)])
    README.write_text(new)


if __name__ == "__main__":
    main()
