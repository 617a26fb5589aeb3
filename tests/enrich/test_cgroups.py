"""From a cgroup's number to its path, and from the path to container, pod and runtime."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.enrich.cgroups import Container, Hierarchy, Tree, choose, parse, pod_uid
from exporter.errors import ConfigError

ID = "3f4e" * 16
INNER = "99aa" * 16
UID = "6f5b1c2e-0d3a-4e5f-8a9b-0c1d2e3f4a5b"
SLICE_UID = UID.replace("-", "_")
HASH = "0123456789abcdef0123456789abcdef"
KIND = f"/system.slice/docker-{INNER}.scope/kubelet.slice/kubelet-kubepods.slice"
BURSTABLE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICE_UID}.slice"


@pytest.mark.parametrize(
    ("path", "runtime"),
    [
        (f"{BURSTABLE}/cri-containerd-{ID}.scope", "containerd"),
        (f"{BURSTABLE}/crio-{ID}.scope", "cri-o"),
        (f"{BURSTABLE}/crio-{ID}.scope/container", "cri-o"),
        (f"{BURSTABLE}/docker-{ID}.scope", "docker"),
        (f"{BURSTABLE}/libpod-{ID}.scope", "podman"),
        (f"/kubepods.slice/kubepods-pod{SLICE_UID}.slice/cri-containerd-{ID}.scope", "containerd"),
        (f"/kubepods/besteffort/pod{UID}/{ID}", None),
        (f"/kubepods/pod{UID}/{ID}", None),
        (f"/kubepods/burstable/pod{UID}/crio-{ID}", "cri-o"),
        (f"/kubepods-besteffort-pod{SLICE_UID}.slice:cri-containerd:{ID}", "containerd"),
        (f"/system.slice/containerd.service/kubepods-pod{SLICE_UID}.slice:cri-containerd:{ID}", "containerd"),
        # kind: a node in a container, its kubelet below a slice of its own
        (f"{KIND}/kubelet-kubepods-pod{SLICE_UID}.slice/cri-containerd-{ID}.scope", "containerd"),
        (f"/docker/{INNER}/kubelet/kubepods/burstable/pod{UID}/{ID}", None),
        # k3s in a container
        (f"/docker/{INNER}/kubepods/besteffort/pod{UID}/{ID}", None),
    ],
)
def test_a_container_of_a_pod_is_found_under_every_driver_and_runtime(path: str, runtime: str | None) -> None:
    assert parse(path) == Container(ID, UID, runtime)


@pytest.mark.parametrize(
    ("path", "runtime"),
    [
        (f"/docker/{ID}", "docker"),
        (f"/system.slice/docker-{ID}.scope", "docker"),
        (f"/machine.slice/libpod-{ID}.scope/container", "podman"),
        (f"/machine.slice/machine-libpod_pod_{INNER}.slice/libpod-{ID}.scope", "podman"),
        (f"/default/{ID}", None),
    ],
)
def test_a_container_without_a_pod_is_found_too(path: str, runtime: str | None) -> None:
    assert parse(path) == Container(ID, None, runtime)


def test_the_hash_of_a_static_pod_stands_for_its_uid_as_it_is() -> None:
    assert parse(f"/kubepods/burstable/pod{HASH}/{ID}") == Container(ID, HASH, None)


@pytest.mark.parametrize("below", [f"docker/{INNER}", f"kubepods/pod{'0' * 32}/{INNER}", f"docker-{INNER}.scope"])
def test_a_container_cannot_pass_for_another_by_making_cgroups_of_its_own(below: str) -> None:
    assert parse(f"{BURSTABLE}/cri-containerd-{ID}.scope/{below}") == Container(ID, UID, "containerd")


@pytest.mark.parametrize(
    "path",
    [
        f"{BURSTABLE}/crio-conmon-{ID}.scope",
        f"/machine.slice/libpod-conmon-{ID}.scope",
        f"/kubepods/burstable/pod{UID}/crio-conmon-{ID}",
    ],
)
def test_the_monitor_of_a_container_is_neither_container_nor_pod(path: str) -> None:
    assert parse(path) is None
    assert pod_uid(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/system.slice/sshd.service",
        "/user.slice/user-1000.slice/session-3.scope",
        f"/x/{ID}0",
        f"/pod{UID}x/{ID[:-1]}",
    ],
)
def test_a_process_of_the_host_has_no_container(path: str) -> None:
    assert parse(path) is None


def test_a_pod_whose_processes_are_in_no_container_is_still_that_pod() -> None:
    assert parse(f"{BURSTABLE}/kata_overhead") is None
    assert pod_uid(f"{BURSTABLE}/kata_overhead") == UID
    assert pod_uid("/system.slice/sshd.service") is None


@given(
    st.lists(
        st.sampled_from(
            ["kubepods", "pod", "-", ":", "/", ".slice", ".scope", UID, HASH, ID, "docker", "conmon", "\n", "é"]
        ),
        max_size=40,
    ).map("".join)
)
def test_whatever_a_path_is_made_of_the_answer_is_whole_or_none(path: str) -> None:
    found = parse(path)
    if found:
        assert found.id in path
        assert len(found.id) == 64
        assert found.pod_uid is None or found.pod_uid == pod_uid(path)


def test_a_hostile_path_takes_no_longer_than_its_length() -> None:
    # A backtracking pattern would take minutes over these; the suite has no time for it.
    for piece in ("-pod" + "0" * 31, "a" * 63, ("0" * 64 + "-"), "pod" * 9):
        assert parse("/" + piece * 20_000) is None


HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
UNIFIED = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
ROOT = Path("/sys/fs/cgroup")


@pytest.mark.parametrize(
    ("mounted", "setting", "expected"),
    [
        (UNIFIED, "auto", Hierarchy("v2", ROOT, None)),
        (HYBRID, "auto", Hierarchy("pids", ROOT / "pids", "pids")),
        (HYBRID.replace("rw,pids", "rw,x"), "auto", Hierarchy("memory", ROOT / "memory", "memory")),
        (HYBRID, "memory", Hierarchy("memory", ROOT / "memory", "memory")),
        (HYBRID, "v2", Hierarchy("v2", ROOT / "unified", None)),
        ("\n".join(HYBRID.splitlines()[-2:]), "auto", Hierarchy("v2", ROOT / "unified", None)),
    ],
)
def test_the_hierarchy_is_chosen_by_what_is_mounted(
    tmp_path: Path, mounted: str, setting: str, expected: Hierarchy
) -> None:
    (tmp_path / "mountinfo").write_text(mounted)

    assert choose(setting, ROOT, tmp_path / "mountinfo") == expected  # type: ignore[arg-type]


def test_a_root_with_a_blank_in_its_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(r"31 23 0:28 / /host\040cgroup rw - cgroup2 cgroup2 rw" + "\n")

    assert choose("auto", Path("/host cgroup"), tmp_path / "mountinfo").mount == Path("/host cgroup")


def test_a_hierarchy_that_is_not_mounted_is_refused_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(UNIFIED)

    with pytest.raises(ConfigError, match=r"kernel\.hierarchy: cgroup hierarchy pids is not mounted.*mounted: v2"):
        choose("pids", ROOT, tmp_path / "mountinfo")


def test_no_hierarchy_at_all_is_refused_with_what_to_mount(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no cgroup hierarchy is mounted at or below"):
        choose("auto", tmp_path)


def test_the_hierarchy_of_this_machine_is_a_directory_of_cgroups() -> None:
    found = choose("auto", ROOT)

    assert (found.mount / "cgroup.procs").exists()


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A new cgroup of this machine, in the hierarchy that `auto` takes."""
    path = choose("auto", ROOT).mount / f"podwitness-test-{os.getpid()}-{time.monotonic_ns()}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no right to make a cgroup: {error}")
    yield path
    if path.exists():
        path.rmdir()


