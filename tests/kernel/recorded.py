"""The real probes around a workload: `podwitness record` runs beside it, then the recording is decoded."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from exporter import probes
from exporter.model import Event, Value
from exporter.source.decode import TAIL, Decoder
from exporter.source.recording import Recording
from tests.kernel.poison import POISON, poison
from tests.waiting import SLOWER, wait_for

_NEVER = 1 << 64
_PORT = 2  # bytes; there is a port whose number is the poison's
PODWITNESS = str(Path(sys.executable).with_name("podwitness"))


SEEN: dict[str, str] = {}
"""The hook of each event type that the running test has looked at; conftest.py puts it into the test's result."""


class Told(NamedTuple):
    """What the kernel told: processes that were there, then events in the order they happened; by which hooks."""

    snapshot: list[Event]
    events: list[Event]
    hooks: Mapping[str, str] = {}

    def of(self, kind: str) -> list[Event]:
        """Events of one type; that the test looks at it, and the hook it was seen by, go into the test's result."""
        if kind in self.hooks:
            SEEN[kind] = self.hooks[kind]
        return [event for event in self.events if event.kind.name == kind]


def settings(*types: str) -> str:
    """Settings that look at these event types too, and at no others that are on by default."""
    named = {name for glob in types for name in (kind.name for kind in probes.KINDS) if fnmatchcase(name, glob)}
    unnamed = [kind.name for kind in probes.KINDS if kind not in probes.LIFE and kind.name not in named]
    return json.dumps(
        {"sinks": {}, "observe": {"types": {"include": types, "exclude": unnamed}, "aggregate": {"types": []}}}
    )


def opens_only(**observe: Any) -> str:
    """Settings that look at file.open, each one told, under these rules."""
    whole = json.loads(settings("file.open"))
    whole["observe"] |= observe
    return json.dumps(whole)


def attributes(event: Event) -> dict[str, Value]:
    """What an event itself says, without its process."""
    return {name: value for name, value in zip(event.kind.own, event.values, strict=False) if value is not None}


LIFE_ONLY = settings()


@contextmanager
def recording(folder: Path, settings: str = LIFE_ONLY) -> Iterator[Callable[[], Told]]:
    """Probes are attached inside the block; the function it gives stops them and decodes what they told."""
    config, output = folder / "config.yaml", folder / "recording.jsonl"
    config.write_text(settings)
    recorder = subprocess.Popen(
        [PODWITNESS, "record", "--config", str(config), "--output", str(output)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(
            lambda: (output.exists() and output.read_bytes().count(b"\n") >= 2) or recorder.poll(),
            "the recorder is ready",
        )
        since = poison(recorder.pid) if recorder.poll() is None else 0
        yield lambda: _finish(recorder, output, since)
    finally:
        if recorder.poll() is None:
            recorder.kill()
        recorder.communicate()


def _finish(recorder: subprocess.Popen[str], output: Path, since: int) -> Told:
    recorder.send_signal(signal.SIGTERM)
    _out, said = recorder.communicate(timeout=30 * SLOWER)
    assert recorder.returncode == 0, said
    return decode(output, since)


class Layouts:
    """What every sample must be, whatever it tells: no byte more than its struct and its strings, pads that are 0.

    Of those that began after `since`, when scratch memory was poisoned, no byte is left unwritten.
    """

    def __init__(self, recording: Recording, since: int) -> None:
        self._since = since
        self._members = {}
        for kind in (*probes.KINDS, probes.SNAPSHOT):
            name = kind.name.replace(".", "_")
            if types := recording.types.get(kind.program):
                self._members[types.enumerator(f"{name}_kind")] = types.members(name), types.size(name)

    def check(self, data: bytes) -> None:
        """The kernel's memory must not show between what was written."""
        members, struct_size = self._members[int.from_bytes(data[:4], "little")]
        size, is_judged = struct_size, int.from_bytes(data[8:16], "little") > self._since
        for member in members:
            value = data[member.offset : member.offset + member.size]
            if member.typedef in TAIL:
                size += int.from_bytes(value, "little")
            elif member.name.rpartition(".")[2] == "pad":
                assert not any(value), f"{member.name} holds {value.hex()}"
            elif member.text:
                assert not any(value.partition(b"\0")[2]), f"{member.name} holds {value!r}"
            if is_judged and member.size != _PORT:
                assert value != bytes([POISON]) * member.size, f"{member.name} is not written"
        assert len(data) == size
        assert not (is_judged and bytes([POISON]) * 4 in data[struct_size:]), "a string holds what was there before"


def decode(path: Path, since: int = _NEVER) -> Told:
    """The events of a recording; what began after `since` (boot ns) found its scratch memory poisoned."""
    recording = Recording(path)
    snapshots = Decoder([probes.SNAPSHOT], recording.types, recording.boot_id)
    decoder = Decoder(probes.KINDS, recording.types, recording.boot_id)
    told = Told([], [], {probe.type: probe.hook for probe in recording.probes})
    layouts = Layouts(recording, since)
    for line in recording.lines():
        for sample in (*line.samples, *(seen.sample for seen in line.seen)):
            layouts.check(sample.data)
        told.snapshot.extend(snapshots.decode([seen.sample for seen in line.seen], recording.offset(), time.time_ns()))
        told.events.extend(decoder.decode(line.samples, recording.offset(), line.observed))
    recording.close()
    told.events.sort(key=lambda event: event.boot_time)  # each reading has one ring's before the other's
    return told


def args(event: Event) -> tuple[str, ...]:
    """The arguments of an exec event."""
    assert event.facts is not None
    found = event.facts["args"]
    assert isinstance(found, tuple)
    return tuple(map(str, found))
