"""What being observed costs the observed: a workload alone, under the agent, under its filter, and under bpftrace.

The agent tells each single event (no aggregation), enriches and ships it; bpftrace prints a line. Both observe the same
calls. All take turns within one run, on one machine; figures are medians over the turns.
"""

import os
import signal
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.node import Node, receiver
from tests.waiting import wait_for

TURNS = 3
COUNTS = {"open": 100_000, "connect": 20_000, "storm": 20_000, "exec": 1_000}
TYPES: dict[str, dict[str, list[str]]] = {
    "open": {"include": ["file.open"]},
    "connect": {"include": ["network.connect"], "exclude": ["network.accept"]},  # the accept is the workload's too
    "storm": {"include": ["file.open", "file.rename", "file.delete"]},
    "exec": {},
}
_PAIR = "tracepoint:syscalls:sys_enter_{0} {{ @of[tid] = {1}; }} tracepoint:syscalls:sys_exit_{0} /@of[tid]/ {{ {2} }}"
_TOLD = 'printf("%d %s %s %d\\n", pid, comm, str(@of[tid]), args->ret); delete(@of[tid]);'
SCRIPTS = {
    "open": _PAIR.format("openat", "args->filename", _TOLD),
    "connect": _PAIR.format(
        "connect", "args->uservaddr", 'printf("%d %s %d\\n", pid, comm, args->ret); delete(@of[tid]);'
    ),
    "storm": " ".join(
        _PAIR.format(call, f"args->{name}", _TOLD)
        for call, name in (("openat", "filename"), ("rename", "oldname"), ("unlink", "pathname"))
    ),
    "exec": 'tracepoint:syscalls:sys_enter_execve { printf("%d ", pid); join(args->argv); }',
}
"""As bpftrace's own tools do it (opensnoop.bt, execsnoop.bt)."""
_TICKS = os.sysconf("SC_CLK_TCK")
_TRACEFS = 'mount -t tracefs tracefs /sys/kernel/tracing; mount -t debugfs debugfs /sys/kernel/debug; exec "$@"'


class Turn(NamedTuple):
    """One run of the workload, each figure for one time: its CPU, the wall clock, the watcher's CPU; ns."""

    cpu_ns: float
    wall_ns: float
    watcher_ns: float


def measure(node: Node, say: Callable[[str], None]) -> dict[str, dict[str, dict[str, float]]]:
    """By workload and watcher."""
    program = node.folder / "workload"
    source = Path(__file__).with_name("workload.c")
    subprocess.run(["clang", "-O2", "-Wall", "-Werror", str(source), "-o", str(program)], check=True)
    with receiver() as port:
        watchers = _watchers(node, port)
        return {work: _compare(node, program, work, watchers, say) for work in COUNTS}


def _compare(
    node: Node, program: Path, work: str, watchers: dict[str, Any], say: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    turns: dict[str, list[Turn]] = {name: [] for name in watchers}
    for number in range(TURNS):
        for name, watch in watchers.items():
            with watch(work, f"{work}-{name}-{number}") as pid:
                turns[name].append(_run(node, program, work, pid))
    found = {name: _medians(of) for name, of in turns.items()}
    alone = found["alone"]
    for name, figures in found.items():
        figures["added_ns"] = figures["cpu_ns"] - alone["cpu_ns"]
        say(f"{work} under {name}: {figures['cpu_ns']:.0f} ns, its own {figures['watcher_ns']:.0f} ns")
    return found


def _medians(turns: list[Turn]) -> dict[str, float]:
    return {name: statistics.median(getattr(turn, name) for turn in turns) for name in Turn._fields}


def _run(node: Node, program: Path, work: str, watcher: int) -> Turn:
    count = COUNTS[work]
    before = cpu(watcher)
    done = subprocess.run(
        [str(program), work, str(count), "0", str(node.folder)], capture_output=True, text=True, check=True
    )
    used, wall = map(float, done.stdout.split())
    _settled(watcher)
    return Turn(used, wall, (cpu(watcher) - before) / count)


def _settled(pid: int) -> None:
    """Until the watcher has told what it saw: its CPU stands still."""
    seen = [-1.0]

    def still() -> bool:
        seen.append(cpu(pid))
        return seen[-1] == seen[-2] and len(seen) > _STILL

    if pid:
        wait_for(still, "the watcher rests", 60)


_STILL = 10  # looks, some tens of milliseconds apart


def cpu(pid: int) -> float:
    """CPU of a process until now, ns; 0 without one."""
    if not pid:
        return 0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 10**9 / _TICKS


def _watchers(node: Node, port: int) -> dict[str, Callable[[str, str], Any]]:
    @contextmanager
    def alone(_work: str, _name: str) -> Iterator[int]:
        yield 0

    def agent(**rules: Any) -> Callable[[str, str], Any]:
        @contextmanager
        def watch(work: str, name: str) -> Iterator[int]:
            observe = {"types": TYPES[work], "aggregate": {"types": []}} | rules
            running = node.agent(name, port, kernel={"persist": False}, observe=observe)
            try:
                running.start()
                running.watches()
                assert running.process is not None
                yield running.process.pid
                running.stop()
            finally:
                running.close()

        return watch

    @contextmanager
    def bpftrace(work: str, name: str) -> Iterator[int]:
        with (node.folder / f"{name}.out").open("wb") as output:
            command = ["unshare", "--mount", "sh", "-c", _TRACEFS, "sh", "bpftrace", "-e", _ready(SCRIPTS[work])]
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE)
            try:
                wait_for(lambda: b"ready\n" in Path(output.name).read_bytes()[:4096] or process.poll(), "bpftrace")
                assert process.poll() is None, process.stderr and process.stderr.read()
                yield process.pid
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate()
                Path(output.name).unlink()

    return {
        "alone": alone,
        "podwitness": agent(),
        "podwitness_aggregated": agent(aggregate={"types": ["file.open", "network.connect"]}),
        "podwitness_left_out": agent(
            aggregate={"types": ["file.open", "network.connect"]},
            files={"paths": {"exclude": ["/*"]}},
            network={"addresses": {"exclude": ["0.0.0.0/0"]}},
        ),
        "podwitness_other_users": agent(users={"include": [12345]}),
        "bpftrace": bpftrace,
    }


def _ready(script: str) -> str:
    return f'BEGIN {{ printf("ready\\n"); }} {script}'
