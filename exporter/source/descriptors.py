"""What can be done with the file descriptor of a map, program or link: ask, read, fill, pin. And two calls of libc.

The calls of libbpf (and, at the end, of libc) that need no object file; each error as KernelError.
"""

import ctypes
import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from functools import cache
from pathlib import Path
from typing import NamedTuple

from exporter.source.libbpf import failure, libc, library

# Offsets in struct bpf_prog_info (include/uapi/linux/bpf.h).
_RUN_TIME_NS, _RUN_COUNT, _RECURSION_MISSES = 192, 200, 208
_BPF_STATS_RUN_TIME = 0
_BPFFS = 0xCAFE4A11  # BPF_FS_MAGIC
_SYS_MEMBARRIER, _MEMBARRIER_CMD_GLOBAL = 324, 1
_GRACE_SECONDS = 0.2
_BPF_NOEXIST = 1
_BATCH = 1024  # entries of a map at once


@cache
def _kernel_types() -> int:
    types = library().btf__load_vmlinux_btf()
    if not types:
        raise failure("type information cannot be read", "/sys/kernel/btf/vmlinux", ctypes.get_errno())
    return int(types)


def kernel_type(name: str, sort: int) -> bool:
    """Whether the kernel's own BTF has something called `name`; `sort` is its BTF_KIND_*."""
    return bool(library().btf__find_by_name_kind(_kernel_types(), name.encode(), sort) > 0)


def map_id(fd: int) -> int:
    """The kernel's id of a map: never given twice while the machine is up."""
    return int.from_bytes(_info(fd)[4:8], "little")


def map_entries(fd: int) -> int:
    """How many entries a map has room for; bytes, for a ring."""
    return int.from_bytes(_info(fd)[16:20], "little")


def map_sizes(fd: int) -> tuple[int, int]:
    """Bytes of a key and of a value of a map."""
    info = _info(fd)
    return int.from_bytes(info[8:12], "little"), int.from_bytes(info[12:16], "little")


def program_id(fd: int) -> int:
    """The kernel's id of a program: never given twice while the machine is up."""
    return int.from_bytes(_info(fd)[4:8], "little")


class Runs(NamedTuple):
    """How often a program ran, and for how long in all, as far as the kernel has counted."""

    number: int
    nanoseconds: int


@contextmanager
def run_statistics() -> Iterator[None]:
    """The kernel counts the runs of all BPF programs within the block; it costs about 20 ns a run (Linux 5.8).

    Raises KernelError without the right to: it takes CAP_SYS_ADMIN.
    """
    fd = int(library().bpf_enable_stats(_BPF_STATS_RUN_TIME))
    if fd < 0:
        raise failure("run times cannot be counted", "bpf_enable_stats", -fd)
    try:
        yield
    finally:
        os.close(fd)


def runs(program: int) -> Runs:
    """The runs of the program with this id, and of those it calls by a tail call: what was counted up to now.

    Raises KernelError where it is gone, or without the right to look.
    """
    fd = int(library().bpf_prog_get_fd_by_id(program))
    if fd < 0:
        raise failure("cannot be looked at", f"BPF program {program}", -fd)
    try:
        info = _info(fd)
    finally:
        os.close(fd)
    time_ns, count = (int.from_bytes(info[at : at + 8], "little") for at in (_RUN_TIME_NS, _RUN_COUNT))
    return Runs(count, time_ns)


def recursion_misses(fd: int) -> int:
    """How often the kernel did not run a program, because it was running on that CPU already (Linux 5.12)."""
    return int.from_bytes(_info(fd)[_RECURSION_MISSES : _RECURSION_MISSES + 8], "little")


def _info(fd: int) -> bytes:
    """The kernel's struct bpf_map_info or bpf_prog_info of what is behind `fd`; both begin with type and id."""
    info, size = ctypes.create_string_buffer(256), c_uint32(256)
    result = library().bpf_obj_get_info_by_fd(fd, info, byref(size))
    if result < 0:
        raise failure("bpf_obj_get_info_by_fd", f"fd {fd}", -result)
    return info.raw


def lookup(fd: int, key: int, size: int) -> bytes:
    """The value of `size` bytes at `key` of an array map; of an array of programs, the program's id."""
    value = ctypes.create_string_buffer(size)
    result = library().bpf_map_lookup_elem(fd, byref(c_uint32(key)), value)
    if result < 0:
        raise failure("bpf_map_lookup_elem", f"map fd {fd}", -result)
    return value.raw


def put(fd: int, key: bytes, value: bytes) -> None:
    """Write an entry of a map; both have the sizes that the map has."""
    result = library().bpf_map_update_elem(fd, key, value, 0)
    if result < 0:
        raise failure("rule cannot be written", f"map fd {fd}", -result)


def put_new(fd: int, key: bytes, value: bytes) -> bool:
    """Write an entry of a map, unless it has one with this key: whether it had none. KernelError without room."""
    result = library().bpf_map_update_elem(fd, key, value, _BPF_NOEXIST)
    if result < 0 and -result != errno.EEXIST:
        raise failure("entry cannot be made", f"map fd {fd}", -result)
    return bool(result == 0)


