"""What an exec says of its program's file: rights that it gives, and that nobody can find it."""

import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from exporter.model import Event, Value
from tests.kernel.programs import written
from tests.kernel.recorded import args, recording, settings

pytestmark = pytest.mark.kernel

N = 23
LIFE = settings("process.exec")
TRUE = Path("/bin/true").read_bytes()
OWNER, CALLER = 1234, 5678
PREFIX = "podwitness.process.exec."
BIND = 10  # CAP_NET_BIND_SERVICE


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can reach, unlike `tmp_path`."""
    folder = Path(tempfile.mkdtemp(prefix="podwitness-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def program(folder: Path, mode: int, name: str = "program") -> Path:
    """A program of OWNER; chown() takes the bits away, so they come last."""
    path = written(folder / name, TRUE)
    os.chown(path, OWNER, OWNER)
    path.chmod(mode)
    return path


def run(command: Sequence[str | Path], user: int = CALLER) -> int:
    """The pid of a program that a user has run."""
    child = subprocess.Popen([*map(str, command)], user=user, group=user, extra_groups=[], env={})
    assert child.wait() == 0
    return child.pid


def marks(event: Event) -> set[str]:
    return {name.removeprefix(PREFIX) for name in event.facts or {} if name.startswith(PREFIX)}


def last_exec(events: Sequence[Event], pid: int) -> Event:
    return [event for event in events if event.pid == pid and event.kind.name == "process.exec"][-1]


def told(event: Event, name: str) -> Value:
    return (event.facts or {})[name]


def test_23_runs_of_a_setuid_program_are_marked_and_one_without_the_bit_is_not(tmp_path: Path, public: Path) -> None:
    bold, plain = program(public, 0o4755), program(public, 0o755, "plain")
    with recording(tmp_path, LIFE) as finish:
        pids = [run([bold]) for _ in range(N)]
        other = run([plain])
        events = finish().events
    for event in (last_exec(events, pid) for pid in pids):
        assert marks(event) == {"setuid"}
        assert [told(event, f"process.{who}.id") for who in ("user", "saved_user", "real_user")] == [
            OWNER,
            OWNER,
            CALLER,
        ]
    assert marks(last_exec(events, other)) == set()


def test_a_setgid_program_is_marked_if_its_group_may_run_it(tmp_path: Path, public: Path) -> None:
    group, locking = program(public, 0o2755), program(public, 0o2745, "locking")
    with recording(tmp_path, LIFE) as finish:
        pids = run([group]), run([locking])
        events = finish().events
    assert [marks(last_exec(events, pid)) for pid in pids] == [{"setgid"}, set()]
    assert told(last_exec(events, pids[0]), "podwitness.process.group.id") == OWNER


def test_root_and_the_owner_run_a_setuid_program_as_its_owner_too(tmp_path: Path, public: Path) -> None:
    path = program(public, 0o6755)
    with recording(tmp_path, LIFE) as finish:
        pids = run([path], user=0), run([path], user=OWNER)
        events = finish().events
    assert [marks(last_exec(events, pid)) for pid in pids] == [{"setuid", "setgid"}] * 2
    assert [told(last_exec(events, pid), "process.user.id") for pid in pids] == [OWNER] * 2


def test_bits_that_the_kernel_does_not_obey_are_not_marked(tmp_path: Path, public: Path) -> None:
    path = program(public, 0o6755)
    script = written(public / "script", b"#!/bin/true\n")
    os.chown(script, OWNER, OWNER)
    script.chmod(0o6755)
    drop = ["setpriv", "--clear-groups", "--reuid", str(CALLER), "--regid", str(CALLER)]
    nosuid = f"mount --bind {public} {public} && mount -o remount,bind,nosuid {public} && exec $0 $@"
    with recording(tmp_path, LIFE) as finish:
        pids = {
            "no_new_privs": run([*drop, "--no-new-privs", path], user=0),
            "a nosuid mount": run(["/usr/bin/unshare", "-m", "/bin/sh", "-c", nosuid, *drop, path], user=0),
            "a script": run([script]),
            "a namespace without the owner": run(["/usr/bin/unshare", "-U", path]),
        }
        events = finish().events
    for why, pid in pids.items():
        event = last_exec(events, pid)
        assert (why, marks(event), told(event, "process.user.id")) == (why, set(), CALLER)


def capable(folder: Path, capability: int) -> Path:
    """A program with a capability of its own, permitted and effective: struct vfs_cap_data, version 2."""
    path = program(folder, 0o755)
    os.setxattr(path, "security.capability", struct.pack("<IIIII", 0x02000001, 1 << capability, 0, 0, 0))
    return path


def test_capabilities_that_come_from_the_file_are_marked(tmp_path: Path, public: Path) -> None:
    path = capable(public, BIND)
    with recording(tmp_path, LIFE) as finish:
        pids = [run([path]) for _ in range(N)]
        events = finish().events
    for event in (last_exec(events, pid) for pid in pids):
        assert marks(event) == {"file_capabilities"}
        assert told(event, "podwitness.process.capabilities.permitted") == ("CAP_NET_BIND_SERVICE",)


def test_capabilities_that_come_from_elsewhere_are_not(tmp_path: Path, public: Path) -> None:
    """Of root's it cannot be known where they come from: root has them all, whatever the file has."""
    path, plain = capable(public, BIND), program(public, 0o755, "plain")
    ambient = ["--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service"]
    drop = ["setpriv", "--clear-groups", "--reuid", str(CALLER), "--regid", str(CALLER)]
    with recording(tmp_path, LIFE) as finish:
        pids = {
            "root's": run([path], user=0),
            "ambient": run([*drop, *ambient, plain], user=0),
            "those of root in a user namespace": run(["/usr/bin/unshare", "-Ur", plain]),
        }
        events = finish().events
    for why, pid in pids.items():
        event = last_exec(events, pid)
        assert (why, marks(event)) == (why, set())
        assert "CAP_NET_BIND_SERVICE" in str(told(event, "podwitness.process.capabilities.permitted"))


