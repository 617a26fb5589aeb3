"""Pinned programs and rings: readers are killed, upgraded and refused while a workload runs that counts itself.

The reader is a process of its own (reader.py) in the mount namespace of a bpffs of the test's own.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from exporter.source.libbpf import library
from exporter.source.programs import objects_directory
from tests.kernel.bpffs import bpffs
from tests.kernel.builds import prepared
from tests.kernel.pinned import MARK, TRUE, Place, Reader, generations, lost, marks, more_than, run, workload, written
from tests.kernel.reader import journal
from tests.waiting import wait_for

pytestmark = pytest.mark.kernel
same_anywhere = pytest.mark.slow(reason="what the agent does, on any kernel alike; minutes where the CPU is emulated")

N = 23
MINUTE = 60 * 10**9


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with bpffs(tmp_path) as fs:
        yield Place(fs, tmp_path)


@pytest.fixture(scope="session")
def other_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared("longer-exec", tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="session")
def flooding_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared("with-flood", tmp_path_factory.mktemp("build"))


def each_once(place: Place, expected: Sequence[str]) -> None:
    """Every run is told, none twice, and nothing else is lost."""
    events = written(place)
    assert len({event["uid"] for event in events}) == len(events)
    assert Counter(marks(events)) == Counter(expected)
    assert lost(place) == {}


def caught_up(place: Place, expected: int) -> Callable[[], bool]:
    return lambda: len(marks(written(place))) >= expected


def test_what_happens_between_two_readers_is_there_for_the_next(place: Place) -> None:
    with place.reader() as first:
        assert first.ask("resumed") is False
        run("before")
        assert first.marks() == ["before"]
        first.ask("acknowledge")
    for number in range(N):
        run(number)
    with place.reader() as second:
        assert second.ask("resumed") is True
        assert second.marks() == [str(number) for number in range(N)]
        assert second.ask("losses") == []


def test_what_was_read_but_is_not_safe_comes_again_with_the_same_uid(place: Place) -> None:
    with place.reader() as first:
        run("unsafe")
        (before,) = [event for event in first.ask("read") if marks([event])]
    with place.reader() as second:
        (after,) = [event for event in second.ask("read") if marks([event])]
    assert before == after


def test_the_same_build_loads_nothing_new(place: Place) -> None:
    with place.reader() as first:
        programs, pins = first.ask("programs"), place.pinned()
    assert sum(map(bool, programs)) == 3
    for _restart in range(3):
        with place.reader() as next_one:
            assert next_one.ask("programs") == programs
    assert place.pinned() == pins
    assert [name for name in pins if name[0].isdigit()] == [name for name in pins if name.startswith("1-")]


def test_other_ring_sizes_are_another_generation(place: Place) -> None:
    with place.reader():
        run("small")
    with place.reader(None, 1 << 21) as second:
        assert second.marks() == ["small"]
        second.ask("acknowledge")
        run("large")
        assert second.marks() == ["large"]


@same_anywhere
def test_readers_killed_again_and_again_miss_nothing_and_tell_nothing_twice(place: Place) -> None:
    runs = 0
    for _life in range(8):
        with place.reader() as reader:
            reader.say("follow")
            assert reader.answer() == "following"
            for _run in range(2 * N):
                run(runs)
                runs += 1
    with place.reader() as reader:
        while reader.ask("write"):
            pass
    each_once(place, [str(number) for number in range(runs)])


@same_anywhere
def test_upgrades_and_downgrades_during_a_flood_lose_nothing_and_tell_nothing_twice(
    place: Place, other_build: Path
) -> None:
    with place.reader(other_build):
        pass
    with workload(place) as flood:
        for build in (None, other_build, None, other_build, None):
            before = len(written(place))
            with place.reader(build) as reader:
                reader.say("follow")
                wait_for(lambda before=before: len(written(place)) > before + 10 * N, "the new build reads")  # type: ignore[misc]
                # One that is not read to its end when a further one comes is given up, and counted.
                wait_for(lambda: sum(name[0].isdigit() for name in place.pinned()) == 1, "the old one is read")
    with place.reader() as reader:
        while reader.ask("write"):
            pass
    each_once(place, [str(number) for number in range(flood.runs)])
    ours = [event for event in written(place) if marks([event])]
    assert {event["path"] for event in ours} == {str(Path(TRUE).resolve())}
    times = [event["time"] for event in ours]
    assert times == sorted(times)


def test_of_an_old_generation_nothing_is_left_when_it_was_read(place: Place, other_build: Path) -> None:
    with place.reader(other_build):
        run("old")
    with place.reader() as reader:
        assert len([name for name in place.pinned() if name[0].isdigit()]) == 2
        assert reader.marks() == ["old"]
        reader.ask("acknowledge")
        assert [name[:2] for name in place.pinned() if name[0].isdigit()] == ["2-"]
        assert sum(map(bool, reader.ask("programs"))) == 3
    assert len(list((place.folder / "objects").iterdir())) == 1


def test_builds_that_follow_each_other_and_never_read_do_not_fill_the_kernel(place: Place, other_build: Path) -> None:
    for number, build in enumerate((None, other_build, None, other_build)):
        with place.reader(build):
            run(number)
    assert len([name for name in place.pinned() if name[0].isdigit()]) == 2
    with place.reader(other_build) as reader:
        assert reader.marks() == ["2", "3"]
    with place.reader() as reader:
        (loss,) = [loss for loss in reader.ask("losses") if loss[0] == "lifecycle"]
    ring, reason, samples, since, until = loss
    assert (ring, reason) == ("lifecycle", "generation_removed")
    assert samples >= 3  # fork, exec and exit of the third run
    assert 0 < since < until


@same_anywhere
def test_an_old_generation_whose_objects_are_gone_is_still_read_and_removed(place: Place, other_build: Path) -> None:
    with place.reader(other_build):
        run("old")
    for path in (place.folder / "objects").rglob("*.o"):
        path.unlink()
    with place.reader() as reader:
        reader.say("read")
        with pytest.raises(AssertionError, match="sample of unknown kind"):
            reader.answer()


@same_anywhere
def test_an_old_generation_stays_until_its_losses_are_told_and_goes_then(place: Place, other_build: Path) -> None:
    small = 4096
    with place.reader(other_build, small):
        for number in range(3 * N):
            run(number)
    with place.reader() as reader:
        reader.ask("read")
        reader.ask("acknowledge")
        assert len(generations(place)) == 2  # nobody has asked for its losses
        assert reader.ask("losses")
        reader.ask("acknowledge", False)  # the disk fails
        assert len(generations(place)) == 2
        reader.ask("acknowledge")
        assert len(generations(place)) == 1


@same_anywhere
def test_where_nothing_of_the_last_agent_is_known_its_losses_are_taken_as_told(place: Place, other_build: Path) -> None:
    small = 4096
    with place.reader(other_build, small) as first:
        assert first.ask("adopt") == 0
        first.ask("losses")
        looked = first.ask("get", "looked")
        for number in range(3 * N):
            run(number)
    with place.reader() as second:
        assert second.ask("adopt") == looked
        assert second.ask("losses") == []
        second.ask("read")
        second.ask("acknowledge")
        assert len(generations(place)) == 1


@same_anywhere
def test_a_reader_without_room_waits_whatever_an_old_generation_holds(place: Place, other_build: Path) -> None:
    with place.reader(other_build):
        run("old")
    with place.reader() as reader:
        assert reader.ask("wait", True) is True
        assert reader.ask("wait", False) is False


@same_anywhere
def test_where_objects_cannot_be_kept_it_watches_all_the_same_and_the_next_start_keeps_them(
    place: Place, other_build: Path
) -> None:
    (place.folder / "objects").write_text("no room for a directory")
    with place.reader(other_build) as reader:
        run("unkept")
        reader.ask("renew")
    (place.folder / "objects").unlink()
    with place.reader(other_build):
        run("kept")
    with place.reader() as reader:
        assert reader.marks() == ["unkept", "kept"]


@same_anywhere
@pytest.mark.parametrize("meddle", ['rm -r "$0"', 'mkdir "$0/more"'])
def test_pins_that_somebody_meddles_with_do_not_end_the_reader(place: Place, other_build: Path, meddle: str) -> None:
    with place.reader(other_build):
        run("old")
    with place.reader() as reader:
        (old, _ours) = generations(place)
        subprocess.run(place.fs.command(["sh", "-c", meddle, str(place.pins / old)]), check=True)
        assert reader.marks() == ["old"]
        reader.ask("acknowledge")
        run("new")
        assert reader.marks() == ["new"]


def test_a_second_agent_is_refused(place: Place) -> None:
    with place.reader():
        second = place.start(None)
        with pytest.raises(AssertionError, match=r"podwitness: another agent has it \(one agent a node"):
            second.answer()
        second.kill()
    with place.reader():
        pass


def test_outside_a_bpffs_nothing_is_pinned_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.kernel.reader", str(tmp_path / "pins"), str(tmp_path), ""]
    reader = Reader(argv)
    with pytest.raises(AssertionError, match=r"pins: is in no bpffs \(mount -t bpf bpf /sys/fs/bpf\)"):
        reader.answer()
    reader.kill()
    assert not (tmp_path / "pins").exists()


def test_without_a_reader_the_programs_stop_when_the_lease_is_over_and_count(place: Place) -> None:
    with place.reader() as first:
        now = first.ask("now")
        assert now + 9 * MINUTE < first.ask("get", "lease_until") <= now + 11 * MINUTE
        run("told")
        while first.ask("write"):
            pass
        over = first.ask("now")
        first.ask("set", "lease_until", over)
        for number in range(N):
            run(number)
    with place.reader() as second:  # its lease is new
        run("told again")
        assert second.marks() == ["told again"]
        ((ring, reason, samples, since, until),) = second.ask("losses")
        assert (ring, reason) == ("lifecycle", "no_reader")
        assert samples >= 2 * N  # exec and exit, and forks of those that are not vfork
        assert over < since < until < second.ask("now")
        assert second.ask("losses") == []


@same_anywhere
def test_a_loss_while_no_agent_ran_is_told_once_by_the_next(place: Place) -> None:
    small = 4096
    with place.reader(None, small) as first:
        first.ask("write")
    begin = 0
    for number in range(3 * N):
        run(number)
    with place.reader(None, small) as second:
        while second.ask("write"):
            pass
    with place.reader(None, small) as third:
        third.ask("write")
        begin = third.ask("now")
    told = [loss for line in journal(place.folder / "journal") for loss in line["lost"]]
    assert {(ring, reason) for ring, reason, *_ in told} == {("lifecycle", "ring_full")}
    times = [time for *_, since, until in told for time in (since, until)]  # others may fill the ring again meanwhile
    assert times == sorted(times)
    assert 0 < times[0] < times[-1] < begin
    assert sum(loss[2] for loss in told) + len(written(place)) >= 3 * 3 * N


@same_anywhere
def test_a_loss_that_was_taken_but_not_told_is_told_by_the_next_from_the_last_told_look_on(place: Place) -> None:
    small = 4096
    with place.reader(None, small) as first:
        first.ask("write")
        before = first.ask("now")
        for number in range(3 * N):
            run(number)
        (taken,) = first.ask("losses")  # and killed before it could say so
    with place.reader(None, small) as second:
        ((_ring, _reason, samples, since, until),) = second.ask("losses")
    assert samples >= taken[2]
    assert since <= before < taken[3] <= taken[4] <= until


@same_anywhere
def test_that_numbers_are_unsaved_is_known_to_later_agents_of_any_build(place: Place, other_build: Path) -> None:
    with place.reader() as first:
        run("old")
        assert first.ask("unsaved") is False
        first.ask("unsaved", True)
    with place.reader() as same:
        assert same.ask("unsaved") is True
    with place.reader(other_build) as upgrade:
        assert upgrade.ask("unsaved") is True
        assert upgrade.marks() == ["old"]
        upgrade.ask("acknowledge")
        assert len([name for name in place.pinned() if name[0].isdigit()]) == 1
        assert upgrade.ask("unsaved") is True
    with place.reader() as saved:
        assert saved.ask("unsaved", False) is False
    with place.reader() as last:
        assert last.ask("unsaved") is False


def test_unload_takes_everything_out_of_the_kernel(place: Place, other_build: Path) -> None:
    with place.reader(other_build):
        pass
    with place.reader() as reader:
        programs = [number for number in reader.ask("programs") if number]
        refused = place.unload()
        assert "another agent has it" in refused.stderr
        assert all(map(loaded, programs))
    assert len(programs) == 6
    removed = place.unload().stdout.split()
    assert removed[-1] == str(place.pins)
    assert sum(name.endswith("_link") for name in removed) == 3
    assert place.pinned() == []
    wait_for(lambda: not any(map(loaded, programs)), "the kernel lets go of the programs")
    again = place.unload()
    assert (again.returncode, again.stdout.strip()) == (0, "")


def loaded(program: int) -> bool:
    """Whether the kernel has a program of this id."""
    fd = int(library().bpf_prog_get_fd_by_id(program))
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def test_a_process_that_got_the_agents_pid_is_told(place: Place) -> None:
    """The agent is its pid and its start time; here the pid stays and the start time is another's."""
    child = [TRUE, MARK, "agents-child"]
    with place.reader() as reader:
        reader.ask("start", child)
        assert reader.marks() == []
        reader.ask("set", "agent_start", reader.ask("get", "agent_start") + 1)
        reader.ask("start", child)
        assert reader.marks() == ["agents-child"]


