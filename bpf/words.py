"""Writes exporter/probes/words.py: the kernel's numbers and flags by the names its own headers give them.

    .venv/bin/python bpf/words.py                   from the headers of this machine (linux-libc-dev)
    .venv/bin/python bpf/words.py --headers DIR     from others: DIR is a linux-libc-dev package, unpacked
    .venv/bin/python bpf/words.py --check           the table against the headers, older and newer ones alike

clang does the reading: macros come from the preprocessor, enumerators from the syntax tree, numbers from a program
that prints them. Address families, socket types and flags of umount are the C library's: no header of the kernel has
them.
"""

import argparse
import ast
import json
import re
import subprocess
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

TABLE = Path(__file__).parent.parent / "exporter/probes/words.py"
KERNEL = (
    "linux/errno.h linux/fcntl.h asm/fcntl.h linux/openat2.h linux/sched.h linux/mount.h linux/fs.h linux/mman.h "
    "asm/mman.h linux/memfd.h linux/in.h linux/in6.h linux/if_ether.h linux/ptrace.h asm/ptrace-abi.h linux/prctl.h "
    "linux/seccomp.h linux/keyctl.h linux/bpf.h linux/perf_event.h linux/kexec.h linux/reboot.h linux/module.h "
    "linux/io_uring.h linux/xattr.h linux/capability.h linux/securebits.h asm/signal.h linux/version.h "
    "linux/time.h linux/timex.h"
)
LIBC = "sys/socket.h sys/mount.h"
CALL = "__NR_"


class Table(NamedTuple):
    """Which names make a table: those that match `names`, or those of one `enum`, without `but`."""

    title: str
    about: str
    names: str
    but: str = ""
    base: str = "d"
    headers: str = KERNEL
    enum: str = ""
    by_name: bool = False


