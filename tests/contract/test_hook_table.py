"""bpf/README.md's tables, which bpf/hooks.py writes."""

import subprocess
import sys
from typing import Any

import pytest

from bpf import hooks
from exporter import probes
from exporter.source.programs import objects_directory
from exporter.source.survey import sections


def test_the_readme_has_the_hooks_that_are_declared() -> None:
    done = subprocess.run(
        [sys.executable, str(hooks.README.with_name("hooks.py")), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_event_type_has_a_row_and_every_hook_too() -> None:
    places = sections(probes.KINDS, objects_directory())
    rows = [line.split(" | ") for line in hooks.hook_table(places)][2:]
    assert [row[0].removeprefix("| ").strip("`") for row in rows if row[2] != "else"] == [k.name for k in probes.KINDS]
    assert len(rows) == sum(len(kind.hooks) for kind in probes.KINDS)


def result(outcome: str, said: str = "", **seen: str) -> dict[str, Any]:
    return {"outcome": outcome, "said": said, "properties": {"seen": {k.replace("_", "."): v for k, v in seen.items()}}}


RESULTS: hooks.Results = {
    "6.12.1": {
        "a": result("passed", process_exec="tp_btf/x"),
        "b": result("passed", process_exec="tp_btf/x", process_exit="tp_btf/y"),
        "c": result("failed", process_fork="tp_btf/z"),
        "e": result("passed", process_exit=""),
        "f": result("passed", file_open=""),
        "d": {"outcome": "passed", "said": "", "properties": {}},
    },
    "6.1.0-56": {
        "a": result("passed", process_exec="sys_exit: execve"),
        "b": result("skipped", "this kernel has no y"),
    },
}


def test_the_results_are_a_column_for_each_kernel_the_older_first() -> None:
    head, _line, *rows = hooks.result_table(RESULTS)
    assert head == "| event type | Linux 6.1.0-56 | Linux 6.12.1 |"
    assert rows[:3] == [
        "| `process.exec` | `sys_exit: execve`; 1 test | `tp_btf/x`; 2 tests |",
        "| `process.fork` | no test | **1 of 1 tests failed** |",
        "| `process.exit` | not run: this kernel has no y | `tp_btf/y`; 2 tests, in 1 of them it could not be seen |",
    ]
    assert "| `file.open` | no test | cannot be seen; 1 test |" in rows


def test_what_the_table_of_results_names_is_declared_and_nothing_is_left_out() -> None:
    places = sections(probes.KINDS, objects_directory())
    declared = "tp_btf/sched_process_exec"
    rows = [f"| `{kind.name}` | no test |" for kind in probes.KINDS]
    rows[:2] = [f"| `process.exec` | `{declared}`, `kprobe/x`; 2 tests |", "| `process.frok` | no test |"]
    text = hooks.placed(hooks.README.read_text(), hooks.RESULTS, ["| event type | Linux |", "|---|---|", *rows])
    assert sorted(hooks.wrong_results(text, places)) == [
        "has a row for process.frok, which there is not",
        "has no row for process.fork",
        "says that process.exec was seen by kprobe/x, which is not declared",
    ]


def test_a_table_takes_the_place_of_the_one_before_and_nothing_else() -> None:
    once = hooks.placed(hooks.README.read_text(), hooks.RESULTS, ["| a |", "| b |"])
    assert hooks.placed(once, hooks.RESULTS, ["| a |", "| b |"]) == once
    assert "\n| a |\n| b |\n<!-- end of what was seen -->" in once


def test_a_readme_without_the_comments_is_refused() -> None:
    with pytest.raises(SystemExit, match="has no <!-- hooks"):
        hooks.placed("# The probes\n", hooks.HOOKS, [])