def remove(fd: int, key: bytes) -> None:
    """Remove an entry of a map, if it is there."""
    result = library().bpf_map_delete_elem(fd, key)
    if result < 0 and -result != errno.ENOENT:
        raise failure("rule cannot be removed", f"map fd {fd}", -result)


def entries(fd: int, key_size: int, value_size: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each entry of a hash map; what comes or goes meanwhile may be among them or not (Linux 5.6)."""
    keys = ctypes.create_string_buffer(_BATCH * key_size)
    values = ctypes.create_string_buffer(_BATCH * value_size)
    at, end, result = None, c_uint32(), 0
    while result == 0:
        count = c_uint32(_BATCH)
        result = library().bpf_map_lookup_batch(fd, at, byref(end), keys, values, byref(count), None)
        if result < 0 and -result != errno.ENOENT:  # which says that these are the last ones
            raise failure("bpf_map_lookup_batch", f"map fd {fd}", -result)
        yield from zip(_parts(keys, key_size, count.value), _parts(values, value_size, count.value), strict=True)
        at = byref(c_uint32(end.value))


def _parts(buffer: ctypes.Array[ctypes.c_char], size: int, count: int) -> list[bytes]:
    taken = ctypes.string_at(buffer, size * count)
    return [taken[at : at + size] for at in range(0, len(taken), size)]


def take(fd: int, key: bytes, value_size: int) -> bytes | None:
    """Remove an entry of a hash map; the value it had, None where it is not there (Linux 5.14)."""
    value = ctypes.create_string_buffer(value_size)
    result = library().bpf_map_lookup_and_delete_elem(fd, key, value)
    if result < 0 and -result != errno.ENOENT:
        raise failure("bpf_map_lookup_and_delete_elem", f"map fd {fd}", -result)
    return value.raw if result == 0 else None


class _RunOptions(ctypes.Structure):
    """struct bpf_test_run_opts (libbpf's bpf.h)."""

    _fields_ = (
        ("sz", c_size_t),
        ("data_in", c_void_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_char_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    )


def run(program_fd: int, context: bytes) -> None:
    """Run a raw_tp program that is not attached, once, with these arguments (8 bytes each)."""
    options = _RunOptions(sz=ctypes.sizeof(_RunOptions), ctx_in=context, ctx_size_in=len(context))
    result = library().bpf_prog_test_run_opts(program_fd, byref(options))
    if result < 0:
        raise failure("program cannot be run", f"fd {program_fd}", -result)


def put_program(fd: int, slot: int, program_fd: int) -> None:
    """Put a program into an array of programs (None of the old one's runs are waited for)."""
    result = library().bpf_map_update_elem(fd, byref(c_uint32(slot)), byref(c_uint32(program_fd)), 0)
    if result < 0:
        raise failure("program cannot be put into its array", f"map fd {fd}", -result)


def has_program(fd: int, slot: int) -> bool:
    """Whether a slot of an array of programs is filled."""
    program = c_uint32()
    return bool(library().bpf_map_lookup_elem(fd, byref(c_uint32(slot)), byref(program)) == 0)


def take_program(fd: int, slot: int) -> None:
    """Empty a slot of an array of programs."""
    result = library().bpf_map_delete_elem(fd, byref(c_uint32(slot)))
    if result < 0 and -result != errno.ENOENT:
        raise failure("program cannot be taken out of its array", f"map fd {fd}", -result)


def attach(program_fd: int, name: str) -> int:
    """Attach a program to the hook that it was loaded for (tp_btf, fentry, LSM); returns the link's fd.

    The caller closes it; `name` is for the error. libbpf does the same, but only for an object that it loaded.
    """
    fd = int(library().bpf_raw_tracepoint_open(None, program_fd))
    if fd < 0:
        raise failure(f"program {name} cannot be attached", f"fd {program_fd}", -fd)
    return fd


def pin(fd: int, path: Path) -> None:
    """Give a map, program or link a name in a bpffs, which keeps it in the kernel."""
    result = library().bpf_obj_pin(fd, os.fsencode(path))
    if result < 0:
        raise failure("cannot be pinned", str(path), -result)


def open_pinned(path: Path) -> int:
    """A new file descriptor of what is pinned at `path`; the caller closes it."""
    fd = int(library().bpf_obj_get(os.fsencode(path)))
    if fd < 0:
        raise failure("cannot be opened", str(path), -fd)
    return fd


def close_all(fds: dict[str, int]) -> None:
    """Close them, once."""
    while fds:
        os.close(fds.popitem()[1])


def is_bpffs(path: Path) -> bool:
    """Whether `path`, which exists, is in a bpffs."""
    found = ctypes.create_string_buffer(256)  # struct statfs: 120 bytes, f_type first
    return libc().statfs(os.fsencode(path), found) == 0 and int.from_bytes(found.raw[:4], "little") == _BPFFS


def wait_for_programs() -> None:
    """Until every run of a BPF program that is going on now has ended.

    Programs run under rcu_read_lock() with preemption disabled; membarrier's MEMBARRIER_CMD_GLOBAL is synchronize_rcu()
    (kernel/sched/membarrier.c). It is refused where CPUs run without a tick (nohz_full): there we wait far longer than
    a program can take.
    """
    if libc().syscall(_SYS_MEMBARRIER, _MEMBARRIER_CMD_GLOBAL, 0, 0) != 0:
        time.sleep(_GRACE_SECONDS)
