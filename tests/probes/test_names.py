"""Numbers of the kernel as words; the kernel and the C library of this machine are asked what they mean."""

import os
import signal
import socket
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.probes import words
from exporter.probes.names import (
    NAMES,
    NAMESPACES,
    address,
    capabilities,
    device,
    errno_name,
    file_mode,
    file_type,
    namespaces,
    signal_name,
)

FLAGS: Mapping[str, Mapping[int, str]] = {
    "open_flags_t": words.OPEN,
    "resolve_flags_t": words.RESOLVE,
    "rename_flags_t": words.RENAME,
    "xattr_flags_t": words.XATTR,
    "at_flags_t": words.AT,
    "clone_flags_t": {**words.CLONE, **words.SIGNAL},
    "mount_flags_t": words.MOUNT,
    "umount_flags_t": words.UMOUNT,
    "mount_attr_t": words.MOUNT_ATTR,
    "move_mount_flags_t": words.MOVE_MOUNT,
    "prot_t": words.PROT,
    "map_flags_t": words.MAP,
    "memfd_flags_t": words.MFD,
    "socket_type_t": words.SOCKET_TYPE,
    "bpf_command_t": words.BPF_COMMAND,
    "kexec_flags_t": words.KEXEC,
    "kexec_file_flags_t": words.KEXEC_FILE,
    "module_flags_t": words.MODULE,
    "io_uring_setup_t": words.IO_URING_SETUP,
}
ONE_VALUE = {"open_flags_t": 0o3, "clone_flags_t": 0x7F, "map_flags_t": 0x3F << 26 | 0xF, "memfd_flags_t": 0x3F << 26}
ONE_VALUE |= {"socket_type_t": 0xF, "bpf_command_t": 0xFFFF, "kexec_flags_t": 0xFFFF << 16}
NUMBERS = st.integers(0, 2**64 - 1) | st.integers(0, 2**32 - 1) | st.integers(0, 300) | st.integers(-(2**31), -1)


def _read_back(told: str | None, table: Mapping[int, str]) -> int:
    numbers = {name: number for number, name in table.items()}
    read = 0
    for word in told.split("|") if told else ():
        read |= numbers[word] if word in numbers else int(word, 16)
    return read


@pytest.mark.parametrize(
    ("typedef", "number", "told"),
    [
        ("open_flags_t", 0, "O_RDONLY"),
        ("open_flags_t", 0o1101, "O_WRONLY|O_CREAT|O_TRUNC"),
        ("open_flags_t", 0o2000000, "O_RDONLY|O_CLOEXEC"),
        ("open_flags_t", 0x40000001, "O_WRONLY|0x40000000"),
        ("open_flags_t", 0o4010002, "O_RDWR|O_SYNC"),
        ("open_flags_t", 0o10002, "O_RDWR|O_DSYNC"),
        ("open_flags_t", 0o20200202, "O_RDWR|O_EXCL|O_TMPFILE"),
        ("open_flags_t", 0o200000, "O_RDONLY|O_DIRECTORY"),
        ("clone_flags_t", 0x1200011, "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD"),
        ("clone_flags_t", 0x2_0000_0080, "CLONE_NEWTIME|CLONE_INTO_CGROUP"),
        ("clone_flags_t", 0, None),
        ("mount_flags_t", 0x5001, "MS_RDONLY|MS_BIND|MS_REC"),
        ("mount_flags_t", 0, None),
        ("umount_flags_t", 10, "MNT_DETACH|UMOUNT_NOFOLLOW"),
        ("prot_t", 0, "PROT_NONE"),
        ("prot_t", 7, "PROT_READ|PROT_WRITE|PROT_EXEC"),
        ("map_flags_t", 0x22, "MAP_PRIVATE|MAP_ANONYMOUS"),
        ("map_flags_t", 3, "MAP_SHARED_VALIDATE"),
        ("map_flags_t", 0, None),
        ("map_flags_t", 21 << 26 | 0x40022, "MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB|MAP_HUGE_2MB"),
        ("memfd_flags_t", 3, "MFD_CLOEXEC|MFD_ALLOW_SEALING"),
        ("socket_type_t", 0o2004001, "SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC"),
        ("socket_type_t", 0o2000007, "SOCK_CLOEXEC|0x7"),
        ("family_t", 10, "AF_INET6"),
        ("family_t", 99, "99"),
        ("ether_protocol_t", 0x800, "ETH_P_IP"),
        ("ether_protocol_t", 0x7FF, "0x07ff"),
        ("ptrace_request_t", 16, "PTRACE_ATTACH"),
        ("ptrace_request_t", 0x4299, "0x4299"),
        ("bpf_command_t", 0, "BPF_MAP_CREATE"),
        ("bpf_command_t", 5 | 1 << 16, "BPF_PROG_LOAD|BPF_COMMON_ATTRS"),
        ("kexec_flags_t", 62 << 16 | 1, "KEXEC_ARCH_X86_64|KEXEC_ON_CRASH"),
        ("reboot_command_t", 0x01234567, "LINUX_REBOOT_CMD_RESTART"),
        ("errno_t", 0, None),
        ("errno_t", 13, "EACCES"),
        ("port_t", 0, None),
        ("port_t", 443, 443),
        ("inode_t", 2**64 - 1, "18446744073709551615"),
        ("inode_t", 0, None),
        ("user_id_t", 0, 0),
        ("user_id_t", 0xFFFFFFFF, None),
        ("group_id_t", 0xFFFFFFFF, None),
        ("owner_id_t", 0, "0"),
        ("owner_id_t", 0xFFFFFFFF, None),
        ("call_t", 1, "write"),
        ("call_t", 0xFFFF, None),
        ("total_t", 0, 0),
        ("total_t", 2**64 - 1, None),
        ("writer_t", 0, None),
        ("write_phase_t", 1, "first"),
        ("write_phase_t", 2, "total"),
        ("user_address_t", 0x7F0000001000, "0x7f0000001000"),
        ("user_address_t", 0, None),
    ],
)
def test_each_typedef_says_what_its_numbers_mean(typedef: str, number: int, told: str | int | None) -> None:
    assert NAMES[typedef](number) == told


