"""What can be done with the file descriptor of a map, program or link: ask, read, fill, pin. And two calls of libc.

The calls of libbpf (and, at the end, of libc) that need no object file; each error as KernelError.
"""

import ctypes
import errno
import os
import time
from ctypes import byref, c_uint32
from pathlib import Path

from exporter.source.libbpf import failure, libc, library

_RECURSION_MISSES = 208  # offset in struct bpf_prog_info (include/uapi/linux/bpf.h)
_BPFFS = 0xCAFE4A11  # BPF_FS_MAGIC
_SYS_MEMBARRIER, _MEMBARRIER_CMD_GLOBAL = 324, 1
_GRACE_SECONDS = 0.2


def map_id(fd: int) -> int:
    """The kernel's id of a map: never given twice while the machine is up."""
    return int.from_bytes(_info(fd)[4:8], "little")


def map_entries(fd: int) -> int:
    """How many entries a map has room for; bytes, for a ring."""
    return int.from_bytes(_info(fd)[16:20], "little")


def program_id(fd: int) -> int:
    """The kernel's id of a program: never given twice while the machine is up."""
    return int.from_bytes(_info(fd)[4:8], "little")


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


def put_program(fd: int, slot: int, program_fd: int) -> None:
    """Put a program into an array of programs (None of the old one's runs are waited for)."""
    result = library().bpf_map_update_elem(fd, byref(c_uint32(slot)), byref(c_uint32(program_fd)), 0)
    if result < 0:
        raise failure("program cannot be put into its array", f"map fd {fd}", -result)


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
