"""The real probes around a workload: `podwitness record` runs beside it, then the recording is decoded."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from exporter import probes
from exporter.model import Event
from exporter.source.decode import Decoder
from exporter.source.recording import Recording
from tests.waiting import wait_for

PODWITNESS = str(Path(sys.executable).with_name("podwitness"))


class Told(NamedTuple):
    """What the kernel told: the processes that were there, then the events in the ring's order."""

    snapshot: list[Event]
    events: list[Event]

    def of(self, kind: str) -> list[Event]:
        """Events of one type."""
        return [event for event in self.events if event.kind.name == kind]


@contextmanager
def recording(folder: Path, settings: str = "sinks: {}") -> Iterator[Callable[[], Told]]:
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
        yield lambda: _finish(recorder, output)
    finally:
        if recorder.poll() is None:
            recorder.kill()
        recorder.communicate()


def _finish(recorder: subprocess.Popen[str], output: Path) -> Told:
    recorder.send_signal(signal.SIGTERM)
    _out, said = recorder.communicate(timeout=30)
    assert recorder.returncode == 0, said
    return decode(output)


def decode(path: Path) -> Told:
    """The events of a recording."""
    recording = Recording(path)
    snapshots = Decoder([probes.SNAPSHOT], recording.types, recording.boot_id)
    decoder = Decoder(probes.KINDS, recording.types, recording.boot_id)
    told = Told([], [])
    for line in recording.lines():
        told.snapshot.extend(snapshots.decode([seen.sample for seen in line.seen], recording.offset(), time.time_ns()))
        told.events.extend(decoder.decode(line.samples, recording.offset(), line.observed))
    recording.close()
    return told


def args(event: Event) -> tuple[str, ...]:
    """The arguments of an exec event."""
    assert event.facts is not None
    found = event.facts["args"]
    assert isinstance(found, tuple)
    return tuple(map(str, found))