def test_a_hook_comes_with_the_build_that_has_it_and_goes_with_it(place: Place, flooding_build: Path) -> None:
    links = []
    for build in (None, flooding_build, None):
        with place.reader(build) as reader:
            run("all")
            events = reader.ask("read")
            assert marks(events) == ["all"]
            assert any(event["kind"] == "flood" for event in events) == (build is not None)
            reader.ask("acknowledge")
            assert reader.ask("losses") == []
            links.append(sum(name.endswith("_link") for name in place.pinned("dispatch")))
    assert links == [3, 4, 3]


def test_a_hook_that_comes_or_goes_takes_no_event_from_the_others(place: Place, flooding_build: Path) -> None:
    """Told of a workload that never stops, from build to build."""
    told = list[str]()
    with place.reader() as reader, workload(place) as flood:
        told += more_than(N, reader)
        reader.ask("acknowledge")
        reader.kill()
        for build in (flooding_build, None, flooding_build):
            with place.reader(build) as upgraded:
                told += more_than(N, upgraded)
                assert [loss for loss in upgraded.ask("losses") if loss[0] != "activity"] == []
                upgraded.ask("acknowledge")
    with place.reader(flooding_build) as last:
        told += last.marks()
    assert told == [str(number) for number in range(flood.runs)]


