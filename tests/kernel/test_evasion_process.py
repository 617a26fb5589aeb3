"""Ways to run a program unseen, by haste, by other doors into the kernel, by other numbers: all of them are seen."""

import errno
import os
import signal
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel.enriched import enriched
from tests.kernel.programs import BASE, ENTRY, compiled, elf32, written
from tests.kernel.recorded import args, recording, settings
from tests.kernel.test_process import facts, marked

pytestmark = pytest.mark.kernel

EXECS = settings("process.exec_failed")
TRUE = Path("/bin/true")


STORM = r"""
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
	char number[8];
	for (int i = 0; i < 1000; i++) {
		sprintf(number, "%d", i);
		int pid = vfork();
		if (pid == 0) {
			execl("/bin/true", "/bin/true", "storm", number, (char *)0);
			_exit(127);
		}
		waitpid(pid, 0, 0);
	}
}
"""


def test_a_storm_of_1000_vforks_and_execs_is_1000_execs_and_exits(tmp_path: Path) -> None:
    program = compiled(tmp_path, STORM)
    with recording(tmp_path, EXECS) as finish:
        starter = subprocess.Popen([program])
        starter.wait()
        told = finish()
    execs = marked(told, "storm")
    assert [args(event)[2] for event in execs] == [str(number) for number in range(1000)]
    assert {facts(event)["process.parent_pid"] for event in execs} == {starter.pid}
    images = [(event.pid, event.start_time, event.exec_id) for event in execs]
    ends = [(event.pid, event.start_time, event.exec_id) for event in told.of("process.exit")]
    assert [image for image in ends if image in set(images)] == images


RACE = r"""
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>
static atomic_int go;
static void *run(void *unused)
{
	while (!go);
	execl("/bin/true", "/bin/true", "raced", (char *)0);
	return unused;
}
int main(void)
{
	pthread_t thread;
	for (int i = 0; i < 8; i++)
		pthread_create(&thread, 0, run, 0);
	go = 1;
	pause();
}
"""


def test_threads_that_race_to_exec_make_one_image_of_their_process(tmp_path: Path) -> None:
    program = compiled(tmp_path, RACE)
    with recording(tmp_path, EXECS) as finish:
        children = [subprocess.Popen([program]) for _ in range(23)]
        for child in children:
            child.wait()
        told = finish()
    execs = marked(told, "raced")
    assert sorted(event.pid for event in execs) == sorted(child.pid for child in children)
    assert {facts(event)["podwitness.process.thread.id"] == event.pid for event in execs} == {False}
    ends = {event.pid: event.exec_id for event in told.of("process.exit")}
    assert [ends[event.pid] for event in execs] == [event.exec_id for event in execs]


REUSE = r"""
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
	char wanted[16], number[16];
	int last = open("/proc/sys/kernel/ns_last_pid", O_WRONLY), first = 0;
	for (int i = 0; i < 230; i++) {
		if (first) {
			sprintf(wanted, "%d", first - 1);
			pwrite(last, wanted, strlen(wanted), 0);
		}
		sprintf(number, "%d", i);
		int pid = vfork();
		if (pid == 0) {
			execl("/bin/true", "/bin/true", "reused", number, (char *)0);
			_exit(127);
		}
		first = first ? first : pid;
		waitpid(pid, 0, 0);
	}
}
"""


def test_a_pid_that_is_reused_within_milliseconds_is_another_process_each_time(tmp_path: Path) -> None:
    """Others of this machine may take the pid now and then; most of 230 times it is the same."""
    program = compiled(tmp_path, REUSE)
    with recording(tmp_path, EXECS) as finish:
        subprocess.run([program], check=True)
        told = enriched(finish())
    execs = marked(told, "reused")
    assert [args(event)[2] for event in execs] == [str(number) for number in range(230)]
    same = [event for event in execs if event.pid == execs[0].pid]
    assert len(same) >= 23
    assert len({event.process.entity_id for event in same}) == len(same)
    ends = [event for event in told.of("process.exit") if event.pid == execs[0].pid]
    assert [end.process.entity_id for end in ends] == [event.process.entity_id for event in same]


