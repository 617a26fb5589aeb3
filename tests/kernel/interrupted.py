"""Installs and upgrades, killed before each single change they make: `python -m tests.kernel.interrupted ... STRIDE`.

Runs where the bpffs is. A child opens the kernel and kills itself before its k-th change; then another one starts as
if nothing had been, and must find every run that there was, once, with no more pins than two generations have.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exporter import probes
from exporter.source import descriptors
from exporter.source.decode import Decoders
from exporter.source.pins import unload
from exporter.source.programs import Kernel
from exporter.source.words import Words
from tests.kernel.reader import open_kernel, told

CHANGES: tuple[tuple[Any, str], ...] = (
    (descriptors, "pin"),
    (descriptors, "put_program"),
    (descriptors, "take_program"),
    (descriptors, "attach"),
    (Path, "mkdir"),
    (Path, "rename"),
    (Path, "unlink"),
    (Path, "rmdir"),
    (Words, "set"),
)
_NEVER = 10_000


def killed_before(change: int, what: Callable[[], None]) -> bool:
    """Run `what` in a child that kills itself before its change number `change`; whether it came to that."""
    pid = os.fork()
    if pid:
        _pid, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"change {change}: status {status}"
        return os.WIFSIGNALED(status)
    left = change

    def before(original: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **more)

        return counted

    for owner, name in CHANGES:
        setattr(owner, name, before(getattr(owner, name)))
    try:
        what()
        os._exit(0)
    except BaseException as error:
        sys.stderr.write(f"change {change}: {error!r}\n")
        os._exit(1)


def in_child(what: Callable[[], None]) -> None:
    """Run `what` in a child, to its end: an agent's identity is its process."""
    assert not killed_before(_NEVER, what)


class Node:
    """The pins of a node, agents that start on it, and runs of a program that they must tell of."""

    def __init__(self, pins: Path, folder: Path) -> None:
        self._pins, self._folder, self._journal = pins, folder, folder / "told"
        self._journal.write_text("")
        self._runs = 0

    def run(self) -> None:
        """Run something marked as ours."""
        subprocess.run(["/bin/true", str(self._pins), str(self._runs)], check=True)
        self._runs += 1

    def agent(self, build: Path) -> Callable[[], None]:
        """An agent that reads all there is, makes it safe and lets go."""

        def go() -> None:
            kernel = open_kernel(self._pins, self._folder, build)
            assert len(self._generations()) <= 2
            assert kernel.losses() == []
            kernel.loss_state()
            with self._journal.open("a") as told:
                told.writelines(f"{run}\n" for run in self._read(kernel))
            kernel.acknowledge()
            kernel.close()

        return go

    def _read(self, kernel: Kernel) -> list[str]:
        decoders = Decoders(probes.KINDS, kernel)
        events = [told(event) for samples in kernel.rest() for event in decoders.decode(samples, 0, 0)]
        arguments = [args for event in events if isinstance(args := event["args"], tuple)]
        return [str(args[2]) for args in arguments if args[1:2] == (str(self._pins),)]

    def check(self, build: Path) -> None:
        """After an agent that was not killed every run was told once, in order, and there are no pins but its own."""
        in_child(self.agent(build))
        assert self._journal.read_text().split() == [str(run) for run in range(self._runs)]
        assert len(self._generations()) == len(list((self._folder / "objects").iterdir())) == 1

    def _generations(self) -> list[str]:
        return [path.name for path in self._pins.iterdir() if path.name[0].isdigit()]


def first_starts(pins: Path, folder: Path, build: Path, stride: int) -> int:
    """The first start on a node, killed before each change; how many changes it makes."""
    for change in range(0, _NEVER, stride):
        node = Node(pins, folder)
        killed = killed_before(change, node.agent(build))
        if not killed:
            return change
        in_child(node.agent(build))  # what was before it nobody was told to collect
        node.run()
        node.check(build)
        unload(pins)
    raise AssertionError("it never ends")


def upgrades(pins: Path, folder: Path, builds: tuple[Path, Path], stride: int) -> int:
    """From one build to the other and back, each killed later than the one before; how many changes one makes."""
    node = Node(pins, folder)
    in_child(node.agent(builds[1]))
    for number, change in enumerate(range(0, _NEVER, stride)):
        build = builds[number % 2]
        node.run()
        killed = killed_before(change, node.agent(build))
        node.run()
        node.check(build)
        if not killed:
            return change
    raise AssertionError("it never ends")


def main() -> None:
    """Print how many changes a first start and an upgrade make."""
    pins, folder, other, ours = map(Path, sys.argv[1:5])
    stride = int(sys.argv[5])
    changes = first_starts(pins, folder, ours, stride), upgrades(pins, folder, (other, ours), stride)
    sys.stdout.write(json.dumps(changes))


if __name__ == "__main__":
    main()
