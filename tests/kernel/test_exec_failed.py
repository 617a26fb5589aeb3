"""Programs that could not be begun, as the real probes tell of them."""

import ctypes
import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exporter import config
from exporter.enrich.arguments import Arguments
from exporter.model import Event, Value
from exporter.shape import redact
from tests.kernel.programs import compiled, elf64, written
from tests.kernel.recorded import Told, recording, settings

pytestmark = pytest.mark.kernel

N = 23
FAILED = settings("process.exec_failed")
LIBC = ctypes.CDLL(None, use_errno=True)
AT_EMPTY_PATH = 0x1000


def told_of(event: Event) -> dict[str, Value]:
    """What a record of the event says: its own attributes, and the arguments as the process table redacts them."""
    arguments = Arguments(redact.compile(config.Redaction()), config.Arguments())
    values = (*event.values, *arguments.refused(event.facts or {}))
    return {name: value for name, value in zip(event.kind.own, values, strict=True) if value is not None}


def failures(told: Told, pid: int) -> list[dict[str, Value]]:
    return [told_of(event) for event in told.of("process.exec_failed") if event.pid == pid]


def refused(path: Path | str, args: list[str]) -> int:
    """Why this process cannot become another program."""
    with pytest.raises(OSError, match="Errno") as caught:
        os.execv(path, args)
    assert caught.value.errno is not None
    return caught.value.errno


def test_23_programs_that_are_not_there_are_23_failures_with_path_and_arguments(tmp_path: Path) -> None:
    with recording(tmp_path, FAILED) as finish:
        for number in range(N):
            assert refused(tmp_path / f"absent-{number}", ["absent", str(number)]) == errno.ENOENT
        told = failures(finish(), os.getpid())
    assert told == [
        {
            "file.path": f"{tmp_path}/absent-{number}",
            "podwitness.file.path_unresolved": True,
            "error.type": "ENOENT",
            "podwitness.syscall.name": "execve",
            "podwitness.process.exec.args": ("absent", str(number)),
            "podwitness.process.exec.args_count": 2,
        }
        for number in range(N)
    ]


def test_each_failure_says_why(tmp_path: Path) -> None:
    """What execve() itself answers is the truth, for each way to fail that needs no broken machine."""
    files = {
        "forbidden": (b"#!/bin/sh\n", 0o644),
        "no-format": (b"what is this\n", 0o755),
        "interpreter": (b"#!/nowhere/at/all -x\n", 0o755),
        "loop": (f"#!{tmp_path}/loop\n".encode(), 0o755),
    }
    for name, (content, mode) in files.items():
        written(tmp_path / name, content, mode)
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    busy = written(tmp_path / "busy", Path("/bin/true").read_bytes())
    names = [*files, "folder", "circle", "busy", "forbidden/below", "n" * 300]
    with recording(tmp_path, FAILED) as finish, busy.open("r+b"):
        truth = {name: errno.errorcode[refused(tmp_path / name, [name])] for name in names}
        told = failures(finish(), os.getpid())
    assert [event["file.path"] for event in told] == [f"{tmp_path}/{name}" for name in names]
    assert [event["error.type"] for event in told] == list(truth.values())
    assert truth == {
        "forbidden": "EACCES", "no-format": "ENOEXEC", "interpreter": "ENOENT", "loop": "ELOOP", "folder": "EACCES",
        "circle": "ELOOP", "busy": "ETXTBSY", "forbidden/below": "ENOTDIR", "n" * 300: "ENAMETOOLONG",
    }  # fmt: skip


def test_arguments_that_are_too_many_are_cut_like_those_of_an_exec_and_not_counted(tmp_path: Path) -> None:
    many = [str(number).rjust(8, "0") for number in range(500_000)]
    with recording(tmp_path, FAILED) as finish:
        assert refused("/bin/true", many) == errno.E2BIG
        (told,) = failures(finish(), os.getpid())
    args = told["podwitness.process.exec.args"]
    assert isinstance(args, tuple)
    assert list(args) == many[: len(args)]
    assert len(args) == 512
    assert told["podwitness.process.exec.args_truncated"] is True
    assert "podwitness.process.exec.args_count" not in told


def test_of_long_arguments_16_kibibytes_are_told_and_all_are_counted(tmp_path: Path) -> None:
    args = ["first", "x" * 4094, "y" * 4095, "z" * 4096, "long" * 20_000, "last"]
    with recording(tmp_path, FAILED) as finish:
        refused(tmp_path / "absent", args)
        told = finish()
    (event,) = [event for event in told.of("process.exec_failed") if event.pid == os.getpid()]
    facts = event.facts or {}
    raw = facts["args"]
    assert isinstance(raw, tuple)
    assert raw[:4] == tuple(args[:4])
    assert sum(len(str(arg)) + 1 for arg in raw) == 16 * 1024 + 1  # the last one lost its end, and its NUL
    assert args[4].startswith(str(raw[4]))
    assert (facts["process.args_count"], facts["args_whole"], facts["args_missing"]) == (6, 4, True)


def test_secrets_are_blotted_out_as_those_of_an_exec_are(tmp_path: Path) -> None:
    with recording(tmp_path, FAILED) as finish:
        refused(tmp_path / "absent", ["client", "--password=hunter2", "--token", "hunter2", "plain"])
        (told,) = failures(finish(), os.getpid())
    assert told["podwitness.process.exec.args"] == ("client", "--password=*****", "--token", "*****", "plain")