@given(st.sampled_from(sorted(FLAGS)), NUMBERS)
def test_no_bit_is_left_out_of_the_words(typedef: str, number: int) -> None:
    assert _read_back(NAMES[typedef](number), FLAGS[typedef]) == number  # type: ignore[arg-type]


@given(st.data(), st.sampled_from(sorted(FLAGS)))
def test_flags_that_have_words_read_back_from_words_alone(data: st.DataObject, typedef: str) -> None:
    table, of_one_value = FLAGS[typedef], ONE_VALUE.get(typedef, 0)
    flags = [flag for flag in table if flag and not flag & of_one_value]
    values = [value for value in table if not value & ~of_one_value]
    number = data.draw(st.sampled_from(values)) if values else 0
    for flag in data.draw(st.lists(st.sampled_from(flags), unique=True)):
        number |= flag
    told = str(NAMES[typedef](number) or "")
    assert "0x" not in told
    assert _read_back(told, table) == number
    single = [word for word in told.split("|") if word in {table[flag] for flag in flags}]
    assert single == sorted(single, key=list(table.values()).index)


@given(st.sampled_from(sorted(set(NAMES) - {"address_t"})), NUMBERS)
def test_any_number_at_all_has_something_to_show(typedef: str, number: int) -> None:
    told = NAMES[typedef](number)
    for word in told if isinstance(told, tuple) else (told,):
        assert word is None or str(word).isascii()
        assert word is None or str(word)


@given(st.sets(st.integers(0, 63)))
def test_each_bit_is_one_word_in_the_order_of_bits(bits: set[int]) -> None:
    told = capabilities(sum(1 << bit for bit in bits))
    assert len(told) == len(bits)
    numbers = {name: bit for bit, name in words.CAPABILITY.items()}
    assert [numbers[word] if word.startswith("CAP_") else int(word) for word in told] == sorted(bits)


@pytest.mark.parametrize("number", range(1, 65))
def test_a_signal_is_called_what_the_shell_calls_it(number: int) -> None:
    if number in (32, 33):  # the C library keeps them for itself
        assert signal_name(number) == str(number)
        return
    called = subprocess.run(["bash", "-c", f"kill -l {number}"], capture_output=True, text=True, check=True)
    base, _, back = f"SIG{called.stdout.strip()}".partition("-")
    expected = f"SIGRTMIN+{signal.SIGRTMAX - int(back) - signal.SIGRTMIN}" if back else base
    assert signal_name(number) == expected


@pytest.mark.parametrize("number", [0, 65, 127, 255])
def test_what_is_no_signal_stays_a_number(number: int) -> None:
    assert signal_name(number) == str(number)


def test_an_error_of_the_kernel_alone_stays_a_number() -> None:
    assert errno_name(524) == "524"


def test_namespaces_are_called_what_proc_calls_them() -> None:
    here = {path.name for path in Path("/proc/self/ns").iterdir() if not path.name.endswith("_for_children")}
    assert set(NAMESPACES.values()) == here
    assert namespaces(0x20020000 | 0x100) == ("mnt", "pid")
    assert namespaces(0x100) is None


def test_files_of_each_type_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "symlink").symlink_to("nowhere")
    (tmp_path / "file").touch(0o640)
    os.mkfifo(tmp_path / "fifo")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket"))
    listening.close()
    for path in tmp_path.iterdir():
        assert file_type(path.lstat().st_mode) == path.name
    assert file_type(Path("/").stat().st_mode) == "dir"
    assert file_type(Path("/dev/null").stat().st_mode) == "char"
    assert file_type(stat.S_IFBLK | 0o660) == "block"
    assert file_type(0o644) is None
    assert file_type(0o030644) == "0030000"


@pytest.mark.parametrize(("mode", "told"), [(0o100640, "0640"), (0o104755, "4755"), (0o41777, "1777")])
def test_permissions_are_four_octal_digits(mode: int, told: str) -> None:
    assert file_mode(mode) == told


def test_a_file_that_nobody_may_touch_has_a_mode_and_no_file_has_none() -> None:
    assert file_mode(0o100000) == "0000"
    assert file_mode(0) is None


@given(st.integers(0, 2**12 - 1), st.integers(1, 2**20 - 1))
def test_a_device_is_its_major_and_minor_number(major: int, minor: int) -> None:
    assert device(major << 20 | minor) == f"{major}:{minor}"


def test_no_device_is_none() -> None:
    assert device(0) is None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_that_comes_as_ipv6_is_told_as_ipv4(v4: Any) -> None:
    assert address(bytes(10) + b"\xff\xff" + v4.packed) == socket.inet_ntop(socket.AF_INET, v4.packed)


@given(st.binary(min_size=16, max_size=16))
def test_any_16_bytes_are_an_address_that_reads_back(raw: bytes) -> None:
    told = address(raw)
    if ":" in told:
        assert socket.inet_pton(socket.AF_INET6, told) == raw
    else:
        assert bytes(10) + b"\xff\xff" + socket.inet_pton(socket.AF_INET, told) == raw