# Of two names of one number the one that strace shows stays; `but` drops the other one, and what is a mask or a limit.
TABLES = (
    Table("ERRNO", "Errors.", "E[A-Z0-9]+"),
    Table("OPEN", "Flags of open().", "O_[A-Z]+|FASYNC", base="o"),
    Table("RESOLVE", "Flags of openat2() for the way to the file.", "RESOLVE_[A-Z_]+", base="x"),
    Table("CLONE", "Flags of clone(), clone3(), unshare() and setns().", "CLONE_[A-Z_]+", "CLONE_ARGS_.*", "x"),
    Table("MOUNT", "Flags of mount().", "MS_[A-Z_]+", "MS_RMT_MASK|MS_MGC_MSK|MS_VERBOSE|MS_A?SYNC|MS_INVALIDATE", "x"),
    Table("UMOUNT", "Flags of umount2().", "MNT_[A-Z]+|UMOUNT_[A-Z]+", "UMOUNT_UNUSED", "x", LIBC),
    Table("MOUNT_ATTR", "Attributes of fsmount() and mount_setattr().", "MOUNT_ATTR_[A-Z]+",
          "MOUNT_ATTR_(RELATIME|SIZE_.*)", "x"),
    Table("MOVE_MOUNT", "Flags of move_mount().", "MOVE_MOUNT_[A-Z_]+", "MOVE_MOUNT__MASK", "x"),
    Table("PROT", "Protection of memory.", "PROT_[A-Z]+", base="x"),
    Table("MAP", "Flags of mmap().", "MAP_[A-Z0-9_]+", "MAP_TYPE|MAP_HUGE_(SHIFT|MASK)", "x"),
    Table("MFD", "Flags of memfd_create().", "MFD_[A-Z0-9_]+", "MFD_HUGE_(SHIFT|MASK)", "x"),
    Table("FAMILY", "Address families.", "AF_[A-Za-z0-9]+", "AF_(MAX|LOCAL|FILE|ROUTE)", headers=LIBC),
    Table("SOCKET_TYPE", "Types of sockets, and flags of socket().", "SOCK_[A-Z]+", base="x", headers=LIBC),
    Table("PROTOCOL", "Protocols over IP.", "IPPROTO_[A-Z0-9]+", "IPPROTO_(MAX|HOPOPTS)"),
    Table("ETHER_PROTOCOL", "Protocols of packet sockets, in the host's byte order.", "ETH_P_[A-Z0-9_]+",
          "ETH_P_(802_3_MIN|ECHO)", "x"),
    Table("PTRACE", "Requests of ptrace().", "PTRACE_[A-Z_]+",
          "PTRACE_(O|EVENT|EVENTMSG|SYSCALL_INFO)_.*|PTRACE_PEEKSIGINFO_SHARED"),
    Table("PRCTL", "Options of prctl().",
          "PR_([SG]ET_[A-Z_]+|CAPBSET_(READ|DROP)|TASK_PERF_EVENTS_[A-Z]+|MCE_KILL(_GET)?|MPX_[A-Z_]+|CAP_AMBIENT|SCHED_CORE"
          "|S[VM]E_[SG]ET_VL|PAC_[A-Z_]+_KEYS|RISCV_V_[SG]ET_CONTROL|RISCV_SET_[A-Z_]+|PPC_[SG]ET_DEXCR|FUTEX_HASH"
          "|LOCK_SHADOW_STACK_STATUS|TIMER_CREATE_RESTORE_IDS|RSEQ_SLICE_EXTENSION)",
          "PR_SET_MM_.*|PR_SET_PTRACER_ANY|PR_SET_VMA_ANON_NAME"),
    Table("SECUREBITS", "Bits that say what root may do, of PR_SET_SECUREBITS.", "SECBIT_[A-Z_]+", base="x"),
    Table("AMBIENT", "What PR_CAP_AMBIENT does.", "PR_CAP_AMBIENT_[A-Z_]+"),
    Table("SECCOMP_MODE", "Modes of seccomp.", "SECCOMP_MODE_[A-Z]+"),
    Table("KEYCTL", "Operations of keyctl().", "KEYCTL_[A-Z_]+", "KEYCTL_(CAPS0|CAPS1|SUPPORTS)_.*|KEYCTL_MOVE_EXCL"),
    Table("KEY_SPEC", "Keyrings that every process calls by the same number.", "KEY_SPEC_[A-Z_]+", base="x"),
    Table("BPF_COMMAND", "Commands of bpf(), and a flag beside them.", "BPF_.*", "BPF_PROG_RUN", enum="bpf_cmd"),
    Table("BPF_PROGRAM_TYPE", "Types of BPF programs.", "BPF_.*", enum="bpf_prog_type"),
    Table("BPF_ATTACH_TYPE", "What BPF programs attach to.", "BPF_.*", enum="bpf_attach_type"),
    Table("PERF_TYPE", "Types of events of perf_event_open(); those of devices have numbers of this machine.",
          "PERF_TYPE_[A-Z_]+", "PERF_TYPE_MAX", enum="perf_type_id"),
    Table("KEXEC", "Flags of kexec_load().", "KEXEC_[A-Z0-9_]+",
          "KEXEC_ARCH_MASK|KEXEC_SEGMENT_MAX|KEXEC_FILE_.*", "x"),
    Table("KEXEC_FILE", "Flags of kexec_file_load().", "KEXEC_FILE_[A-Z_]+", base="x"),
    Table("REBOOT", "Commands of reboot().", "LINUX_REBOOT_CMD_[A-Z0-9_]+", base="x"),
    Table("CLOCK", "Clocks.", "CLOCK_[A-Z_]+", "CLOCK_AUX_LAST"),
    Table("ADJ", "What adjtimex() and clock_adjtime() change.", "ADJ_[A-Z_]+", base="x"),
    Table("MODULE", "Flags of finit_module().", "MODULE_INIT_[A-Z_]+", base="x"),
    Table("IO_URING_OPCODE", "What is asked through io_uring.", "IORING_OP_[A-Z0-9_]+", "IORING_OP_LAST"),
    Table("IO_URING_SETUP", "Flags of io_uring_setup().", "IORING_SETUP_[A-Z0-9_]+", base="x"),
    Table("RENAME", "Flags of renameat2().", "RENAME_[A-Z]+", base="x"),
    Table("XATTR", "Flags of setxattr().", "XATTR_(CREATE|REPLACE)", base="x"),
    Table("AT", "Flags of calls that take a directory and a path.", "AT_[A-Z_]+",
          "AT_FDCWD|AT_EACCESS|AT_(HANDLE|RENAME)_.*|AT_STATX_SYNC_.*", "x"),
    Table("CAPABILITY", "Capabilities by bit.", "CAP_[A-Z_]+"),
    Table("SIGNAL", "Signals before the real-time ones.", "SIG[A-Z0-9]+", "SIG(RTMIN|RTMAX|STKSZ|IOT|UNUSED)"),
    Table("SYSCALLS", "Calls of x86-64.", f"{CALL}[a-z0-9_]+", headers="asm/unistd_64.h", by_name=True),
    Table("SYSCALLS_I386", "Calls of 32-bit programs.", f"{CALL}[a-z0-9_]+", headers="asm/unistd_32.h", by_name=True),
)  # fmt: skip