def test_a_path_starts_where_the_call_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    directory = os.open(tmp_path / "sub", os.O_RDONLY)
    argv = (ctypes.c_char_p * 2)(b"at", None)
    with recording(tmp_path, FAILED) as finish:
        refused("sub/../absent", ["relative"])
        LIBC.syscall(322, directory, b"absent", argv, None, 0)
        told = failures(finish(), os.getpid())
    os.close(directory)
    assert [event["file.path"] for event in told] == [f"{tmp_path}/sub/../absent", f"{tmp_path}/sub/absent"]
    assert [event["podwitness.syscall.name"] for event in told] == ["execve", "execveat"]


def test_the_file_behind_a_descriptor_is_named_by_the_kernel(tmp_path: Path) -> None:
    path = written(tmp_path / "no program", b"nothing to run\n")
    (tmp_path / "link").symlink_to(path)
    opened = os.open(tmp_path / "link", os.O_PATH)
    memory = os.memfd_create("ghost")
    os.write(memory, b"nothing to run\n")
    argv = (ctypes.c_char_p * 2)(b"by-descriptor", None)
    with recording(tmp_path, FAILED) as finish:
        for fd in (opened, memory):
            assert LIBC.syscall(322, fd, b"", argv, None, AT_EMPTY_PATH) == -1
            assert ctypes.get_errno() == errno.ENOEXEC
        told = failures(finish(), os.getpid())
    os.close(opened)
    os.close(memory)
    assert [event["file.path"] for event in told] == [str(path), "/memfd:ghost"]
    for event in told:
        assert "podwitness.file.path_unresolved" not in event
        assert event["podwitness.process.exec.args"] == ("by-descriptor",)


def test_a_call_with_nothing_to_read_is_told_without_it(tmp_path: Path) -> None:
    with recording(tmp_path, FAILED) as finish:
        LIBC.syscall(59, None, None, None)  # no path at all
        LIBC.syscall(59, b"", None, None)
        LIBC.syscall(59, str(tmp_path / "absent").encode(), ctypes.c_void_p(16), None)  # argv is nowhere
        told = failures(finish(), os.getpid())
    common = {"podwitness.file.path_unresolved": True, "podwitness.syscall.name": "execve"}
    assert told == [
        {**common, "error.type": "EFAULT", "podwitness.process.exec.args_count": 0},
        {**common, "error.type": "ENOENT", "podwitness.process.exec.args_count": 0},
        {**common, "file.path": f"{tmp_path}/absent", "error.type": told[2]["error.type"],
         "podwitness.process.exec.args_truncated": True},
    ]  # fmt: skip


def test_an_exec_that_fails_too_late_names_its_file_and_kills(tmp_path: Path) -> None:
    """The segment cannot be mapped, which the kernel finds out when the old program is gone."""
    broken = written(tmp_path / "broken", elf64(0xFFFF_8000_0000_0000) + bytes(0x1000))
    (tmp_path / "link").symlink_to(broken)
    with recording(tmp_path, FAILED) as finish:
        pid = os.fork()
        if pid == 0:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.execv(tmp_path / "link", ["gone", "--password=hunter2"])
        _pid, status = os.waitpid(pid, 0)
        told = finish()
    assert os.WTERMSIG(status) == signal.SIGSEGV
    (failed,) = failures(told, pid)
    assert failed["file.path"] == str(broken)
    assert failed["podwitness.process.exec.fatal"] is True
    assert failed["podwitness.process.exec.args_truncated"] is True
    assert not failed.keys() & {
        "podwitness.file.path_unresolved", "podwitness.process.exec.args", "podwitness.process.exec.args_count"
    }  # fmt: skip
    assert not [event for event in told.of("process.exec") if event.pid == pid]


def test_a_search_in_path_fails_once_for_each_directory_before_the_right_one(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    program = written(folders[2] / "found", Path("/bin/true").read_bytes())
    path = ":".join(map(str, folders))
    with recording(tmp_path, FAILED) as finish:
        child = subprocess.Popen(["found", "in-path"], env={"PATH": path})
        child.wait()
        told = finish()
    assert [event["file.path"] for event in failures(told, child.pid)] == [f"{folders[0]}/found", f"{folders[1]}/found"]
    (event,) = [event for event in told.of("process.exec") if event.pid == child.pid]
    assert (event.facts or {})["process.executable.path"] == str(program)


REFUSED_BY_SECCOMP = r"""
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {4, rules};
	char *args[] = {"refused", 0};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
	execve("/bin/true", args, 0);
	return errno;
}
"""


def test_an_exec_that_seccomp_refuses_is_told(tmp_path: Path) -> None:
    program = compiled(tmp_path, REFUSED_BY_SECCOMP)
    with recording(tmp_path, FAILED) as finish:
        child = subprocess.Popen([program])
        assert child.wait() == errno.EPERM
        (told,) = failures(finish(), child.pid)
    assert (told["file.path"], told["error.type"]) == ("/bin/true", "EPERM")
    assert told["podwitness.process.exec.args"] == ("refused",)


def test_an_exec_that_succeeds_is_no_failure(tmp_path: Path) -> None:
    with recording(tmp_path, FAILED) as finish:
        child = subprocess.Popen([sys.executable, "-c", "import os; os.execv('/bin/true', ['/bin/true'])"])
        child.wait()
        told = finish()
    assert len([event for event in told.of("process.exec") if event.pid == child.pid]) == 2
    assert not failures(told, child.pid)