def test_root_without_its_privileges_has_them_from_the_file_like_anybody(tmp_path: Path, public: Path) -> None:
    path = capable(public, BIND)
    with recording(tmp_path, LIFE) as finish:
        pid = run(["/usr/bin/setpriv", "--securebits", "+noroot", path], user=0)
        event = last_exec(finish().events, pid)
    assert marks(event) == {"file_capabilities"}


BY_DESCRIPTOR = """
import os, sys
os.chdir(sys.argv[1])
{open}
os.execve(fd, ['by-descriptor', {how!r}], {{}})
"""
WITHOUT_PATH = """
w = os.open('/dev/shm', os.O_TMPFILE | os.O_RDWR, 0o755)  # not every overlayfs can
os.write(w, open('/bin/true', 'rb').read())
fd = os.open(f'/proc/self/fd/{w}', os.O_RDONLY)
os.close(w)
"""
HOWS: dict[str, tuple[str, set[str]]] = {
    "memfd": ("fd = os.memfd_create('ghost'); os.write(fd, open('/bin/true', 'rb').read())", {"memfd"}),
    "gone": ("fd = os.open('program', os.O_RDONLY); os.unlink('program')", {"deleted"}),
    "other name": ("os.link('program', 'b'); fd = os.open('b', os.O_RDONLY); os.unlink('b')", {"deleted"}),
    "spoofed": ("os.link('program', 'memfd:x'); fd = os.open('memfd:x', 0); os.unlink('memfd:x')", {"deleted"}),
    "never had one": (WITHOUT_PATH, {"deleted"}),
    "still there": ("fd = os.open('program', os.O_RDONLY)", set()),
}


def test_a_program_without_a_name_is_marked(tmp_path: Path) -> None:
    with recording(tmp_path, LIFE) as finish:
        for how, (opened, _expected) in HOWS.items():
            program(tmp_path, 0o755)
            script = BY_DESCRIPTOR.format(open=opened, how=how)
            subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
        events = [event for event in finish().of("process.exec") if args(event)[0] == "by-descriptor"]
    assert {args(event)[1]: marks(event) for event in events} == {how: expected for how, (_, expected) in HOWS.items()}


def test_marks_do_not_pass_to_another_program_or_a_child(tmp_path: Path, public: Path) -> None:
    """A forked child runs the same file, but nobody began it there; the marks are of one exec."""
    shell = written(public / "shell", Path("/bin/sh").resolve().read_bytes())
    os.chown(shell, OWNER, OWNER)
    shell.chmod(0o4755)
    with recording(tmp_path, LIFE) as finish:
        pid = run([shell, "-p", "-c", "/bin/true; exec /bin/true after"])
        events = finish().events
    execs = [event for event in events if event.kind.name == "process.exec"]
    assert [marks(event) for event in execs if event.pid == pid] == [{"setuid"}, set()]
    assert [marks(event) for event in execs if told(event, "process.parent_pid") == pid] == [set()]
