"""Numbers of the kernel as the words people know: pure functions over the tables of `words.py`.

`NAMES` says for each typedef of bpf/sample.h which function its numbers go through; `source/decode.py` takes it over.
What repeats from event to event remembers its words. A number without a word is shown itself: nothing is left out.
"""

import signal
import stat
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Any

from exporter.model import Value
from exporter.probes import words

Told = Callable[[int], str | None]

FILE_TYPES = {
    stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFCHR: "char", stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket",
}  # fmt: skip
NAMESPACES = {
    flag: {"NEWNS": "mnt"}.get(name[6:], name[9:].lower())
    for flag, name in words.CLONE.items()
    if name.startswith("CLONE_NEW")
}
"""By the flag of clone(), as /proc/PID/ns calls them."""
_AF_INET, _AF_INET6, _AF_PACKET = 2, 10, 17
TRANSPORTS = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udplite", 262: "tcp", 0xFFFF: "unix"}
"""By protocol over IP, as OpenTelemetry says `network.transport`; MPTCP is TCP. The last one is of bpf/socket.h."""
STATES = {
    1: "established", 2: "syn_sent", 3: "syn_received", 4: "fin_wait_1", 5: "fin_wait_2", 6: "time_wait", 7: "closed",
    8: "close_wait", 9: "last_ack", 10: "listen", 11: "closing", 12: "syn_received",
}  # fmt: skip
"""By state in include/net/tcp_states.h, as OpenTelemetry says `network.connection.state`."""
_SIGNALS = {
    **words.SIGNAL,
    **{number: f"SIGRTMIN+{number - signal.SIGRTMIN}" for number in range(signal.SIGRTMIN, signal.SIGRTMAX)},
    signal.SIGRTMIN: "SIGRTMIN",
    signal.SIGRTMAX: "SIGRTMAX",
}


GAINED_BY = {
    1: "setuid", 2: "capset", 3: "exec_setuid", 4: "exec_file_capabilities", 5: "exec_root", 6: "user_namespace",
    7: "other",
}  # fmt: skip
"""How a process came to have more rights: `enum gained_by` of bpf/gained.h."""


def one_of(table: Mapping[int, str], form: str = "d") -> Told:
    """A function from a number to its word; one that has none is written by `form` of format()."""
    return lambda number: table.get(number) or format(number, form)


def flags(table: Mapping[int, str], *, first: int = 0, last: int = 0) -> Told:
    """A function from flags to their words, `O_WRONLY|O_CREAT|0x40000000`: by bit, what has no word in hexadecimal.

    The bits of `first` and `last` are one value, not flags, told before the others and after: the access mode of
    open(). Of flags that contain each other the larger wins (O_SYNC, O_DSYNC). No flag at all is the table's word for
    0, else None.
    """
    heads = {value: name for value, name in table.items() if first and not value & ~first}
    tails = {value: name for value, name in table.items() if value and not value & ~last}
    single = {value: name for value, name in table.items() if value and value not in heads and value not in tails}
    largest_first = sorted(single, key=int.bit_count, reverse=True)

    @lru_cache(maxsize=1024)
    def told(number: int) -> str | None:
        head, tail = heads.get(number & first), tails.get(number & last)
        rest = number & ~((first if head else 0) | (last if tail else 0))
        found = []
        for value in largest_first:
            if rest & value == value:
                found.append(value)
                rest &= ~value
        parts = [head, *map(single.get, sorted(found)), tail, f"{rest:#x}" if rest else None]
        return "|".join(part for part in parts if part) or table.get(0)

    return told


@lru_cache(maxsize=256)
def capabilities(bits: int) -> tuple[str, ...]:
    """The capabilities set in `bits`; one that has no name yet is its number, as ECS writes it."""
    return tuple(words.CAPABILITY.get(bit) or str(bit) for bit in range(bits.bit_length()) if bits >> bit & 1)


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; real-time signals as `SIGRTMIN+n`."""
    return _SIGNALS.get(number) or str(number)


def errno_name(number: int) -> str | None:
    """`ENOENT` for 2; no error is None. Those that stay within the kernel (ERESTARTSYS is 512) have no word."""
    return words.ERRNO.get(number) or str(number) if number else None


@lru_cache(maxsize=256)
def namespaces(bits: int) -> tuple[str, ...] | None:
    """The kinds of namespaces among flags of clone(), unshare() or setns(): `("mnt", "pid")`; None for none."""
    return tuple(name for flag, name in NAMESPACES.items() if bits & flag) or None


def file_mode(mode: int) -> str | None:
    """Permissions in four octal digits, `0640`, whatever the type; None for 0, which no file has: its type is in it."""
    return f"{mode & 0o7777:04o}" if mode else None


def file_type(mode: int) -> str | None:
    """`file`, `dir`, `symlink` …; None where the kernel gives no type (anonymous inodes), a strange one in octal."""
    kind = mode & 0o170000
    return FILE_TYPES.get(kind) or f"{kind:07o}" if kind else None


@lru_cache(maxsize=256)
def device(number: int) -> str | None:
    """`8:1` for the kernel's own dev_t (20 bits of minor, include/linux/kdev_t.h); 0 is no device."""
    return f"{number >> 20}:{number & 0xFFFFF}" if number else None


@lru_cache(maxsize=4096)
def address(raw: bytes) -> str:
    """An IPv6 address of 16 bytes; one that stands for an IPv4 address (RFC 4291, 2.5.5.2) as `10.0.0.1`."""
    found = IPv6Address(raw)
    return str(found.ipv4_mapped or found)


