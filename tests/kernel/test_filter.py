"""Rules that the kernel applies: what they leave out reaches no ring, what they take in does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exporter.probes.words import SYSCALLS
from tests.e2e.agent import cgroup, enter
from tests.kernel.changes import syscall
from tests.kernel.hooks import is_noted
from tests.kernel.programs import compiled
from tests.kernel.recorded import attributes, opens_only, recording, settings

pytestmark = pytest.mark.kernel

N = 23
OPEN = "import os, sys\nfor path in sys.argv[1:]:\n    os.close(os.open(path, os.O_RDONLY))\n"


def opened(tmp_path: Path, observe: dict[str, Any], workload: Callable[[], int]) -> list[str]:
    """The paths of the opens that were told of the process `workload` names."""
    with recording(tmp_path, opens_only(**observe)) as finish:
        pid = workload()
        told = finish().of("file.open")
    return [str(attributes(event).get("file.path")) for event in told if event.pid == pid]


def here(*paths: Path) -> Callable[[], int]:
    """Open each of the paths, by this process."""

    def workload() -> int:
        for path in paths:
            os.close(os.open(path, os.O_RDONLY))
        return os.getpid()

    return workload


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two in `in`, one of them deeper, and one in `inside`."""
    found = [tmp_path / "in" / "a", tmp_path / "in" / "deep" / "b", tmp_path / "inside" / "c"]
    for path in found:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return found


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"include": ["{}/in/"]}, "ab"),
        ({"include": ["{}/in*"]}, "abc"),
        ({"include": ["{}/in/a"]}, "a"),
        ({"include": ["{}/in"]}, ""),
        ({"include": ["{}/in/"], "exclude": ["{}/in/deep/"]}, "a"),
        ({"exclude": ["{}/in/"]}, "c"),
        ({"exclude": ["{}/in/"], "include": ["{}/in/deep/b", "{}/inside/"]}, "bc"),
    ],
)
def test_the_longest_rule_on_a_path_decides(
    tmp_path: Path, files: list[Path], rules: dict[str, list[str]], told: str
) -> None:
    paths = {sort: [path.format(tmp_path) for path in them] for sort, them in rules.items()}
    found = opened(tmp_path, {"files": {"paths": paths}}, here(*files))
    assert [path for path in found if path in map(str, files)] == [str(path) for path in files if path.name in told]


def test_a_shorter_path_after_a_longer_one_is_judged_by_itself(tmp_path: Path) -> None:
    """The kernel writes paths over each other: what is left of the one before is no part of the next."""
    long, short = tmp_path / "abcdef", tmp_path / "abc"
    long.touch()
    short.touch()
    paths = {"paths": {"include": [f"{tmp_path}/abcd*"]}}
    assert opened(tmp_path, {"files": paths}, here(long, short)) == [str(long)]


def refused(asked: str, folder: Path | None = None) -> Callable[[], int]:
    """Open what is not there, from a folder or from where we are."""

    def workload() -> int:
        fd = os.open(folder, os.O_RDONLY) if folder else None
        with pytest.raises(FileNotFoundError):
            os.open(asked, os.O_RDONLY, dir_fd=fd)
        if fd is not None:
            os.close(fd)
        return os.getpid()

    return workload


@pytest.mark.parametrize(
    "asked", ["/{}/in/absent", "/.{}/in/absent", "{}//in/././//absent", "{}/out", "{}/in/absent/."]
)
@pytest.mark.parametrize("sort", ["include", "exclude"])
def test_what_means_nothing_in_a_path_does_not_hide_it(
    tmp_path: Path, files: list[Path], sort: str, asked: str
) -> None:
    """Of a refused open only the path as it was asked for is known: `//` and `/./` are taken out of it."""
    paths = {"paths": {sort: [f"{tmp_path}/{'in' if sort == 'include' else 'out'}/"]}}
    told = [path for path in opened(tmp_path, {"files": paths}, refused(asked.format(tmp_path))) if "absent" in path]
    expected = f"{tmp_path}/in/absent" + "/" * asked.endswith("/.")
    assert told == ([] if asked == "{}/out" else [expected])


def test_a_name_in_a_directory_is_told_without_what_means_nothing(tmp_path: Path, files: list[Path]) -> None:
    paths = {"paths": {"include": [f"{tmp_path}/in/"]}}
    found = opened(tmp_path, {"files": paths}, refused("././/absent", tmp_path / "in"))
    assert found[-1] == f"{tmp_path}/in/absent"


