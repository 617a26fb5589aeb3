"""The table of the kernel's words, and bpf/words.py, which writes it from the headers and checks it by them."""

import errno
import mmap
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from bpf import words as writer
from exporter.probes import words


@pytest.fixture(scope="module")
def headers() -> dict[str, writer.Unit]:
    return writer.units(None)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The committed table, in a copy."""
    copy = tmp_path / "words.py"
    copy.write_text(writer.TABLE.read_text())
    monkeypatch.setattr(writer, "TABLE", copy)
    return copy


@pytest.mark.parametrize(
    ("of", "number", "name"),
    [
        (words.ERRNO, 2, "ENOENT"),
        (words.ERRNO, 11, "EAGAIN"),  # not its second name, EWOULDBLOCK
        (words.OPEN, 0o100, "O_CREAT"),
        (words.OPEN, 0o4010000, "O_SYNC"),
        (words.OPEN, 0o20200000, "O_TMPFILE"),
        (words.CLONE, 0x80, "CLONE_NEWTIME"),
        (words.CLONE, 1 << 33, "CLONE_INTO_CGROUP"),
        (words.MOUNT, 1 << 31, "MS_NOUSER"),
        (words.UMOUNT, 2, "MNT_DETACH"),
        (words.FAMILY, 1, "AF_UNIX"),
        (words.FAMILY, 12, "AF_DECnet"),
        (words.PROTOCOL, 58, "IPPROTO_ICMPV6"),
        (words.ETHER_PROTOCOL, 0x0003, "ETH_P_ALL"),
        (words.PTRACE, 0x4206, "PTRACE_SEIZE"),
        (words.PRCTL, 15, "PR_SET_NAME"),
        (words.PRCTL, 38, "PR_SET_NO_NEW_PRIVS"),
        (words.BPF_COMMAND, 5, "BPF_PROG_LOAD"),
        (words.BPF_PROGRAM_TYPE, 29, "BPF_PROG_TYPE_LSM"),
        (words.BPF_ATTACH_TYPE, 27, "BPF_LSM_MAC"),
        (words.REBOOT, 0x4321FEDC, "LINUX_REBOOT_CMD_POWER_OFF"),
        (words.IO_URING_OPCODE, 18, "IORING_OP_OPENAT"),
        (words.AT, 0x200, "AT_REMOVEDIR"),
        (words.CAPABILITY, 39, "CAP_BPF"),
        (words.SIGNAL, 9, "SIGKILL"),
    ],
)
def test_numbers_that_everybody_knows(of: Mapping[int, str], number: int, name: str) -> None:
    assert of[number] == name


def test_a_limit_is_no_word() -> None:
    assert words.PERF_TYPE[5] == "PERF_TYPE_BREAKPOINT"
    assert 6 not in words.PERF_TYPE  # PERF_TYPE_MAX: on each machine that of some device


def test_calls_have_other_numbers_in_32_bit_programs() -> None:
    assert (words.SYSCALLS["openat"], words.SYSCALLS_I386["openat"]) == (257, 295)
    assert (words.SYSCALLS["execve"], words.SYSCALLS_I386["execve"]) == (59, 11)
    assert (words.SYSCALLS["bpf"], words.SYSCALLS_I386["bpf"]) == (321, 357)


@pytest.mark.parametrize(
    ("of", "python", "at_least"),
    [
        (words.ERRNO, errno, 120),
        (words.OPEN, os, 15),
        (words.MFD, os, 10),
        (words.FAMILY, socket, 30),
        (words.SOCKET_TYPE, socket, 7),
        (words.PROTOCOL, socket, 20),
        (words.PROT, mmap, 3),
        (words.MAP, mmap, 7),
        (words.SIGNAL, signal, 30),
        (words.XATTR, os, 2),
    ],
)
def test_python_knows_the_same_numbers(of: Mapping[int, str], python: ModuleType, at_least: int) -> None:
    # The C library has O_LARGEFILE as 0: on 64 bits it asks for nothing.
    known = {name: number for number, name in of.items() if hasattr(python, name) and name != "O_LARGEFILE"}
    assert known == {name: int(getattr(python, name)) for name in known}
    assert len(known) >= at_least


def test_every_capability_of_this_kernel_has_its_name() -> None:
    assert sorted(words.CAPABILITY) == list(range(len(words.CAPABILITY)))
    assert int(Path("/proc/sys/kernel/cap_last_cap").read_text()) in words.CAPABILITY


def test_the_table_agrees_with_the_headers_of_this_machine() -> None:
    checked = subprocess.run([sys.executable, "bpf/words.py", "--check"], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_wrong_number_a_name_listed_twice_and_a_lost_table_are_all_told(
    headers: dict[str, writer.Unit], table: Path
) -> None:
    text = table.read_text().replace('0o100: "O_CREAT"', '0o101: "O_CREAT"')
    text = text.replace('"read": 0,', '"read": 0, "read": 0,', 1)
    table.write_text(text.replace("\nUMOUNT: Mapping", "\nOTHER: Mapping"))
    with pytest.raises(SystemExit) as told:
        writer.check(headers)
    lines = str(told.value).splitlines()
    assert [line.removeprefix(f"{table}: ") for line in lines] == [
        "has other tables than bpf/words.py makes: OTHER, UMOUNT",
        "OPEN: O_CREAT is 65, in the headers 64",
        "SYSCALLS: __NR_read is there twice",
        "write it again with bpf/words.py",
    ]


def test_words_that_older_headers_do_not_know_are_right(headers: dict[str, writer.Unit], table: Path) -> None:
    table.write_text(table.read_text().replace('0o100: "O_CREAT"', '0o100: "O_CREAT", 0o1000000000000: "O_LATER"'))
    writer.check(headers)


def test_older_headers_take_no_words_away(headers: dict[str, writer.Unit], table: Path) -> None:
    newer = re.sub(r"Linux \d+\.\d+", "Linux 99.0", table.read_text(), count=1)
    table.write_text(newer)
    with pytest.raises(SystemExit, match=r"is from the headers of Linux 99\.0, these are of .*: give newer ones"):
        writer.write(headers)
    assert table.read_text() == newer


def test_two_names_of_one_number_are_for_a_person_to_decide(
    headers: dict[str, writer.Unit], table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.unlink()
    monkeypatch.setattr(writer, "TABLES", (writer.Table("SIGNAL", "Signals.", "SIG(SYS|UNUSED)"),))
    with pytest.raises(SystemExit, match="SIGNAL: SIGSYS and SIGUNUSED are both 31; drop one"):
        writer.write(headers)


def test_what_is_written_is_formatted_and_agrees_with_itself(headers: dict[str, writer.Unit], table: Path) -> None:
    table.unlink()
    writer.write(headers)
    writer.check(headers)
    subprocess.run([sys.executable, "-m", "ruff", "format", "--check", "--quiet", "--config", "pyproject.toml", table],
                   check=True)  # fmt: skip