def test_a_real_cgroup_is_found_by_its_number_and_stays_known_after_its_end(cgroup: Path) -> None:
    tree, number = Tree(choose("auto", ROOT)), cgroup.stat().st_ino

    assert tree.path_of(number) == f"/{cgroup.name}"

    cgroup.rmdir()
    assert tree.path_of(number) == f"/{cgroup.name}"


def tree_in(folder: Path, clock: Clock, limit: int = 100) -> Tree:
    return Tree(Hierarchy("v2", folder, None), limit=limit, pause=1.0, clock=clock)


def test_the_root_and_every_folder_below_it_are_found(tmp_path: Path) -> None:
    (tmp_path / "kubepods" / "burstable").mkdir(parents=True)
    tree = tree_in(tmp_path, Clock())

    assert tree.path_of(tmp_path.stat().st_ino) == "/"
    assert tree.path_of((tmp_path / "kubepods" / "burstable").stat().st_ino) == "/kubepods/burstable"


def test_an_unknown_number_walks_the_tree_again_only_after_a_pause(tmp_path: Path) -> None:
    clock = Clock()
    tree = tree_in(tmp_path, clock)
    assert tree.path_of(1) is None
    (tmp_path / "late").mkdir()
    number = (tmp_path / "late").stat().st_ino

    assert tree.path_of(number) is None
    clock.now += 1.0

    assert tree.path_of(number) == "/late"


