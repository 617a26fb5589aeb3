"""What the agent believes of its memory and its cgroup: measured on this process, read from trees as nodes have."""

import json
import mmap
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.pressure import Change
from exporter.resident import ceiling, cgroup_limit, give_back, resident
from tests.waiting import wait_for

CGROUPS = Path("/sys/fs/cgroup")
MIB = 1 << 20
UNLIMITED = 9223372036854771712  # what v1 says


@pytest.mark.parametrize("exact_above", [0, 1 << 40], ids=["exact", "estimated"])
def test_what_is_taken_is_seen_and_what_is_given_back_too(exact_above: int) -> None:
    before = resident(exact_above)
    taken = mmap.mmap(-1, 64 * MIB)
    assert resident(exact_above) - before < 8 * MIB, "nobody has written to it yet"
    taken.write(b"x" * len(taken))
    assert 56 * MIB < resident(exact_above) - before < 80 * MIB
    taken.close()
    give_back()
    assert resident(exact_above) - before < 8 * MIB


def test_the_ceiling_is_the_setting_unless_the_cgroup_would_kill_before() -> None:
    assert ceiling(128 * MIB, None) == 128 * MIB
    assert ceiling(128 * MIB, 192 * MIB) == 128 * MIB
    assert ceiling(128 * MIB, 128 * MIB) == 112 * MIB


def limits(tmp_path: Path, line: str, files: dict[str, object]) -> int | None:
    """The limit in a tree of `files` for a process whose /proc/self/cgroup has `line`."""
    for name, value in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    (tmp_path / "self").write_text(f"{line}\n")
    return cgroup_limit(tmp_path / "self", tmp_path / "cgroup")


def test_the_lowest_limit_of_all_cgroups_above_counts(tmp_path: Path) -> None:
    files: dict[str, object] = {
        "system.slice/podwitness.service/memory.max": "max",
        "system.slice/memory.max": 300 * MIB,
    }
    assert limits(tmp_path, "0::/system.slice/podwitness.service", files) == 300 * MIB


def test_a_container_sees_its_own_cgroup_as_the_root(tmp_path: Path) -> None:
    assert limits(tmp_path, "0::/", {"memory.max": 192 * MIB}) == 192 * MIB


def test_a_container_under_v1_is_named_by_the_path_of_the_host(tmp_path: Path) -> None:
    files: dict[str, object] = {"memory/memory.limit_in_bytes": 192 * MIB}
    lines = "9:name=systemd:/\n8:cpu,cpuacct:/x\n4:memory:/kubepods/burstable/pod1/c2"
    assert limits(tmp_path, lines, files) == 192 * MIB


def test_no_limit_is_none(tmp_path: Path) -> None:
    assert limits(tmp_path, "4:memory:/", {"memory/memory.limit_in_bytes": UNLIMITED}) is None
    assert limits(tmp_path, "0::/", {"memory.max": "max"}) is None
    assert cgroup_limit(tmp_path / "absent", tmp_path) is None


ALLOCATES = textwrap.dedent(
    """
    import json, sys
    from functools import partial
    from exporter.pressure import Pressure, ladder
    from exporter.resident import ceiling, cgroup_limit, give_back, resident

    limit = ceiling(128 << 20, cgroup_limit())
    taken, cached, queue, now = [], [b"c" * 4096 for _ in range(3000)], [b"q" * 4096 for _ in range(3000)], 0.0
    pressure = Pressure(
        limit,
        ladder(
            caches=(cached.clear, lambda: None),
            activity=[],
            arguments=(lambda: None, lambda: None),
            queues=(lambda: (queue.clear(), taken.clear()), lambda: None),
            processes=(lambda: None, lambda: None),
        ),
        measure=partial(resident, limit // 2),
        relieve=give_back,
    )
    told = []
    while not any(change.step == "queues" for change in told):
        taken.append([b"x" * 1024 for _ in range(1024)])
        now += 1.0
        told += pressure.look(now)
    while pressure.begun:
        now += 1.0
        told += pressure.look(now)
    print(json.dumps({"told": told, "limit": limit}))
    """
)


def run_allocating(*command: str) -> tuple[list[Change], int]:
    """What a process told that `command` starts, and its limit."""
    done = subprocess.run(
        [*command, sys.executable, "-c", ALLOCATES], check=True, capture_output=True, text=True, timeout=120
    )
    answer = json.loads(done.stdout)
    return [Change(*change) for change in answer["told"]], answer["limit"]


STORY = [("caches", "begun"), ("arguments", "begun"), ("queues", "begun"),
         ("queues", "undone"), ("arguments", "undone"), ("caches", "undone")]  # fmt: skip


def test_a_real_process_takes_each_step_as_it_grows_and_undoes_all_when_it_has_shrunk() -> None:
    told, limit = run_allocating()
    assert max(change.memory for change in told) < limit
    first = [(change.step, change.state) for change in told]
    assert list(dict.fromkeys(first)) == STORY


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """A cgroup of our own that kills what takes more than 120 MiB of memory."""
    for parent, limit in ((CGROUPS / "memory", "memory.limit_in_bytes"), (CGROUPS, "memory.max")):
        group = parent / f"podwitness-test-{os.getpid()}"
        if not (parent / "cgroup.procs").exists() or os.geteuid() != 0:
            continue
        try:
            group.mkdir()
        except OSError:  # read-only, as in a container
            continue
        try:
            if (group / limit).exists():
                (group / limit).write_text(str(120 * MIB))
                yield group
                return
        finally:
            wait_for(lambda group=group: removed(group), f"{group} is empty")  # type: ignore[misc]
    pytest.skip("no memory cgroup can be made here")


def removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


@pytest.mark.kernel
def test_in_a_cgroup_below_the_ceiling_it_degrades_and_is_not_killed(small_cgroup: Path) -> None:
    into = f'echo $$ > {small_cgroup}/cgroup.procs && exec "$@"'
    told, limit = run_allocating("sh", "-c", into, "sh")
    assert limit == 105 * MIB, "an eighth below what the cgroup allows"
    assert list(dict.fromkeys((change.step, change.state) for change in told)) == STORY