Words = dict[str, int]


class Unit:
    """What a list of headers defines, as clang reads it."""

    def __init__(self, headers: str, root: Path | None) -> None:
        """Raises SystemExit, with clang's own words, where it cannot read them."""
        self._search = [f"-isystem{root}/usr/include{part}" for part in ("/x86_64-linux-gnu", "")] if root else []
        self._source = "#define _GNU_SOURCE 1\n" + "".join(f"#include <{name}>\n" for name in headers.split())
        macros = re.findall(r"^#define (\w+)(?: (.*))?$", self._clang("-E", "-dM", "-"), re.MULTILINE)
        self.macros = {name: text.strip() for name, text in macros}
        tree = json.loads(self._clang("-fsyntax-only", "-Xclang", "-ast-dump=json", "-"))
        enums = [node for node in _nodes(tree) if node["kind"] == "EnumDecl"]
        self.enumerators = {one["name"]: enum.get("name", "") for enum in enums for one in _nodes(enum) if "name" in one
                            and one["kind"] == "EnumConstantDecl"}  # fmt: skip

    def _clang(self, *arguments: str, source: str = "") -> str:
        return _run(["clang", "-w", *self._search, "-x", "c", *arguments], self._source + source)

    def names(self, table: Table) -> list[str]:
        """The names that make the table; one that says itself that it is another (`#define EWOULDBLOCK EAGAIN`) not."""
        known = self.enumerators if table.enum else self.macros | self.enumerators
        chosen = {
            name
            for name in known
            if re.fullmatch(table.names, name) and not re.fullmatch(table.but, name)
            and table.enum in ("", self.enumerators.get(name))
        }  # fmt: skip
        return sorted(name for name in chosen if self.macros.get(name, name) not in chosen - {name})

    def numbers(self, names: Iterable[str]) -> Words:
        """The numbers of those of `names` that these headers know."""
        lines = "".join(
            f'\tprintf("%s %lld\\n", "{name}", (long long)({name}));\n'
            for name in names
            if name in self.macros or name in self.enumerators
        )
        with tempfile.TemporaryDirectory() as folder:
            program = f"{folder}/numbers"
            self._clang("-o", program, "-", source=f"int printf(const char *, ...);\nint main(void)\n{{\n{lines}}}\n")
            told = [line.split() for line in _run([program]).splitlines()]
        # 1 << 31 is negative in C; the kernel means the bit.
        return {name: int(number) % 2**32 if int(number) < 0 else int(number) for name, number in told}


def _run(command: list[str], source: str = "") -> str:
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)  # noqa: S603  # clang, or what it made
    if done.returncode:
        raise SystemExit(f"bpf/words.py: {command[0]} failed:\n{done.stderr}")
    return done.stdout


def _nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for node in tree.get("inner", ()):
        if "kind" in node:
            yield node
            yield from _nodes(node)


def units(root: Path | None) -> dict[str, Unit]:
    """What each list of headers defines, on this machine or under `root`."""
    return {headers: Unit(headers, root) for headers in {table.headers for table in TABLES}}