def test_what_the_kernel_tells_needs_no_walk(tmp_path: Path) -> None:
    tree = tree_in(tmp_path / "missing", Clock())

    tree.learn(23, "/kubepods/pod1")

    assert tree.path_of(23) == "/kubepods/pod1"


def test_the_oldest_paths_are_forgotten_beyond_the_limit(tmp_path: Path) -> None:
    tree = tree_in(tmp_path / "missing", Clock(), limit=3)

    for number in (1, 2, 1, 3, 4):
        tree.learn(number, f"/{number}")

    assert [tree.path_of(number) for number in (1, 2, 3, 4)] == ["/1", None, "/3", "/4"]


def test_a_deep_tree_of_one_container_does_not_hide_the_others(tmp_path: Path) -> None:
    deep = tmp_path / "a"
    for _ in range(50):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (tmp_path / "z").mkdir()
    tree = tree_in(tmp_path, Clock(), limit=10)

    assert tree.path_of((tmp_path / "z").stat().st_ino) == "/z"


class Walks:
    """Tells whether the tree was walked: by a folder that only a walk can find."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self.clock, self.tree = folder, clock, tree_in(folder, clock)
        self._made = 0

    def after(self, seconds: float) -> bool:
        """Whether an unknown number walks the tree `seconds` from now: a new folder would be learned."""
        self.clock.now += seconds
        self._made += 1
        (self._folder / str(self._made)).mkdir()
        self.tree.path_of(1)
        return (self._folder / str(self._made)).stat().st_ino in self.tree._paths


def test_a_number_that_stays_unknown_walks_less_and_less_often_but_once_a_minute(tmp_path: Path) -> None:
    walks = Walks(tmp_path, Clock())
    assert walks.after(0)

    for pause in (1, 2, 4, 8, 16, 32, 60, 60):
        assert not walks.after(pause - 0.5), f"sooner than {pause} s"
        assert walks.after(0.5), f"after {pause} s"


def test_a_walk_that_finds_what_was_asked_for_makes_the_pause_short_again(tmp_path: Path) -> None:
    walks = Walks(tmp_path, Clock())
    for pause in (0, 1, 2, 4):
        assert walks.after(pause)
    (tmp_path / "late").mkdir()
    assert walks.tree.path_of((tmp_path / "late").stat().st_ino) is None, "in the pause"

    assert walks.after(8), "some other number asks, and the one asked for in the pause is found as well"

    assert walks.after(1)