def socket_protocol(number: int) -> str:
    """The third argument of socket(), with its family above 16 bits: over IP `IPPROTO_UDP`, of packets `ETH_P_ALL`."""
    table, form = {
        _AF_INET: (words.PROTOCOL, "d"), _AF_INET6: (words.PROTOCOL, "d"), _AF_PACKET: (words.ETHER_PROTOCOL, "#06x"),
    }.get(number >> 16, ({}, "d"))  # fmt: skip
    return table.get(number & 0xFFFF) or format(number & 0xFFFF, form)


def _user_id(number: int) -> int | None:
    return None if number in (0xFFFFFFFF, -1) else number  # (uid_t)-1: leave it as it is


def _owner_id(number: int) -> str | None:
    return None if _user_id(number) is None else str(number)


_NO_CALL = 0xFFFF  # bpf/call.h
_call = one_of({number: name for name, number in words.SYSCALLS.items()})
_ambient = one_of(words.AMBIENT)
_key = one_of(words.KEY_SPEC)


def _unless_none(told: Told) -> Told:
    """`told`, but for -1: there the call had no such thing."""
    return lambda number: None if number == 0xFFFFFFFF else told(number)


NAMES: Mapping[str, Callable[[Any], Value | None]] = {
    "cap_t": capabilities,
    "changed_caps_t": lambda bits: capabilities(bits) or None,
    "known_caps_t": lambda bits: None if bits == (1 << 64) - 1 else capabilities(bits),
    "group_count_t": _user_id,
    "capability_t": lambda bit: None if bit < 0 else words.CAPABILITY.get(bit) or str(bit),
    "gained_by_t": one_of(GAINED_BY),
    "securebits_t": flags(words.SECUREBITS),
    "ambient_t": lambda what: _ambient(what) if what else None,
    "other_tgid_t": lambda number: number or None,
    "other_ns_t": lambda number: number or None,
    "signal_t": lambda number: signal_name(number) if number else None,
    "errno_t": errno_name,
    "call_t": lambda number: None if number == _NO_CALL else _call(number),
    "open_flags_t": flags(words.OPEN, first=0o3),
    "resolve_flags_t": flags(words.RESOLVE),
    "rename_flags_t": flags(words.RENAME),
    "xattr_flags_t": flags(words.XATTR),
    "xattr_operation_t": one_of({1: "set", 2: "remove"}),
    "at_flags_t": flags(words.AT),
    "clone_flags_t": flags({**words.CLONE, **words.SIGNAL}, last=0x7F),  # clone() takes the exit signal with them
    "namespace_types_t": namespaces,
    "mount_flags_t": flags(words.MOUNT),
    "umount_flags_t": flags(words.UMOUNT),
    "mount_attr_t": flags(words.MOUNT_ATTR),
    "move_mount_flags_t": flags(words.MOVE_MOUNT),
    "prot_t": flags(words.PROT),
    "map_flags_t": flags({flag: word for flag, word in words.MAP.items() if flag}, first=0xF, last=0x3F << 26),
    "memfd_flags_t": flags(words.MFD, last=0x3F << 26),
    "family_t": one_of(words.FAMILY),
    "socket_type_t": flags(words.SOCKET_TYPE, first=0xF),
    "ip_protocol_t": one_of(words.PROTOCOL),
    "ether_protocol_t": one_of(words.ETHER_PROTOCOL, "#06x"),
    "ptrace_request_t": one_of(words.PTRACE, "#x"),
    "prctl_option_t": one_of(words.PRCTL),
    "seccomp_mode_t": one_of(words.SECCOMP_MODE),
    "keyctl_t": _unless_none(one_of(words.KEYCTL)),
    "key_serial_t": lambda number: _key(number) if number else None,
    "bpf_command_t": _unless_none(flags(words.BPF_COMMAND, first=0xFFFF)),
    "bpf_program_type_t": _unless_none(one_of(words.BPF_PROGRAM_TYPE)),
    "bpf_attach_type_t": _unless_none(one_of(words.BPF_ATTACH_TYPE)),
    "bpf_id_t": lambda number: number or None,
    "perf_type_t": one_of(words.PERF_TYPE),
    "kexec_flags_t": _unless_none(flags(words.KEXEC, first=0xFFFF << 16)),
    "kexec_file_flags_t": flags(words.KEXEC_FILE),
    "reboot_command_t": one_of(words.REBOOT, "#x"),
    "module_flags_t": flags(words.MODULE),
    "module_signature_t": {1: "verified", 2: "unverified"}.get,
    "unload_flags_t": flags({flag: words.OPEN[flag] for flag in (0o1000, 0o4000)}),
    "clock_id_t": one_of(words.CLOCK),
    "adjustments_t": flags(words.ADJ),
    "io_uring_opcode_t": one_of(words.IO_URING_OPCODE),
    "io_uring_setup_t": flags(words.IO_URING_SETUP),
    "file_mode_t": file_mode,
    "file_type_t": file_type,
    "device_t": device,
    "inode_t": lambda number: str(number) if number else None,  # no file system has an inode 0
    "owner_id_t": _owner_id,
    "user_id_t": _user_id,
    "group_id_t": _user_id,
    "address_t": address,
    "port_t": lambda number: number or None,
    "transport_t": TRANSPORTS.get,
    "ip_version_t": {4: "ipv4", 6: "ipv6"}.get,
    "tcp_state_t": STATES.get,
    "direction_t": {1: "outbound", 2: "inbound"}.get,
    "byte_count_t": lambda number: None if number == 2**64 - 1 else number,
    "socket_protocol_t": socket_protocol,
    "total_t": lambda number: None if number == 2**64 - 1 else number,
    "user_address_t": lambda number: f"{number:#x}" if number else None,  # as /proc/PID/maps has them
    "writer_t": lambda number: number or None,
    "write_phase_t": one_of({1: "first", 2: "total"}),
}
"""By typedef in C. Times, counts and lengths are in `source/decode.py`."""