def _literal(table: Table, words: Words) -> str:
    by_number: dict[int, str] = {}
    for name, number in words.items():
        if not table.by_name and by_number.setdefault(number, name) != name:
            raise SystemExit(f"bpf/words.py: {table.title}: {by_number[number]} and {name} are both {number}; drop one")
    pairs = sorted((number, name.removeprefix(CALL)) for name, number in words.items())
    form = (
        "{1!r}: {0}" if table.by_name else {"d": "{0}: {1!r}", "x": "{0:#x}: {1!r}", "o": "{0:#o}: {1!r}"}[table.base]
    )
    # The space within an entry is no place to break the line.
    entries = ", ".join(form.format(*pair).replace("'", '"').replace(" ", "\xa0") for pair in pairs) + ","
    lines = textwrap.fill(entries, 120, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    kind = "Mapping[str, int]" if table.by_name else "Mapping[int, str]"
    body = lines.replace("\xa0", " ")
    return f'{table.title}: {kind} = {{\n{body}\n}}  # fmt: skip\n"""{table.about}"""\n'


def _committed() -> dict[str, list[tuple[str, int]]]:
    """Names and numbers of each table in the file: from its text, because a dict forgets what is written twice."""
    found = {}
    for node in ast.parse(TABLE.read_text()).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(node.value, ast.Dict):
            pairs = [(ast.literal_eval(key), ast.literal_eval(value)) for key, value in _pairs(node.value)]
            found[node.target.id] = [pair if isinstance(pair[0], str) else (pair[1], pair[0]) for pair in pairs]
    return found


def _pairs(literal: ast.Dict) -> Iterator[tuple[ast.expr, ast.expr]]:
    yield from ((key, value) for key, value in zip(literal.keys, literal.values, strict=True) if key is not None)


def check(defined: dict[str, Unit]) -> None:
    """Raises SystemExit with all that is wrong. A name that these headers do not know is not: they may be older."""
    committed, wrong = _committed(), []
    if other := committed.keys() ^ {table.title for table in TABLES}:
        wrong.append(f"has other tables than bpf/words.py makes: {', '.join(sorted(other))}")
    for table in TABLES:
        pairs = [(CALL + name if table.by_name else name, number) for name, number in committed.get(table.title, ())]
        names = [name for name, _number in pairs]
        wrong += [f"{table.title}: {name} is there twice" for name in sorted(set(names)) if names.count(name) > 1]
        here = defined[table.headers].numbers(names)
        wrong += [
            f"{table.title}: {name} is {number}, in the headers {here[name]}"
            for name, number in pairs
            if here.get(name, number) != number
        ]
    if wrong:
        raise SystemExit("\n".join(f"{TABLE}: {line}" for line in wrong) + "\nwrite it again with bpf/words.py")


def write(defined: dict[str, Unit]) -> None:
    """Raises SystemExit where two names have one number, and where words would be lost: the headers are older."""
    code = defined[KERNEL].numbers(["LINUX_VERSION_CODE"])["LINUX_VERSION_CODE"]
    major, minor = code >> 16, code >> 8 & 255
    written = re.search(r"headers of Linux (\d+)\.(\d+)", TABLE.read_text() if TABLE.exists() else "")
    if written and (int(written[1]), int(written[2])) > (major, minor):
        raise SystemExit(
            f"bpf/words.py: {TABLE} is from the {written[0]}, these are of {major}.{minor}: give newer ones (--headers)"
        )
    parts = [
        f'"""Numbers of the kernel by name, from the headers of Linux {major}.{minor}. Written by bpf/words.py."""\n'
    ]
    parts += ["from collections.abc import Mapping\n"]
    for table in TABLES:
        unit = defined[table.headers]
        parts.append(_literal(table, unit.numbers(unit.names(table))))
    TABLE.write_text("\n".join(parts))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Writes exporter/probes/words.py from the kernel's headers.")
    parser.add_argument("--check", action="store_true", help="compare only; names these headers do not know are right")
    parser.add_argument("--headers", type=Path, metavar="DIR", help="a linux-libc-dev package, unpacked by dpkg-deb -x")
    options = parser.parse_args()
    (check if options.check else write)(units(options.headers))


if __name__ == "__main__":
    main()
