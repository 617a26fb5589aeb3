"""`podwitness replay`: the whole pipeline without root, from a recording of this kernel and from what is none."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter.model import Event, RawSample
from exporter.source.recording import Line
from tests.kernel.recorded import Told, args, recording
from tests.terminal import (
    BAD,
    NOBODY,
    TO_STDOUT,
    arguments,
    as_nobody,
    attribute,
    lines,
    numbers,
    podwitness,
    refused,
    to_file,
    written,
)

N = 23
OURS = {what: text for what, (text, _) in BAD.items() if "for the spool" not in what and "nobody looks at" not in what}
"""A replay has no spool, and what was looked at is in the recording."""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Told]:
    """A recording of this kernel made by `podwitness record` around 23 runs of a program, and what is in it."""
    folder = tmp_path_factory.mktemp("real")
    with recording(folder) as finish:
        for number in range(N):
            subprocess.run(["/bin/true", "podwitness-recorded", str(number)], check=True)
        told = finish()
    return folder / "recording.jsonl", told


@pytest.fixture
def recorded(anyone: Path, real: tuple[Path, Told]) -> Path:
    """A copy of the real recording that belongs to nobody."""
    copy = anyone / "recording.jsonl"
    shutil.copy(real[0], copy)
    os.chown(copy, NOBODY, NOBODY)
    return copy


def same(records: list[dict[str, Any]], events: list[Event]) -> None:
    """The records are of these events, one for one and in this order."""
    told = [
        (
            attribute(record, "log.record.uid")["stringValue"],
            record["eventName"],
            int(record["timeUnixNano"]),
            int(attribute(record, "process.pid")["intValue"]),
        )
        for record in records
    ]
    assert told == [(event.uid, event.kind.event_name, event.time, event.pid) for event in events]


@pytest.mark.kernel
def test_a_replay_without_root_gives_what_was_recorded_in_its_order(
    anyone: Path, recorded: Path, real: tuple[Path, Told]
) -> None:
    path = written(anyone, to_file(anyone))
    done = as_nobody("replay", "--config", path, recorded)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    records, events = lines(anyone), real[1].events
    same(records, events)
    assert numbers(done.stderr.splitlines()[-1]) == (len(events), len(events))
    marked = [arguments(record) for record in records if "podwitness-recorded" in arguments(record)]
    assert marked == [list(args(event)) for event in events if "podwitness-recorded" in told_arguments(event)]
    assert [found[-1] for found in marked] == [str(number) for number in range(N)]


def told_arguments(event: Event) -> tuple[str, ...]:
    return args(event) if event.kind.name == "process.exec" else ()


@pytest.mark.kernel
def test_what_the_settings_leave_out_is_in_the_account(anyone: Path, recorded: Path, real: tuple[Path, Told]) -> None:
    path = written(anyone, to_file(anyone, events={"include": ["process.exec"]}))
    done = as_nobody("replay", "--config", path, recorded)
    events = real[1].events
    execs = [event for event in events if event.kind.name == "process.exec"]
    same(lines(anyone), execs)
    assert done.stderr == (
        f"podwitness: seen {len(events)}; file: sent {len(execs)}, "
        f"dropped {len(events) - len(execs)} (shape: not selected, as configured)\n"
    )


@pytest.mark.kernel
def test_a_sample_of_an_unknown_kind_costs_itself(anyone: Path, recorded: Path, real: tuple[Path, Told]) -> None:
    found = recorded.read_bytes().splitlines()
    alien = RawSample("activity", 1, 0, (4_000).to_bytes(4, "little") + bytes(200))
    found[2:2] = [msgspec.json.encode(Line(1, samples=[alien, alien]))]
    recorded.write_bytes(b"\n".join(found) + b"\n")
    done = as_nobody("replay", "--config", written(anyone, to_file(anyone)), recorded)
    events = real[1].events
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    *told, lost = lines(anyone)
    same(told, events)
    assert (lost["eventName"], attribute(lost, "podwitness.agent.lost.count")) == (
        "podwitness.agent.events_lost",
        {"intValue": "2"},
    )
    assert done.stderr.splitlines()[-1] == (
        f"podwitness: seen {len(events) + 3}; dropped 2 (decode: undecodable); file: sent {len(events) + 1}, dropped 0"
    )


@pytest.mark.kernel
def test_a_recording_damaged_in_a_line_is_told_until_there_and_then_refused(
    anyone: Path, recorded: Path, real: tuple[Path, Told]
) -> None:
    found = recorded.read_bytes().splitlines()
    number = len(found)
    found[-1] = found[-1][:40]
    recorded.write_bytes(b"\n".join(found) + b"\n")
    done = as_nobody("replay", "--config", written(anyone, to_file(anyone)), recorded)
    assert f"{recorded}, line {number}: is damaged: " in refused(done)
    before = msgspec.json.decode(real[0].read_bytes().splitlines()[-1], type=Line).samples
    same(lines(anyone), real[1].events[: -len(before)])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1: is no recording"),
        (Path("/bin/true").read_bytes(), "line 1: is no recording"),
        (b'{"format": "podwitness.recording/9"}\n', "has format podwitness.recording/9, this version reads"),
        (
            b'{"format": "podwitness.recording/1", "boot_id": "", "offset": 0, "btf": {}}\n',
            "the program process is missing",
        ),
        (
            b'{"format": "podwitness.recording/1", "boot_id": "", "offset": 0, "btf": {"process": "AAAA"}}\n',
            "line 1: is no recording: its type information is not BTF",
        ),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "recording"
    path.write_bytes(content)
    assert told in refused(podwitness("replay", "--config", written(tmp_path, TO_STDOUT), path))


def test_a_recording_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    line = refused(podwitness("replay", "--config", written(tmp_path, TO_STDOUT), path))
    assert line == f"{path}: No such file or directory"


@pytest.mark.kernel
@pytest.mark.parametrize("name", OURS)
def test_what_replay_refuses_it_refuses_in_the_same_words_as_check(tmp_path: Path, name: str, recorded: Path) -> None:
    """Replay opens the same pipeline as run, and needs no root."""
    path = written(tmp_path, OURS[name])
    assert refused(podwitness("replay", "--config", path, recorded)) == refused(podwitness("check", "--config", path))
