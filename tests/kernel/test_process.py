"""Processes as the real probes tell of them, against workloads whose truth the test knows."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from exporter.model import Event, Value
from tests.kernel.programs import compiled
from tests.kernel.recorded import Told, args, recording

pytestmark = pytest.mark.kernel

N = 23
TRUE = "/bin/true"


def facts(event: Event) -> dict[str, Value]:
    assert event.facts is not None
    return event.facts


def marked(told: Told, mark: str) -> list[Event]:
    """Exec events that carry `mark` as an argument."""
    return [event for event in told.of("process.exec") if mark in args(event)]


def of_pids(events: Sequence[Event], pids: Sequence[int]) -> list[Event]:
    return [event for event in events if event.pid in pids]


def test_23_runs_of_a_program_are_23_forks_23_execs_and_23_exits_in_order(tmp_path: Path) -> None:
    with recording(tmp_path) as finish:
        pids = []
        for number in range(N):
            child = subprocess.Popen([TRUE, "podwitness-23", str(number)])
            child.wait()
            pids.append(child.pid)
        told = finish()
    execs = marked(told, "podwitness-23")
    assert [args(event)[-1] for event in execs] == [str(number) for number in range(N)]
    assert [event.pid for event in execs] == pids
    assert {facts(event)["process.parent_pid"] for event in execs} == {os.getpid()}
    exits = of_pids(told.of("process.exit"), pids)
    assert [event.pid for event in exits] == pids
    assert [event.values[0] for event in exits] == [0] * N
    assert [event.pid for event in of_pids(told.of("process.fork"), pids)] == pids
    for begin, end in zip(execs, exits, strict=True):
        assert (begin.pid, begin.start_time, begin.exec_id) == (end.pid, end.start_time, end.exec_id)
        assert begin.boot_time < end.boot_time


def test_an_exec_tells_what_proc_tells(tmp_path: Path) -> None:
    script = "import sys; print('up', flush=True); sys.stdin.read()"
    with recording(tmp_path) as finish:
        child = subprocess.Popen(
            [sys.executable, "-c", script, "told"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=tmp_path,
        )
        assert child.stdout is not None
        child.stdout.readline()
        proc = Path(f"/proc/{child.pid}")
        status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
        stat = (proc / "stat").read_text().rpartition(")")[2].split()
        namespaces = {path.name: path.stat().st_ino for path in (proc / "ns").iterdir()}
        exe, cgroups = (proc / "exe").readlink(), (proc / "cgroup").read_text().splitlines()
        child.communicate()
        (event,) = marked(finish(), "told")
    told = facts(event)
    assert args(event) == (sys.executable, "-c", script, "told")
    assert told["process.args_count"] == 4
    assert told["podwitness.process.args.length"] == sum(len(arg) + 1 for arg in args(event))
    assert told["process.executable.path"] == str(exe)
    assert told["process.working_directory"] == str(tmp_path)
    assert [told[f"process.{who}.id"] for who in ("real_user", "user", "saved_user")] == ids(status["Uid"])
    assert [told[f"podwitness.process.{who}.id"] for who in ("real_group", "group", "saved_group")] == ids(
        status["Gid"]
    )
    for name, line in (("effective", "CapEff"), ("permitted", "CapPrm"), ("inheritable", "CapInh")):
        found = told[f"podwitness.process.capabilities.{name}"]
        assert isinstance(found, tuple)
        assert len(found) == int(status[line], 16).bit_count()
    for name in ("uts", "ipc", "mnt", "pid", "net", "cgroup", "user", "time"):
        assert told[f"podwitness.process.namespace.{name}"] == namespaces[name]
    assert told["process.vpid"] == int(status["NSpid"].split()[-1])
    assert told["podwitness.process.thread.name"] == status["Name"].strip()
    assert told["podwitness.process.thread.id"] == child.pid
    assert told["process.group_leader.pid"] == int(stat[2])
    assert told["process.session_leader.pid"] == int(stat[3])
    assert event.start_time // 10**7 == int(stat[19])  # /proc counts in ticks of 10 ms
    assert f"0::{told['process.linux.cgroup']}" in cgroups


def ids(line: str) -> list[int]:
    """Real, effective and saved id of a /proc/PID/status line."""
    return [int(number) for number in line.split()[:3]]


def test_a_program_that_execs_again_is_a_new_image_of_the_same_process(tmp_path: Path) -> None:
    script = f"import os; os.execv('{TRUE}', ['{TRUE}', 'second-image'])"
    with recording(tmp_path) as finish:
        child = subprocess.Popen([sys.executable, "-c", script, "first-image"])
        child.wait()
        told = finish()
    (first,), (second,) = marked(told, "first-image"), marked(told, "second-image")
    (end,) = of_pids(told.of("process.exit"), [child.pid])
    assert (first.pid, first.start_time) == (second.pid, second.start_time)
    assert second.exec_id == first.exec_id + 1 == end.exec_id
    assert (facts(first)["exec_count"], facts(second)["exec_count"]) == (1, 2)


def test_a_reused_pid_is_another_process(tmp_path: Path) -> None:
    """The kernel is asked to give the same pid again, as it does by itself after pid_max processes."""
    last_pid = Path("/proc/sys/kernel/ns_last_pid")
    with recording(tmp_path) as finish:
        for _attempt in range(50):  # another process of this machine may take the pid first
            first = subprocess.Popen([TRUE, "reused"])
            first.wait()
            last_pid.write_text(str(first.pid - 1))
            second = subprocess.Popen([TRUE, "reused"])
            second.wait()
            if second.pid == first.pid:
                break
        told = finish()
    assert second.pid == first.pid
    both = of_pids(marked(told, "reused"), [first.pid])[-2:]
    ends = of_pids(told.of("process.exit"), [first.pid])[-2:]
    assert both[0].start_time < both[1].start_time
    assert [event.start_time for event in ends] == [event.start_time for event in both]


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_the_exit_code_is_what_the_parent_waits_for(tmp_path: Path, code: int) -> None:
    with recording(tmp_path) as finish:
        child = subprocess.Popen(["/bin/sh", "-c", f"exit {code}"])
        assert child.wait() == code
        (end,) = of_pids(finish().of("process.exit"), [child.pid])
    assert end.values == (code, None, None)


def test_a_killed_process_has_a_signal_and_no_exit_code(tmp_path: Path) -> None:
    with recording(tmp_path) as finish:
        child = subprocess.Popen(["/bin/sleep", "1000"])
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        (end,) = of_pids(finish().of("process.exit"), [child.pid])
    assert end.values == (None, "SIGKILL", None)


def test_threads_are_no_processes_and_the_last_one_ends_the_process(tmp_path: Path) -> None:
    script = (
        "import threading, os, ctypes\n"
        "threads = [threading.Thread(target=lambda: None) for _ in range(5)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "threading.Thread(target=lambda: os._exit(7)).start(); threading.Event().wait()\n"
    )
    with recording(tmp_path) as finish:
        child = subprocess.Popen([sys.executable, "-c", script, "threads"])
        assert child.wait() == 7
        told = finish()
    assert len(of_pids(told.of("process.fork"), [child.pid])) == 1
    (end,) = of_pids(told.of("process.exit"), [child.pid])
    assert end.values[0] == 7
    (begin,) = marked(told, "threads")
    assert not [event for event in told.of("process.fork") if facts(event)["process.parent_pid"] == child.pid]
    assert end.start_time == begin.start_time


def test_an_exec_by_a_second_thread_names_that_thread(tmp_path: Path) -> None:
    script = (
        "import threading, os\n"
        f"def run(): os.execv('{TRUE}', ['{TRUE}', 'by-thread', str(threading.get_native_id())])\n"
        "threading.Thread(target=run).start()\n"
        "threading.Event().wait()\n"
    )
    with recording(tmp_path) as finish:
        child = subprocess.Popen([sys.executable, "-c", script])
        child.wait()
        (event,) = marked(finish(), "by-thread")
    assert event.pid == child.pid
    assert str(facts(event)["podwitness.process.thread.id"]) == args(event)[2] != str(child.pid)


def test_arguments_that_are_no_text_are_told_and_do_no_harm(tmp_path: Path) -> None:
    with recording(tmp_path) as finish:
        subprocess.run([TRUE.encode(), b"no-text", b"\xff\xfe", b"", "ü".encode(), b"a\nb"], check=True)
        (event,) = marked(finish(), "no-text")
    assert args(event) == (TRUE, "no-text", "\\xff\\xfe", "", "ü", "a\nb")


def test_two_mebibytes_of_arguments_are_cut_and_their_true_size_told(tmp_path: Path) -> None:
    many = [TRUE, "two-mebibytes", *(["x" * 99_999] * 19)]
    with recording(tmp_path) as finish:
        subprocess.run(many, check=True, env={})
        (event,) = marked(finish(), "two-mebibytes")
    told = facts(event)
    assert told["process.args_count"] == len(many)
    assert told["podwitness.process.args.length"] == sum(len(arg) + 1 for arg in many)
    kept = sum(len(arg) for arg in args(event)) + 2
    assert kept == 16 * 1024
    assert told["args_whole"] == 2


def test_a_path_is_where_the_file_is_and_not_what_was_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "a folder" / "ünicode"
    folder.mkdir(parents=True)
    program = folder / "program"
    program.write_bytes(Path(TRUE).read_bytes())
    program.chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(program)
    with recording(tmp_path) as finish:
        subprocess.run([f"{tmp_path}/./a folder/../link", "resolved"], check=True, cwd=folder)
        (event,) = marked(finish(), "resolved")
    assert facts(event)["process.executable.path"] == str(program)
    assert facts(event)["process.working_directory"] == str(folder)


def test_a_program_deleted_while_it_runs_is_still_told(tmp_path: Path) -> None:
    program = tmp_path / "short-lived"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    with recording(tmp_path) as finish:
        child = subprocess.Popen([str(program), "1000"])
        program.unlink()
        child.kill()
        child.wait()
        told = finish()
    (event,) = of_pids(told.of("process.exec"), [child.pid])
    assert facts(event)["process.executable.path"] == str(program)
    assert len(of_pids(told.of("process.exit"), [child.pid])) == 1


def test_a_program_in_memory_has_its_name(tmp_path: Path) -> None:
    script = (
        "import os; fd = os.memfd_create('ghost'); os.write(fd, open('/bin/true', 'rb').read())\n"
        "os.execve(fd, ['ghost', 'from-memory'], {})"
    )
    with recording(tmp_path) as finish:
        subprocess.run([sys.executable, "-c", script], check=True)
        (event,) = marked(finish(), "from-memory")
    assert facts(event)["process.executable.path"] == "/memfd:ghost"


def test_a_path_deeper_than_we_walk_is_marked(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 70)
    deep.mkdir(parents=True)
    with recording(tmp_path) as finish:
        subprocess.run([TRUE, "deep"], check=True, cwd=deep)
        (event,) = marked(finish(), "deep")
    assert facts(event)["podwitness.process.working_directory_truncated"] == "start"
    assert facts(event)["process.working_directory"] == "/d" * 64


def test_inside_a_chroot_the_path_is_the_process_own(tmp_path: Path) -> None:
    busybox = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if Path(path).exists()), None)
    assert busybox, "make setup installs busybox-static"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "busybox").write_bytes(Path(busybox).read_bytes())
    (tmp_path / "bin" / "busybox").chmod(0o755)
    with recording(tmp_path) as finish:
        subprocess.run(["/bin/busybox", "true", "in-chroot"], check=True, preexec_fn=lambda: _chroot(tmp_path))
        (event,) = marked(finish(), "in-chroot")
    assert facts(event)["process.executable.path"] == "/bin/busybox"
    assert facts(event)["process.working_directory"] == "/"


def _chroot(folder: Path) -> None:
    os.chroot(folder)
    os.chdir("/")


def test_in_a_pid_namespace_both_pids_are_told(tmp_path: Path) -> None:
    with recording(tmp_path) as finish:
        subprocess.run(["unshare", "--pid", "--fork", TRUE, "own-pid-namespace"], check=True)
        told = finish()
    inner = [
        event
        for event in marked(told, "own-pid-namespace")
        if facts(event)["process.executable.path"] != "/usr/bin/unshare"
    ]
    (event,) = inner
    assert facts(event)["process.vpid"] == 1
    assert event.pid != 1
    assert facts(event)["podwitness.process.namespace.pid"] != Path("/proc/self/ns/pid").stat().st_ino


def test_a_terminal_makes_a_process_interactive(tmp_path: Path) -> None:
    with recording(tmp_path) as finish:
        subprocess.run(["script", "-qc", f"{TRUE} on-a-terminal", "/dev/null"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([TRUE, "without"], check=True, start_new_session=True)
        told = finish()
    (event,) = marked(told, "on-a-terminal")
    assert (
        facts(event)["podwitness.process.tty.major"] == 136
    )  # a pseudo-terminal, Documentation/admin-guide/devices.txt
    assert "podwitness.process.tty.major" not in facts(marked(told, "without")[0])


def test_the_agent_and_its_threads_are_not_told(tmp_path: Path) -> None:
    with recording(tmp_path) as finish:
        subprocess.run([TRUE, "seen"], check=True)
        told = finish()
    assert marked(told, "seen")
    recorders = [event.pid for event in told.snapshot if facts(event)["podwitness.process.thread.name"] == "podwitness"]
    assert recorders
    assert not of_pids(told.events, recorders)


def test_the_snapshot_tells_of_processes_that_were_there_before(tmp_path: Path) -> None:
    child = subprocess.Popen(["/bin/sleep", "1000"], cwd=tmp_path)
    with recording(tmp_path) as finish:
        told = finish()
    child.kill()
    child.wait()
    (event,) = [event for event in told.snapshot if event.pid == child.pid]
    assert facts(event)["process.executable.path"] == str(Path("/bin/sleep").resolve())
    assert facts(event)["process.working_directory"] == str(tmp_path)
    assert facts(event)["process.parent_pid"] == os.getpid()
    assert {os.getpid(), os.getppid()} <= {event.pid for event in told.snapshot}


def test_the_samples_of_a_ring_are_numbered_without_holes(tmp_path: Path) -> None:
    with recording(tmp_path) as finish:
        subprocess.run(["/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do /bin/true; done"], check=True)
        told = finish()
    uids = [event.uid for event in told.events]
    assert len(set(uids)) == len(uids) >= 20


RACE = r"""
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>
static atomic_int go;
static void *spin(void *unused) { while (!go); syscall(SYS_exit, 0); return unused; }
int main(void)
{
	pthread_t thread;
	for (int i = 0; i < 16; i++)
		pthread_create(&thread, 0, spin, 0);
	go = 1;
	syscall(SYS_exit, 0);
}
"""

CLONE_PARENT = r"""
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
	if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0)
		execl("/bin/true", "/bin/true", "clone-parent", (char *)0);
	return 0;
}
"""


def test_threads_that_leave_at_once_end_their_process_once(tmp_path: Path) -> None:
    program = compiled(tmp_path, RACE)
    with recording(tmp_path) as finish:
        children = [subprocess.Popen([program]) for _ in range(230)]
        for child in children:
            child.wait()
        told = finish()
    pids = sorted(child.pid for child in children)
    assert sorted(event.pid for event in of_pids(told.of("process.exit"), pids)) == pids


def test_with_clone_parent_the_cloner_is_told_and_the_first_exec_is_the_first(tmp_path: Path) -> None:
    """As runc starts a container's first process."""
    program = compiled(tmp_path, CLONE_PARENT)
    with recording(tmp_path) as finish:
        cloner = subprocess.Popen([program])
        cloner.wait()
        os.waitpid(-1, 0)  # the clone is our child too
        told = finish()
    (event,) = marked(told, "clone-parent")
    (begin,) = of_pids(told.of("process.fork"), [event.pid])
    assert facts(begin)["cloner"] == cloner.pid
    assert facts(begin)["process.parent_pid"] == os.getpid()
    assert facts(begin)["exec_count"] == 0
    assert event.exec_id == begin.exec_id + 1