@contextmanager
def reader_stopped(output: Path) -> Iterator[None]:
    """The agent does not run inside the block."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    (pid,) = [int(child) for child in children if str(output) in Path(f"/proc/{child}/cmdline").read_text()]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_processes_that_are_gone_before_anybody_looks_are_told_in_full(tmp_path: Path) -> None:
    """Nothing is looked up later: program, directory and arguments are gone too."""
    with recording(tmp_path, EXECS) as finish:
        with reader_stopped(tmp_path / "recording.jsonl"):
            for number in range(23):
                folder = tmp_path / f"place-{number}"
                folder.mkdir()
                program = written(folder / "program", TRUE.read_bytes())
                subprocess.run([str(program), "gone", str(number)], check=True, cwd=folder)
                program.unlink()
                folder.rmdir()
        execs = marked(finish(), "gone")
    assert [args(event)[2] for event in execs] == [str(number) for number in range(23)]
    for number, event in enumerate(execs):
        assert facts(event)["process.executable.path"] == f"{tmp_path}/place-{number}/program"
        assert facts(event)["process.working_directory"] == f"{tmp_path}/place-{number}"


def i386(path: bytes, arguments: Sequence[bytes]) -> bytes:
    """A program of 32 bits: execve() by int 0x80, and exit with the errno if that comes back."""
    code = b"\xb8\x0b\0\0\0\xbb{path}\xb9{argv}\x31\xd2\xcd\x80\x89\xc3\xf7\xdb\xb8\x01\0\0\0\xcd\x80"
    at = ENTRY + len(code) - len(b"{path}{argv}") + 8
    texts = b"".join(text + b"\0" for text in (path, *arguments))
    places, place = list[int](), at + len(path) + 1
    for text in arguments:
        places.append(place)
        place += len(text) + 1
    array = struct.pack(f"<{len(places) + 1}I", *places, 0)
    code = code.replace(b"{path}", struct.pack("<I", at)).replace(b"{argv}", struct.pack("<I", at + len(texts)))
    assert at > BASE
    return elf32(code + texts + array)


def test_execs_by_the_32_bit_table_are_seen_and_so_are_those_that_fail(tmp_path: Path) -> None:
    good = written(tmp_path / "good", i386(b"/bin/true", [b"from-32-bits", b"x"]))
    bad = written(tmp_path / "bad", i386(b"absent/32", [b"from-32-bits", b"--password=hunter2"]))
    with recording(tmp_path, EXECS) as finish:
        children = [subprocess.Popen([path], cwd=tmp_path) for path in (good, bad)]
        assert [child.wait() for child in children] == [0, errno.ENOENT]
        told = enriched(finish())
    (event,) = marked(told, "from-32-bits")
    assert (event.pid, args(event)) == (children[0].pid, ("from-32-bits", "x"))
    (failed,) = [event for event in told.of("process.exec_failed") if event.pid == children[1].pid]
    said = failed.attributes()
    assert said["file.path"] == f"{tmp_path}/absent/32"
    assert said["podwitness.process.exec.args"] == ("from-32-bits", "--password=*****")
    assert (said["podwitness.syscall.name"], said["error.type"]) == ("execve", "ENOENT")
    assert said["process.executable.path"] == str(bad)


MIXED = r"""
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
int main(void)
{
	char *low = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	unsigned *argv = (unsigned *)(low + 128);
	int result;
	strcpy(low, "/nowhere");
	strcpy(low + 64, "mixed");
	argv[0] = (unsigned)(long)(low + 64);
	asm volatile("int $0x80" : "=a"(result) : "a"(11), "b"(low), "c"(argv), "d"(0)
		: "memory", "r8", "r9", "r10", "r11");
	return -result;
}
"""


def test_a_64_bit_program_that_calls_by_the_32_bit_table_is_seen(tmp_path: Path) -> None:
    program = compiled(tmp_path, MIXED)
    with recording(tmp_path, EXECS) as finish:
        child = subprocess.Popen([program])
        assert child.wait() == errno.ENOENT
        told = enriched(finish())
    (failed,) = [event for event in told.of("process.exec_failed") if event.pid == child.pid]
    assert failed.attributes()["file.path"] == "/nowhere"
    assert failed.attributes()["podwitness.process.exec.args"] == ("mixed",)


def test_pid_namespaces_nested_three_deep_hide_nobody(tmp_path: Path) -> None:
    nested = ["unshare", "--pid", "--fork"] * 3
    with recording(tmp_path, EXECS) as finish:
        subprocess.run([*nested, "/bin/sh", "-c", "/bin/true nested; :"], check=True)
        told = enriched(finish())
    (event,) = [event for event in told.of("process.exec") if args(event) == ("/bin/true", "nested")]
    said = event.attributes()
    assert said["process.vpid"] == 2
    assert event.pid not in (1, 2)
    assert said["podwitness.process.in_init_tree"] is True
    ancestors = said["podwitness.process.ancestors"]
    assert isinstance(ancestors, tuple)
    assert [Path(str(path)).name for path in ancestors[1:4]] == ["unshare"] * 3
