"""A process that reads pinned rings, for tests to ask and to kill.

    python -m tests.kernel.reader PIN_PATH FOLDER OBJECTS [RING_BYTES]

It is asked one JSON array a line on its standard input, [verb, argument...], and answers with one JSON value. `follow`
reads until it is killed, and keeps a journal as the agent keeps its spool: events, positions and losses in one line,
then the acknowledgement. A journal's last line may be cut by the kill; the next reader drops it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from exporter import config, probes
from exporter.model import Event, Hook, Kind, RawSample, Value
from exporter.source import descriptors
from exporter.source.decode import Decoders
from exporter.source.losses import boot_now
from exporter.source.programs import Asked, Cgroups, Kernel, objects_directory

RING = 1 << 20
FLOOD = Kind(name="flood", program="flood", ring="activity", hooks=(Hook(("on_flood",)),))


def open_kernel(pin_path: Path, folder: Path, objects: Path, ring: int = RING) -> Kernel:
    """The kernel with pins, as the agent opens it."""
    settings = config.Kernel(
        persist=True, pin_path=str(pin_path), lifecycle_ring_bytes=ring, activity_ring_bytes=4096, hierarchy="v2"
    )
    kinds = (*probes.LIFE, FLOOD) if (objects / "flood.bpf.o").exists() else probes.LIFE
    return Kernel.open(settings, Cgroups("v2", lambda _path: False), Asked(kinds), objects, folder / "objects")


class Reader:
    """What can be asked; each public method is a verb."""

    def __init__(self, pin_path: Path, folder: Path, objects: Path, ring: int = RING) -> None:
        self._journal = folder / "journal"
        self._kernel = open_kernel(pin_path, folder, objects, ring)
        flood = [FLOOD] if "flood" in self._kernel.types else []
        self._decoders = Decoders((*probes.KINDS, *flood), self._kernel)
        self._pin_path = pin_path
        if written := journal(self._journal):
            self._kernel.seek({int(ring): position for ring, position in written[-1]["positions"].items()})
            self._kernel.restore_losses(written[-1]["state"].encode())
            whole = b"".join(line for line in self._journal.read_bytes().splitlines(True) if line.endswith(b"\n"))
            os.truncate(self._journal, len(whole))

    def read(self) -> list[dict[str, Value | None]]:
        """All that the rings hold."""
        return [event for samples in self._kernel.rest() for event in self._tell(samples)]

    def _tell(self, samples: list[RawSample]) -> list[dict[str, Value | None]]:
        """What our build cannot read any more is left out: floods are all there is of that kind."""
        known = [sample for sample in samples if sample.ring == "lifecycle" or "flood" in self._kernel.types]
        return [told(event) for event in self._decoders.decode(known, 0, 0)]

    def follow(self) -> None:
        """Until killed."""
        say("following")
        while True:
            self._kernel.wait()
            self.write()

    def write(self) -> int:
        """One reading, safe in the journal, then acknowledged; how many events it was."""
        events = self._tell(self._kernel.read())
        positions = self._kernel.positions()
        lost = self._kernel.losses()
        line = {"events": events, "positions": positions, "lost": lost, "state": self._kernel.loss_state().decode()}
        with self._journal.open("ab", buffering=0) as file:
            file.write(json.dumps(line).encode() + b"\n")
        self._kernel.acknowledge(positions)
        return len(events)

    def acknowledge(self, told: bool = True) -> None:
        self._kernel.loss_state()
        self._kernel.acknowledge(self._kernel.positions(), told=told)

    def adopt(self) -> int:
        return self._kernel.adopt_losses()

    def wait(self, reading: bool) -> bool:
        return self._kernel.wait(reading=reading)

    def losses(self) -> list[Any]:
        return list(self._kernel.losses())

    def resumed(self) -> bool:
        return self._kernel.resumed

    def set(self, name: str, value: int) -> None:
        """A member of struct reader."""
        self._kernel._attached.current.reader.set(name, value)

    def get(self, name: str) -> int:
        return self._kernel._attached.current.reader.get(name)

    def unsaved(self, *words: bool) -> bool:
        for word in words:
            self._kernel.unsaved = word
        return self._kernel.unsaved

    def renew(self) -> None:
        self._kernel.renew()

    def start(self, argv: list[str]) -> int:
        """Run a program as a child of the agent."""
        return subprocess.run(argv, check=True).returncode

    def shed(self, kinds: list[str]) -> None:
        self._kernel.shed(kinds)

    def now(self) -> int:
        return boot_now()

    def programs(self) -> list[int]:
        """The kernel's ids of what the dispatchers call, both slots of each."""
        found = []
        for path in sorted((self._pin_path / "dispatch").glob("*_programs")):
            fd = descriptors.open_pinned(path)
            for slot in (0, 1):
                try:
                    found.append(int.from_bytes(descriptors.lookup(fd, slot, 4), "little"))
                except Exception:  # an empty slot
                    found.append(0)
            os.close(fd)
        return found


def told(event: Event) -> dict[str, Value | None]:
    """What the tests look at of an event."""
    facts: Mapping[str, Value] = event.facts or {}
    return {
        "uid": event.uid,
        "kind": event.kind.name,
        "pid": event.pid,
        "time": event.boot_time,
        "args": facts.get("args"),
        "path": facts.get("process.executable.path"),
    }


def journal(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().splitlines(True) if line.endswith(b"\n")]


def say(answer: object) -> None:
    """One line to the one who asks."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def serve(reader: Reader) -> None:
    """Answer until the one who asks has gone."""
    say("open")
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        answer: Callable[..., Any] = getattr(reader, verb)
        say(answer(*arguments))


if __name__ == "__main__":
    pins, place, built, *more = sys.argv[1:]
    serve(Reader(Path(pins), Path(place), Path(built) if built else objects_directory(), *map(int, more)))