@pytest.mark.parametrize("rules", [{"include": ["{}/in/"]}, {"exclude": ["{}/out/"]}, {"exclude": ["/*"]}])
def test_a_path_that_goes_up_is_told_whatever_the_rules_say(tmp_path: Path, rules: dict[str, list[str]]) -> None:
    """Where it leads is not known: `..` goes up from where a symbolic link has led."""
    paths = {sort: [path.format(tmp_path) for path in them] for sort, them in rules.items()}
    asked = f"{tmp_path}/out/../in/absent"
    assert asked in opened(tmp_path, {"files": {"paths": paths}}, refused(asked))


def changed(
    tmp_path: Path, kind: str, rules: dict[str, list[str]], does: Callable[[], object]
) -> list[tuple[str, str]]:
    """The paths that were told of our own changes of a kind: the file's, and where it was before."""
    observed = json.loads(settings(kind))
    observed["observe"]["files"] = {"paths": rules}
    with recording(tmp_path, json.dumps(observed)) as finish:
        does()
        told = [attributes(event) for event in finish().of(kind) if event.pid == os.getpid()]
    return [(str(event["file.path"]), str(event.get("podwitness.file.original.path", ""))) for event in told]


def test_a_change_by_a_path_that_goes_up_or_says_nothing_is_told(tmp_path: Path, files: list[Path]) -> None:
    asked = [f"/{tmp_path}/in//a", f"{tmp_path}/./in/./a", f"{tmp_path}/inside/../in/a"]

    def change() -> None:
        for path in asked:
            assert syscall(SYSCALLS["chmod"], path.encode(), 0o600) == 0

    include, exclude = {"include": [f"{tmp_path}/in/"]}, {"exclude": [f"{tmp_path}/inside/"]}
    for rules in (include, exclude):
        told = [path for path, _before in changed(tmp_path, "file.chmod", rules, change)]
        assert told[:2] == [str(files[0])] * 2
        assert os.path.normpath(told[2]) == str(files[0])
        (tmp_path / "recording.jsonl").unlink()


def test_a_symbolic_link_hides_a_change_from_rules_where_its_path_is_not_resolved(
    tmp_path: Path, files: list[Path]
) -> None:
    (tmp_path / "link").symlink_to("in")
    rules = {"include": [f"{tmp_path}/in/"]}
    told = changed(tmp_path, "file.chmod", rules, lambda: (tmp_path / "link" / "a").chmod(0o600))
    assert told == ([(str(files[0]), "")] if is_noted("file.chmod") else [])


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"include": ["{}/in/"]}, ["away", "back"]),
        ({"exclude": ["{}/in/"]}, ["away", "back"]),
        ({"exclude": ["{}/in/", "{}/other"]}, []),
        ({"include": ["{}/elsewhere/"]}, []),
    ],
)
def test_a_rename_is_told_where_either_path_is_taken_in(
    tmp_path: Path, files: list[Path], rules: dict[str, list[str]], told: list[str]
) -> None:
    paths = {sort: [path.format(tmp_path) for path in them] for sort, them in rules.items()}
    moves = {"away": (files[0], tmp_path / "other"), "back": (tmp_path / "other", files[0])}

    def rename() -> None:
        for before, after in moves.values():
            before.rename(after)

    found = changed(tmp_path, "file.rename", paths, rename)
    assert found == [(str(moves[move][1]), str(moves[move][0])) for move in told]


@pytest.mark.parametrize(
    ("access", "told"),
    [
        (["read"], ["r", "rw", "emptied"]),
        (["write"], ["w", "rw", "emptied", "new", "refused"]),
        (["create"], ["new", "refused"]),
        (["read", "create"], ["r", "rw", "emptied", "new", "refused"]),
    ],
)
def test_opens_are_chosen_by_what_they_are_for(tmp_path: Path, access: list[str], told: list[str]) -> None:
    flags = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR, "emptied": os.O_RDONLY | os.O_TRUNC}
    for name in flags:
        (tmp_path / name).touch()
    flags |= {"new": os.O_WRONLY | os.O_CREAT | os.O_EXCL, "absent/refused": os.O_WRONLY | os.O_CREAT}

    def workload() -> int:
        for name, flag in flags.items():
            with suppress(FileNotFoundError):
                os.close(os.open(tmp_path / name, flag))
        return os.getpid()

    paths = {"include": [f"{tmp_path}/"]}
    found = opened(tmp_path, {"files": {"access": access, "paths": paths}}, workload)
    named = [Path(path).name for path in found if path in [str(tmp_path / name) for name in flags]]
    assert named == told


