"""Ways to hide which program runs, tried: each is seen, or the test shows how it is not and says why."""

import ctypes
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel.programs import written
from tests.kernel.recorded import args, recording, settings
from tests.kernel.test_process import facts, marked

pytestmark = pytest.mark.kernel

EXECS = settings("process.exec_failed")
TRUE = Path("/bin/true")
MARK = "podwitness.process.exec."


def python(script: str, *arguments: str) -> int:
    """The pid of a Python that has run a script."""
    child = subprocess.Popen([sys.executable, "-c", script, *arguments])
    assert child.wait() == 0
    return child.pid


def test_a_program_is_named_by_its_file_however_it_was_reached(tmp_path: Path) -> None:
    program = written(tmp_path / "program", TRUE.read_bytes())
    (tmp_path / "link").symlink_to(program)
    opened = (
        f"import ctypes, os; d = os.open({str(tmp_path)!r}, os.O_RDONLY); f = os.open('link', os.O_RDONLY, dir_fd=d)"
    )
    at = "; call = ctypes.CDLL(None).syscall; argv = (ctypes.c_char_p * 2)(b'reached', None)"
    ways = [
        "; os.execve(f, ['reached'], {})",  # fexecve()
        "; os.execv(f'/proc/self/fd/{f}', ['reached'])",
        "; os.execv(f'/proc/self/fd/{d}/./link', ['reached'])",
        f"{at}; call(322, d, b'link', argv, None, 0)",
        f"{at}; p = os.open('link', os.O_PATH, dir_fd=d); call(322, p, b'', argv, None, 0x1000)",
    ]
    with recording(tmp_path, EXECS) as finish:
        pids = [python(opened + way) for way in ways]
        told = finish()
    execs = marked(told, "reached")
    assert [event.pid for event in execs] == pids
    assert {facts(event)["process.executable.path"] for event in execs} == {str(program)}


def test_a_program_that_is_only_in_memory_is_seen(tmp_path: Path) -> None:
    memory = "import os; fd = os.memfd_create('ghost', 0); os.write(fd, open('/bin/true', 'rb').read())"
    with recording(tmp_path, EXECS) as finish:
        python(f"{memory}; os.execve(fd, ['in-memory'], {{}})")
        python(f"{memory}; os.execv(f'/proc/self/fd/{{fd}}', ['in-memory'])")
        python(f"{memory}; os.fork() or os.execv(f'/proc/{{os.getppid()}}/fd/{{fd}}', ['in-memory']); os.wait()")
        told = finish()
    execs = marked(told, "in-memory")
    assert [facts(event)["process.executable.path"] for event in execs] == ["/memfd:ghost"] * 3
    assert [facts(event)[f"{MARK}memfd"] for event in execs] == [True] * 3


def test_of_a_script_in_memory_only_the_interpreter_is_seen(tmp_path: Path) -> None:
    """Unseen: that the script has no file.

    The kernel has closed it when the interpreter begins (exec_binprm()), and leaves its name to the interpreter:
    /dev/fd/N among the arguments tells a reader.
    """
    script = (
        "import os; fd = os.memfd_create('ghost', 0); os.write(fd, b'#!/bin/sh\\n:\\n'); "
        "os.execve(fd, ['replaced', 'script-in-memory'], {})"
    )
    with recording(tmp_path, EXECS) as finish:
        python(script)
        (event,) = marked(finish(), "script-in-memory")
    assert facts(event)["process.executable.path"] == str(Path("/bin/sh").resolve())
    assert args(event)[0] == "/bin/sh"
    assert args(event)[1].startswith("/dev/fd/")
    assert not [name for name in facts(event) if name.startswith(MARK)]


def test_a_chain_of_scripts_is_the_last_interpreter_with_all_of_the_chain(tmp_path: Path) -> None:
    first = written(tmp_path / "first", f"#!{tmp_path}/second one\n".encode())
    second = written(tmp_path / "second", b"#!/bin/sh two\n")
    written(tmp_path / "two", b"")
    with recording(tmp_path, EXECS) as finish:
        subprocess.run([str(first), "chained"], check=False, cwd=tmp_path, stderr=subprocess.DEVNULL)
        (event,) = marked(finish(), "chained")
    assert facts(event)["process.executable.path"] == str(Path("/bin/sh").resolve())
    assert args(event) == ("/bin/sh", "two", str(second), "one", str(first), "chained")


def test_a_program_begun_by_the_loader_is_told_as_the_loader(tmp_path: Path) -> None:
    """Unseen: that what runs is another file.

    The kernel runs the loader, which maps the program like a library; the arguments name it, and file.mmap sees it.
    """
    loader = Path("/lib64/ld-linux-x86-64.so.2")
    with recording(tmp_path, EXECS) as finish:
        subprocess.run([str(loader), str(TRUE), "by-loader"], check=True)
        (event,) = marked(finish(), "by-loader")
    assert facts(event)["process.executable.path"] == str(loader.resolve())
    assert args(event) == (str(loader), str(TRUE), "by-loader")


def test_code_that_is_begun_without_an_exec_is_no_exec(tmp_path: Path) -> None:
    """Unseen: a program that a process puts into its own memory and jumps to ("userland exec").

    No call begins it. That memory became executable is what file.mmap sees.
    """
    with recording(tmp_path, EXECS) as finish:
        with mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as code:
            code.write(b"\xb8\x2a\0\0\0\xc3")  # return 42
            answer = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
            assert answer() == 42
            del answer
        told = finish()
    assert not [event for event in told.events if event.pid == os.getpid() and event.kind.name != "process.fork"]


@contextmanager
def binary_format(folder: Path, rule: str) -> Iterator[None]:
    """A rule of binfmt_misc, until the block ends."""
    if "binfmt_misc" not in Path("/proc/filesystems").read_text():
        pytest.skip("this kernel has no binfmt_misc, or not loaded")
    place = folder / "binfmt"
    place.mkdir()
    subprocess.run(["mount", "-t", "binfmt_misc", "none", str(place)], check=True)
    try:
        (place / "register").write_text(rule)
        yield
    finally:
        (place / rule.split(":")[1]).write_text("-1")
        subprocess.run(["umount", str(place)], check=True)


def test_a_format_of_binfmt_misc_is_its_interpreter_with_the_rights_of_the_file(tmp_path: Path) -> None:
    """With the flag C the file's bits count, which the interpreter's file does not have."""
    name = f"podwitness{os.getpid()}"
    interpreter = written(tmp_path / "interpreter", TRUE.read_bytes())
    program = written(tmp_path / "program", f"{name} content".encode())
    os.chown(program, 1234, 1234)
    program.chmod(0o4755)
    with (
        binary_format(tmp_path, f":{name}:M::{name}::{interpreter}:OC"),
        recording(tmp_path, EXECS) as finish,
    ):
        subprocess.run([str(program), "misc"], check=True)
        (event,) = marked(finish(), "misc")
    assert facts(event)["process.executable.path"] == str(interpreter)
    assert args(event) == (str(interpreter), str(program), "misc")
    assert facts(event)["process.user.id"] == 1234
    assert facts(event)[f"{MARK}setuid"] is True
