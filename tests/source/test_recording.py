"""Recordings: written by what stands where the kernel does, read again, and what is said of damaged ones."""

import stat
from pathlib import Path
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import RecordingError
from exporter.model import RawSample
from exporter.source import libbpf
from exporter.source.btf import Types
from exporter.source.hooks import Better, Probe
from exporter.source.programs import Kernel, Seen, objects_directory
from exporter.source.recording import FORMAT, Line, Recorder, Recording
from tests.sink.files import no_file_longer_than

OFFSET = 1_795_000_000 * 10**9


class Machine:
    """What a recorder asks of the kernel: the boot, the clock, the layouts of our real objects."""

    boot_id = "36a5b3aa49364a5da4904b0f3fa29ff9"

    def __init__(self) -> None:
        self.types = {name: _types(name) for name in ("snapshot", "process")}
        self.probes = (
            Probe("process.exec", "tp_btf/sched_process_exec", programs=("on_exec",)),
            Probe("file.open", "", "no such hook", (Better("fexit/do_filp_open", "no such hook"),)),
        )

    def offset(self) -> int:
        return OFFSET


def _types(program: str) -> Types:
    opened = libbpf.Object(objects_directory() / f"{program}.bpf.o")
    try:
        return Types(opened.btf())
    finally:
        opened.close()


MACHINE = Machine()
KERNEL = cast(Kernel, MACHINE)


def sample(number: int) -> RawSample:
    return RawSample("lifecycle", 7, number * 64, bytes(range(number % 256)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recording: a snapshot and three batches; lines 1 to 5."""
    path = tmp_path / "recording.jsonl"
    recorder = Recorder(path, KERNEL)
    recorder.snapshot([Seen(sample(1), b"sh\0-c\0"), Seen(sample(2), None)], 10)
    for number in range(3):
        recorder.batch([sample(number)], 20 + number)
    recorder.close()
    return path


def read(path: Path) -> list[Line]:
    recording = Recording(path)
    try:
        return list(recording.lines())
    finally:
        recording.close()


def refused(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        read(path)
    return str(caught.value)


def with_line(path: Path, number: int, line: bytes) -> Path:
    """The same with line `number` replaced."""
    lines = path.read_bytes().splitlines()
    lines[number - 1] = line
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_a_recording_says_by_which_hooks_it_was_made(path: Path) -> None:
    recording = Recording(path)
    assert recording.probes == MACHINE.probes
    recording.close()


def test_what_was_recorded_is_what_is_read(path: Path) -> None:
    recording = Recording(path)
    assert (recording.boot_id, recording.offset()) == (MACHINE.boot_id, OFFSET)
    assert {name: types.raw for name, types in recording.types.items()} == {
        name: types.raw for name, types in MACHINE.types.items()
    }
    snapshot, *batches = recording.lines()
    recording.close()
    assert snapshot == Line(10, seen=[Seen(sample(1), b"sh\0-c\0"), Seen(sample(2), None)])
    assert batches == [Line(20 + number, samples=[sample(number)]) for number in range(3)]


samples = st.builds(
    RawSample,
    st.sampled_from(["lifecycle", "activity"]),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, (1 << 63) - 1),
    st.binary(max_size=200),
)


@given(batches=st.lists(st.lists(samples, min_size=1, max_size=5), max_size=5))
def test_any_bytes_and_positions_come_back(
    batches: list[list[RawSample]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("recording") / "r"
    recorder = Recorder(path, KERNEL)
    for batch in batches:
        recorder.batch(batch, 1)
    recorder.close()
    assert recorder.count == sum(map(len, batches))
    assert [line.samples for line in read(path)] == batches


def test_a_reading_without_samples_is_no_line(path: Path, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "empty", KERNEL)
    recorder.batch([], 1)
    recorder.close()
    assert read(tmp_path / "empty") == []


def test_it_holds_secrets_so_only_its_owner_may_read_it(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_that_exists_is_written_over_and_no_link_followed(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    for taken in (path, link):
        with pytest.raises(RecordingError, match=f"{taken}: File exists"):
            Recorder(taken, KERNEL)
    assert path.read_bytes() == before
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="nowhere/recording: No such file or directory"):
        Recorder(tmp_path / "nowhere/recording", KERNEL)


def test_a_disk_without_room_is_an_error_of_ours_from_the_first_line_on(tmp_path: Path) -> None:
    with no_file_longer_than(1000), pytest.raises(RecordingError, match=r"full: File too large.*make room"):
        Recorder(tmp_path / "full", KERNEL)


def test_a_disk_that_gets_full_is_told_once_and_closing_is_still_possible(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "full", KERNEL)
    with no_file_longer_than((tmp_path / "full").stat().st_size + 10):
        with pytest.raises(RecordingError, match="full: File too large"):
            recorder.batch([sample(200)], 1)
        recorder.close()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1: is no recording"),
        (b"\x7fELF\x02\x01\n", "line 1: is no recording"),
        (b"[]\n", "line 1: is no recording"),
        (b'{"sinks": {}}\n', "line 1: is no recording"),
        (b'{"format": "\xff"}\n', "line 1: is no recording"),
        (b'{"format": "podwitness.recording/1"}\n', "line 1: is no recording"),
        (b'{"format": "podwitness.recording/9", "new": 1}\n', "has format podwitness.recording/9, this version reads"),
    ],
)
def test_what_is_no_recording_of_ours_is_refused_with_the_reason(tmp_path: Path, content: bytes, told: str) -> None:
    other = tmp_path / "other"
    other.write_bytes(content)
    assert told in refused(other)


@pytest.mark.parametrize("btf", [b"", b"no btf", MACHINE.types["process"].raw[:300]])
def test_a_header_whose_layouts_are_damaged_is_refused(path: Path, btf: bytes) -> None:
    header = {"format": FORMAT, "boot_id": "0", "offset": 0, "btf": {"process": btf}}
    told = refused(with_line(path, 1, msgspec.json.encode(header)))
    assert f"{path}, line 1: is no recording: its type information" in told


@pytest.mark.parametrize("number", [2, 4, 5])
@pytest.mark.parametrize("damage", [b"", b"{", b"\x00", b'{"observed": "\xff"}', b'{"observed": 1, "samples": [[]]}'])
def test_a_damaged_line_is_named_by_its_number_after_those_before_it(path: Path, number: int, damage: bytes) -> None:
    recording = Recording(with_line(path, number, damage))
    lines = recording.lines()
    for _whole in range(2, number):
        next(lines)
    with pytest.raises(RecordingError, match=f"{path}, line {number}: is damaged"):
        next(lines)
    recording.close()


def test_a_recorder_that_was_killed_leaves_all_but_its_last_line(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])
    recording = Recording(path)
    lines = recording.lines()
    assert [next(lines).observed for _ in range(3)] == [10, 20, 21]
    with pytest.raises(RecordingError, match="line 5: is damaged"):
        next(lines)
    recording.close()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "absent") == f"{tmp_path}/absent: No such file or directory"
    assert refused(tmp_path) == f"{tmp_path}: Is a directory"