def child(*argv: str, **more: Any) -> Callable[[], int]:
    """Run a program that opens what it is given."""

    def workload() -> int:
        process = subprocess.Popen([sys.executable, "-c", OPEN, *argv], **more)
        assert process.wait() == 0
        return process.pid

    return workload


@pytest.mark.parametrize(
    ("rules", "told"), [({"exclude": [65534]}, 0), ({"include": [65534]}, N), ({"include": [0]}, 0)]
)
def test_users_are_chosen_by_their_effective_id(tmp_path: Path, rules: dict[str, list[int]], told: int) -> None:
    found = opened(tmp_path, {"users": rules}, child(*["/etc/passwd"] * N, user=65534))
    assert found.count("/etc/passwd") == told


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"exclude": ["{}"]}, 0),
        ({"include": ["{}"]}, N),
        ({"include": ["/bin/no-such-program"]}, 0),
        ({"exclude": ["/no/such/directory/"]}, N),
    ],
)
def test_programs_are_chosen_by_their_path(tmp_path: Path, rules: dict[str, list[str]], told: int) -> None:
    program = str(Path(sys.executable).resolve())
    paths = {sort: [path.format(program) for path in them] for sort, them in rules.items()}
    assert opened(tmp_path, {"binaries": paths}, child(*["/etc/passwd"] * N)).count("/etc/passwd") == told


@pytest.mark.parametrize(
    ("rules", "told"),
    [({"exclude": ["/the/program"]}, N), ({"include": ["/the/program"]}, N), ({"include": ["/another"]}, 0)],
)
def test_no_program_is_left_out_by_the_path_it_has_in_a_root_of_its_own(
    tmp_path: Path, rules: dict[str, list[str]], told: int
) -> None:
    root = tmp_path / "root"
    (root / "the").mkdir(parents=True)
    source = '#include <fcntl.h>\nint main(void) { for (int i = 0; i < 23; i++) open("/the/file", O_RDONLY); }'
    compiled(root / "the", source, flags=("-static",))
    (root / "the/file").touch()

    def workload() -> int:
        process = subprocess.Popen(["/the/program"], preexec_fn=lambda: os.chroot(root))
        assert process.wait() == 0
        return process.pid

    assert opened(tmp_path, {"binaries": rules}, workload).count("/the/file") == told


def test_a_program_that_ran_before_the_agent_and_its_forks_are_chosen_too(tmp_path: Path) -> None:
    script = (
        "import os, sys\nsys.stdin.readline()\nos.open('/etc/passwd', 0)\nif os.fork() == 0: os.open('/etc/passwd', 0)"
    )
    program = str(Path(sys.executable).resolve())
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    with recording(tmp_path, opens_only(binaries={"exclude": [program]})) as finish:
        process.communicate(b"\n")
        subprocess.run(["/bin/cat", "/etc/passwd"], stdout=subprocess.DEVNULL, check=True)
        told = finish()
    children = {
        event.pid for event in told.of("process.fork") if (event.facts or {}).get("process.parent_pid") == process.pid
    }
    assert children
    assert not [event for event in told.of("file.open") if event.pid in {process.pid, *children}]
    assert [event for event in told.of("file.open") if attributes(event).get("file.path") == "/etc/passwd"]


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"include": ["{}"]}, N),
        ({"exclude": ["{}"]}, 0),
        ({"include": ["{}"], "exclude": ["{}/below"]}, 0),
        ({"exclude": ["{}"], "include": ["{}/below"]}, N),
        ({"include": ["/no-such-cgroup"]}, 0),
    ],
)
def test_the_nearest_cgroup_that_a_rule_names_decides(tmp_path: Path, rules: dict[str, list[str]], told: int) -> None:
    name = f"/podwitness-filter-{os.getpid()}"
    paths = {sort: [path.format(name) for path in them] for sort, them in rules.items()}
    with cgroup(name) as _folder, cgroup(f"{name}/below") as below:
        found = opened(tmp_path, {"cgroups": paths}, child(*["/etc/passwd"] * N, preexec_fn=partial(enter, below)))
    assert found.count("/etc/passwd") == told
