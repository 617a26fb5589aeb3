"""What is in files: written, mapped to be executed or written to, or in a file that only memory has.

`file.write` is told twice for each opening of a regular file or a block device that is written to: `first` when it
begins, `total` when the opening is closed for good, by whoever does that, with what was written meanwhile. A range that
fallocate() wipes or moves is a write of no bytes. Files of /proc and /sys are no regular files here. `file.mmap` is
memory that becomes executable (each mmap() and mprotect() with PROT_EXEC, of a file, libraries too, or of none), and a
file that can be written to through memory (with PROT_WRITE, shared). Names as in `file.py`; bytes and nanoseconds are
plain numbers.
"""

from exporter.model import Field, Hook, Kind
from exporter.probes.file_object import CALL, OBJECT, PATH
from exporter.probes.process import COMMON

_PATH = PATH[:2]  # always resolved
_WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range", "splice", "fallocate")
_CLOSING = (
    "two look-ups for each write, of any sort of file; one for each file closed; a few instructions for each read"
)
_ENTERING = "two look-ups for each write; a few instructions for each system call of the node"
_UNSEEN = (
    "regular files and block devices only, no character devices, pipes or sockets; writes to mapped memory are not "
    "seen, their mapping is file.mmap; nor are io_submit() and reflinks by ioctl(); of more than 16384 files written "
    "to at once the least recent have no total"
)
_URING = "not seen: writes by io_uring"
_GUESSED = (
    "another thread can put another file under the descriptor just when a write begins; no total where a file is "
    "closed by execve(), is mapped or on its way to another process when its last descriptor is closed, or has one "
    "above 1023 when its process ends; its next opening may pass for the same"
)

FILE_WRITE = Kind(
    name="file.write",
    program="content",
    ring="activity",
    by_default=False,
    hooks=(
        Hook(("on_fput", "on_write_check", "on_uring_write"), "on_write_call", _WRITES, _CLOSING, _UNSEEN),
        Hook(("on_fput", "on_write_check"), "on_write_call", _WRITES, _CLOSING, f"{_UNSEEN}; {_URING}"),
        Hook(
            ("on_file_enter", "on_files_exit", "on_uring_write"),
            "on_write_call",
            _WRITES,
            _ENTERING,
            f"{_UNSEEN}; {_GUESSED}",
        ),
        Hook(
            ("on_file_enter", "on_files_exit"),
            "on_write_call",
            _WRITES,
            _ENTERING,
            f"{_UNSEEN}; {_GUESSED}; {_URING}",
        ),
    ),
    fields=(
        *_PATH,
        *OBJECT,
        Field("size", "file.size"),
        Field("phase", "podwitness.file.write.phase"),
        Field("bytes", "podwitness.file.bytes_written"),
        Field("writes", "podwitness.file.writes"),
        Field("duration", "podwitness.file.duration_ns"),
        Field("writer", "podwitness.file.writer.pid"),
        *CALL,
    ),
    carries=COMMON,
    body=(
        ("path", "file.path"),
        ("phase", "podwitness.file.write.phase"),
        ("bytes", "podwitness.file.bytes_written"),
        ("error", "error.type"),
    ),
)
"""`bytes_written` and `writes` are the calls that wrote something, since the first; `writer.pid` began, if another."""

FILE_MMAP = Kind(
    name="file.mmap",
    program="memory",
    ring="activity",
    by_default=False,
    hooks=(
        Hook(
            handler="on_map_call",
            calls=("mmap", "mprotect", "pkey_mprotect"),
            cost="one record for each library that a program loads; a look-up in its memory, for each mprotect() too",
            caveats="needs Linux 5.17; not seen: what execve() itself maps; of several mappings that one mprotect() "
            "changes the first is told; where another thread changes the process's memory just when mmap() has ended, "
            "the file is the one under the descriptor by then",
        ),
    ),
    fields=(
        *_PATH,
        *OBJECT,
        Field("address", "podwitness.memory.address"),
        Field("length", "podwitness.memory.length"),
        Field("prot", "podwitness.memory.prot"),
        Field("flags", "podwitness.memory.flags"),
        Field("modified", "podwitness.memory.modified"),
        *CALL,
    ),
    carries=COMMON,
    body=(
        ("path", "file.path"),
        ("prot", "podwitness.memory.prot"),
        ("flags", "podwitness.memory.flags"),
        ("error", "error.type"),
    ),
)
"""`modified`: pages of a private mapping had been written to before mprotect() made it executable."""

FILE_MEMFD = Kind(
    name="file.memfd",
    program="memfd",
    ring="activity",
    importance=50,
    hooks=(Hook(handler="on_memfd_call", calls=("memfd_create", "memfd_secret")),),
    fields=(
        *_PATH,
        Field("name", "podwitness.memfd.name"),
        *OBJECT,
        Field("flags", "podwitness.memfd.flags"),
        *CALL,
    ),
    carries=COMMON,
    body=(("path", "file.path"), ("flags", "podwitness.memfd.flags"), ("error", "error.type")),
)
"""A file without a place was made: programs that shall not be found on a disk are run from one."""
