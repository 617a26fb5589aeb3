"""`podwitness probes`: the tables, and what it finds out on a real kernel, with an agent and without."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exporter import probes
from exporter.commands.probes import EventType, Report, RunTime
from exporter.commands.probes_text import context, to_json, to_text
from exporter.source.hooks import Better
from exporter.status import Status
from tests.e2e.agent import agent
from tests.terminal import as_nobody, podwitness, refused, written

ON_OPEN = RunTime("on_filp_open", "fexit/do_filp_open", 23, 2_300, ("file.open",))
ON_CALL = RunTime("on_call", "tp_btf/sys_exit", 1000, 35_000, ("file.open", "file.chmod"))
OPEN = EventType(
    type="file.open",
    by_default=False,
    observed=True,
    attached=True,
    hook="sys_exit: open openat",
    reason="",
    better=(Better("fexit/do_filp_open", "this kernel runs no fentry programs"),),
    ring="activity",
    events=23,
    programs=(ON_OPEN,),
)
SETNS = EventType("namespace.setns", True, True, False, "", "no such hook", (), "lifecycle", 0, ())
EXEC = EventType("process.exec", True, False, False, "tp_btf/sched_process_exec", "", (), "lifecycle", None, ())
REPORT = Report((OPEN, SETNS, EXEC), (ON_OPEN, ON_CALL), {"activity": 4, "*": 1}, None, ())


def test_the_table_says_what_is_seen_here_what_is_not_and_why() -> None:
    assert to_text(REPORT) == (
        "\x1b[1mEVENT TYPE       HERE      EVENTS  HOOK\x1b[0m\n"
        "file.open        attached      23  sys_exit: open openat\n"
        "namespace.setns  NOT SEEN       0  none\n"
        "process.exec     off               tp_btf/sched_process_exec\n"
        "\n"
        "namespace.setns cannot be seen here: no such hook\n"
        "    `observe.types.exclude: [namespace.setns]` leaves it out\n"
        "\n"
        "\x1b[1mPROGRAM       RUNS  NS/RUN  AT\x1b[0m\n"
        "on_call       1000      35  tp_btf/sys_exit\n"
        "on_filp_open    23     100  fexit/do_filp_open\n"
        "on_call runs at the end of every system call on this node. The kernel counts the programs that it calls for"
        " single event\n"
        "    types as part of it.\n"
        "\n"
        "events lost: 0 in ring lifecycle, 4 in ring activity, 1 nobody knows where\n"
    )


def test_better_hooks_are_told_to_those_who_ask() -> None:
    line = "file.open: fexit/do_filp_open would be better: this kernel runs no fentry programs"
    assert line not in to_text(REPORT)
    assert line in to_text(REPORT, verbose=True).splitlines()


def test_however_long_a_hook_is_the_table_fits() -> None:
    long = Report(
        tuple(
            EventType("file.xattr", True, True, True, f"fentry/{'x' * length} " * 3, "y " * 200, (), "activity", 0, ())
            for length in range(0, 120, 7)
        ),
        (),
        None,
        None,
        (),
    )
    assert max(map(len, to_text(long, verbose=True).splitlines()[1:])) <= 120


def test_as_json_each_event_type_is_a_line_with_all_of_it() -> None:
    first, *others = map(json.loads, to_json(REPORT).splitlines())
    assert [one["type"] for one in others if "type" in one] == ["namespace.setns", "process.exec"]
    assert first == {
        "type": "file.open",
        "by_default": False,
        "observed": True,
        "attached": True,
        "hook": "sys_exit: open openat",
        "reason": "",
        "better": [["fexit/do_filp_open", "this kernel runs no fentry programs"]],
        "ring": "activity",
        "events": 23,
        "programs": [
            {
                "program": "on_filp_open",
                "hook": "fexit/do_filp_open",
                "runs": 23,
                "run_time_ns": 2_300,
                "types": ["file.open"],
            }
        ],
    }


def test_as_json_what_several_types_share_is_there_once() -> None:
    lines = [json.loads(line) for line in to_json(REPORT).splitlines()]
    assert lines[3:] == [
        {
            "program": "on_call",
            "hook": "tp_btf/sys_exit",
            "runs": 1000,
            "run_time_ns": 35_000,
            "types": ["file.open", "file.chmod"],
        },
        {"ring": "lifecycle", "lost": 0},
        {"ring": "activity", "lost": 4},
        {"ring": "*", "lost": 1},
    ]


def test_whose_numbers_they_are() -> None:
    status = Status("0.1.0", 77, "/etc/podwitness/config.yaml", 1_795_000_000 * 10**9, (), {}, {}, {})
    assert list(context(REPORT, "c.yaml")) == [
        "no agent runs with c.yaml: probes were attached for this answer, and are gone"
    ]
    asked = Report((), (), {}, status, (status,))
    assert list(context(asked, "c.yaml")) == [
        "of the agent with pid 77, since 2026-11-18T11:06:40.000Z",
        "another agent has pid 77; ask it by --config /etc/podwitness/config.yaml",
    ]
    doubted = Report((), (), {}, status, (), tuple(f"pid {pid} is in another pid namespace" for pid in range(7)))
    said = list(context(doubted, "c.yaml"))
    assert said[1] == "says that it is an agent, and is not believed: pid 0 is in another pid namespace"
    assert said[-1] == "so do 2 more"


LITTLE = {
    "observe": {"types": {"include": ["file.open"], "exclude": ["[a-eg-oq-z]*.*", "file.[a-np-z]*", "pr[!o]*.*"]}}
}
"""Some few event types: each takes its time to be loaded."""


def rows(*arguments: object) -> dict[str, dict[str, Any]]:
    done = podwitness("probes", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return {
        row.get("type") or row.get("program") or row["ring"]: row for row in map(json.loads, done.stdout.splitlines())
    }


@pytest.mark.kernel
def test_without_an_agent_it_attaches_what_the_settings_ask_for_and_lists_every_event_type(tmp_path: Path) -> None:
    path = written(tmp_path, {"sinks": {}, **LITTLE})
    found = rows("--config", path)
    assert [name for name in found if "type" in found[name]] == [kind.name for kind in probes.TOLD]
    assert (found["agent.started"]["hook"], found["agent.started"]["attached"]) == ("the agent itself", False)
    assert {name for name, row in found.items() if row.get("attached")} >= {"process.exec", "process.exit", "file.open"}
    assert found["process.exec"]["hook"] == "tp_btf/sched_process_exec"
    assert found["process.exec"]["events"] is None, "nobody has counted"
    assert not found["file.delete"]["observed"]


@pytest.mark.kernel
def test_for_a_duration_it_counts_events_and_has_the_kernel_count_runs(tmp_path: Path) -> None:
    path = written(tmp_path, {"sinks": {}, **LITTLE})
    busy = subprocess.Popen(["/bin/sh", "-c", "while :; do /bin/true; done"])
    try:
        found = rows("--config", path, "--duration", "2")
    finally:
        busy.kill()
        busy.wait()
    assert found["process.exec"]["events"] > 0
    (on_exec,) = found["process.exec"]["programs"]
    assert (on_exec["program"], on_exec["hook"]) == ("on_exec", "tp_btf/sched_process_exec")
    assert on_exec["runs"] > 0
    assert on_exec["run_time_ns"] > 0
    assert found["on_call"]["runs"] > 0 if "on_call" in found else found["file.open"]["programs"]
    assert [name for name in found if "program" in found[name] and "type" in found[name]] == []
    assert Path("/proc/sys/kernel/bpf_stats_enabled").read_text() == "0\n"


@pytest.mark.kernel
def test_where_an_agent_runs_the_answer_is_its_own(tmp_path: Path) -> None:
    with agent(tmp_path, {"sinks": {}, "kubernetes": {"mode": "off"}, **LITTLE}) as running:
        said = podwitness("probes", "--config", tmp_path / "config.yaml")
        found = rows("--config", tmp_path / "config.yaml", "--duration", "1")
    assert f"of the agent with pid {running.process.pid}, since " in said.stderr
    assert found["process.exec"]["attached"]
    assert found["process.exec"]["events"] > 0
    assert found["agent.started"]["attached"]
    assert found["activity"]["lost"] == 0
    assert found["file.delete"]["events"] is None


def test_without_root_it_says_what_is_needed() -> None:
    assert "run as root" in refused(as_nobody("probes"))


@pytest.mark.skipif(os.geteuid() != 0, reason="anybody may look into what runs as himself")
def test_without_root_it_says_that_an_agent_runs_that_may_not_be_asked() -> None:
    name = "open('/proc/self/comm', 'w').write('podwitness'); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
        assert agent.stdout
        agent.stdout.readline()
        said = refused(as_nobody("probes"))
        agent.kill()
    assert re.search(rf"an agent seems to run \(pid [\d, ]*\b{agent.pid}\b", said)
