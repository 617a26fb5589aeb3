"""Those who watch a workload: nobody, the agent under several rules, bpftrace, bcc's own tools where they compile."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tests.bench.node import Node
from tests.waiting import wait_for

Watch = Callable[[str, str], AbstractContextManager[int]]
"""Watches the named workload within the block, under a name of its own; gives its process id, 0: there is none."""

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
BCC = {"open": "opensnoop-bpfcc", "connect": "tcpconnect-bpfcc", "exec": "execsnoop-bpfcc"}
"""Debian's names; they compile their programs when they start, against headers of this kernel."""
_RING = (
    1 << 26
)  # bytes: else most of what is done at full speed is lost, to us as to bpftrace, and costs nobody anything
_ROOM = {"kernel": {"persist": False, "activity_ring_bytes": _RING}, "memory": {"limit_bytes": 1 << 29}}
_PAGES = {"BPFTRACE_PERF_RB_PAGES": str(_RING // 4096)}
_TRACEFS = 'mount -t tracefs tracefs /sys/kernel/tracing; mount -t debugfs debugfs /sys/kernel/debug; exec "$@"'


class UnavailableError(Exception):
    """A watcher that this machine cannot have, and why."""


def nobody(_work: str, _name: str) -> AbstractContextManager[int]:
    """The workload alone."""
    return nullcontext(0)


def agent(node: Node, port: int, **rules: Any) -> Watch:
    """The agent, with each event told and shipped, under these rules of `observe`."""

    @contextmanager
    def watch(work: str, name: str) -> Iterator[int]:
        observe = {"types": TYPES[work], "aggregate": {"types": []}} | rules
        running = node.agent(name, port, observe=observe, **_ROOM)
        try:
            running.start()
            running.watches()
            assert running.process is not None
            yield running.process.pid
            said = running.stop()
            assert "lost" not in said, said
        finally:
            running.close()

    return watch


def bpftrace(node: Node) -> Watch:
    """The script for the workload, run by bpftrace."""

    def watch(work: str, name: str) -> AbstractContextManager[int]:
        script = f'BEGIN {{ printf("ready\\n"); }} {SCRIPTS[work]}'
        return _tracer(node.folder / f"{name}.out", ["bpftrace", "-e", script], b"ready\n")

    return watch


def bcc(node: Node) -> Watch:
    """The tool of bcc's for the workload."""

    def watch(work: str, name: str) -> AbstractContextManager[int]:
        found = shutil.which(BCC.get(work, ""))
        if not found:
            raise UnavailableError("no such tool is installed")
        # Unbuffered, so that its heading tells that it has begun; Debian's Python has bcc, ours has not.
        return _tracer(node.folder / f"{name}.out", ["/usr/bin/python3", "-u", found], b"COMM")

    return watch


@contextmanager
def _tracer(output: Path, command: Sequence[str], begun: bytes) -> Iterator[int]:
    """A program that prints what it sees; it has begun once it has printed `begun`."""
    with output.open("wb") as stream:
        whole = ["unshare", "--mount", "sh", "-c", _TRACEFS, "sh", *command]
        process = subprocess.Popen(whole, stdout=stream, stderr=subprocess.PIPE, env=os.environ | _PAGES)
        try:
            wait_for(lambda: begun in output.read_bytes()[:4096] or process.poll() is not None, command[0])
            if process.poll() is not None:
                said = process.stderr.read().decode() if process.stderr else ""
                raise UnavailableError(" ".join(said.split())[-200:])
            yield process.pid
            assert b"Lost " not in output.read_bytes()
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()
            output.unlink()