def test_what_is_shed_is_counted_and_lifecycle_is_never_shed(place: Place, flooding_build: Path) -> None:
    with place.reader(flooding_build) as reader:
        reader.ask("shed", ["flood", "process.exec"])
        reader.ask("read")
        for number in range(N):
            run(number)
        events = reader.ask("read")
        kinds = Counter(event["kind"] for event in events)
        assert kinds["flood"] == 0
        assert marks(events) == [str(number) for number in range(N)]
        ((ring, reason, samples, since, until),) = reader.ask("losses")
        assert (ring, reason) == ("activity", "shed_memory")
        assert samples >= kinds["process.exec"]
        assert 0 < since < until
        reader.ask("shed", [])
        run("all again")
        kinds = Counter(event["kind"] for event in reader.ask("read"))
        assert kinds["flood"] > 0 < kinds["process.exec"]


STRIDE = os.environ.get("PODWITNESS_STRIDE", "1")
"""1: killed before each change that a start makes; n: before every n-th, where the CPU is emulated."""


@same_anywhere
def test_wherever_a_start_or_an_upgrade_is_killed_the_next_start_heals_it(place: Place, other_build: Path) -> None:
    """Each change of pins, slots, files and words: killed right before it, then started again."""
    argv = [sys.executable, "-m", "tests.kernel.interrupted", str(place.pins), str(place.folder), str(other_build)]
    done = subprocess.run(
        place.fs.command([*argv, str(objects_directory()), STRIDE]), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, upgrade = json.loads(done.stdout)
    assert first > upgrade > 20
