"""Readers of pins, as processes of their own in the mount namespace of a bpffs, and what they are asked about."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.kernel.bpffs import Bpffs
from tests.kernel.reader import journal
from tests.waiting import wait_for

TRUE = "/bin/true"
MARK = f"pins-of-{os.getpid()}"  # others on this machine may run the same tests


class Place(NamedTuple):
    """Where a test's pins and its readers' journal are."""

    fs: Bpffs
    folder: Path

    @property
    def pins(self) -> Path:
        return self.fs.path / "podwitness"

    def start(self, objects: Path | None, *more: int) -> "Reader":
        argv = [sys.executable, "-m", "tests.kernel.reader", self.pins, self.folder, objects or "", *more]
        return Reader(self.fs.command([str(arg) for arg in argv]))

    @contextmanager
    def reader(self, objects: Path | None = None, *more: int) -> Iterator["Reader"]:
        """A reader of our build, or of another; killed at the end of the block."""
        reader = self.start(objects, *more)
        try:
            assert reader.answer() == "open"
            yield reader
        finally:
            reader.kill()

    def pinned(self, below: str = "") -> list[str]:
        """The names in the directory of the pins, as those inside see them."""
        listing = self.fs.command(["ls", str(self.pins / below)])
        found = subprocess.run(listing, capture_output=True, text=True, check=False)
        return sorted(found.stdout.split())

    def unload(self) -> subprocess.CompletedProcess[str]:
        """Its output is what was removed, a line each."""
        code = "import sys; from exporter.source.pins import unload; print(*unload(sys.argv[1]), sep='\\n')"
        return subprocess.run(
            self.fs.command([sys.executable, "-c", code, str(self.pins)]), capture_output=True, text=True, check=False
        )


class Reader:
    """The test's end of a reader."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ask(self, verb: str, *arguments: object) -> Any:
        self.say(verb, *arguments)
        return self.answer()

    def say(self, verb: str, *arguments: object) -> None:
        assert self.process.stdin
        print(json.dumps([verb, *arguments]), file=self.process.stdin, flush=True)

    def answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            assert self.process.stderr
            raise AssertionError(self.process.stderr.read())
        return json.loads(line)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def marks(self) -> list[str]:
        """The marks of the execs that the rings hold."""
        return marks(self.ask("read"))


def run(mark: object) -> None:
    subprocess.run([TRUE, MARK, str(mark)], check=True)


def marks(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["args"][2] for event in events if event["kind"] == "process.exec" and event["args"][1:2] == [MARK]]


def written(place: Place) -> list[dict[str, Any]]:
    """The events in the journal."""
    return [event for line in journal(place.folder / "journal") for event in line["events"]]


def lost(place: Place) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in journal(place.folder / "journal"):
        for _ring, reason, samples, _since, _until in line["lost"]:
            found[reason] += samples
    return found


def generations(place: Place) -> list[str]:
    return [name for name in place.pinned() if name[0].isdigit()]


class Workload:
    """Execs marked 0, 1, 2 … one after the other; `runs` is how many there were, once it has ended."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process, self.runs = process, 0


@contextmanager
def workload(place: Place) -> Iterator[Workload]:
    """Runs until the end of the block."""
    script = 'i=0; while [ ! -e "$0" ]; do /bin/true "$1" $i; i=$((i+1)); done; echo $i'
    enough = place.folder / "enough"
    work = Workload(subprocess.Popen(["/bin/sh", "-c", script, str(enough), MARK], stdout=subprocess.PIPE, text=True))
    try:
        yield work
    finally:
        enough.touch()
        work.runs = int(work.process.communicate()[0])


def more_than(count: int, reader: Reader) -> list[str]:
    """Marks read until there are so many."""
    found = list[str]()

    def enough() -> bool:
        found.extend(reader.marks())
        return len(found) > count

    wait_for(enough, "the workload is told")
    return found
