"""The real thing on this machine: the agent with the synthetic probe, a workload that paces it, a receiver that notes.

Everything is in a folder under `build/`, so on the disk that the working tree is on, and in a bpffs of the benchmark's
own.
"""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.durable import Durable, build
from tests.kernel import bpffs

EVENT, NO_EVENT = 0x7077, 0x1  # as in tests/e2e/synthetic/activity.bpf.c


class Produced(NamedTuple):
    """The workload that has ended: its process id, and the CPU time of one call in ns."""

    pid: int
    call_ns: float


class Node(NamedTuple):
    """`objects` are the compiled programs, `producer` is the compiled workload."""

    folder: Path
    bpffs: bpffs.Bpffs
    objects: Path
    producer: Path

    def agent(self, name: str, port: int, **settings: Any) -> Durable:
        """An agent with one OTLP/HTTP sink, all else by default but for what `settings` say."""
        sink = {"type": "otlp_http", "endpoint": f"http://127.0.0.1:{port}"}
        return Durable(self.folder / name, self.bpffs, self.objects, {"sinks": {"otlp": sink}} | settings)

    def produce(self, count: int, rate: int, which: int = EVENT) -> Produced:
        """Let so many things happen, `rate` a second; 0: as fast as can be."""
        command = [str(self.producer), str(count), str(rate), str(which)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            said, _ = process.communicate()
        assert process.returncode == 0
        return Produced(process.pid, float(said))


@contextmanager
def node(parent: Path) -> Iterator[Node]:
    """Compile all that is needed; nothing is left in the kernel or on disk afterwards."""
    with tempfile.TemporaryDirectory(dir=parent.absolute(), prefix="bench-") as name:
        folder = Path(name)
        producer = folder / "producer"
        source = Path(__file__).with_name("producer.c")
        subprocess.run(["clang", "-O2", "-Wall", "-Werror", str(source), "-o", str(producer)], check=True)
        with bpffs.bpffs(folder) as mounted:
            yield Node(folder, mounted, build(folder / "objects"), producer)


@contextmanager
def receiver(port: int = 0, file: Path | None = None) -> Iterator[int]:
    """`receiver.py` in a process of its own; the port it listens on."""
    command = [sys.executable, "-m", "tests.bench.receiver", str(port), *([str(file)] if file else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
