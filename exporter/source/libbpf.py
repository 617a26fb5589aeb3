"""A thin binding of libbpf; `descriptors.py` beside it has the calls on single maps and programs: no other ctypes here.

Just the calls we make, each error as KernelError with the one line in it that tells why; all that libbpf and the
verifier say goes to the log's level debug, and never to the terminal by itself. `programs.py` uses it to load our
objects; `btf.py` parses the raw BTF it returns. Works with every libbpf 1.x (`libbpf.so.1`, Debian's libbpf1).
"""

import ctypes
import errno
import mmap
import os
import re
from collections.abc import Collection, Iterator, Mapping
from ctypes import POINTER, byref, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path

from exporter.errors import KernelError
from exporter.telemetry import log

_LONGEST = (1 << 24) + (1 << 16)  # bytes of a message: libbpf gives the verifier 16 MiB for its log
_VERIFIER = re.compile(r"-- BEGIN PROG LOAD LOG --\n(.*?)(?:-- END PROG LOAD LOG --|\Z)", re.DOTALL)
_RUBBLE = re.compile(
    r"\d+: |;|R\d+(_\w+)?=|(cur|old) state:|from \d+ to \d+|mark_precise|last_idx|regs=|parent |"
    r"propagating|caller:|callee:|func#|frame ?\d|returning from |processed \d+ insns|verification time|stack depth|"
    r"peak_states|Validating |arg#\d+ |Func#|number of |insn_processed"
)
"""How lines of the verifier begin that tell of its way, of registers and of sums, not of what it refuses."""
_WARN = 0  # enum libbpf_print_level
_OWN_ERRORS = 4000  # libbpf's own numbers begin here
_AGAIN = "build it again with `make setup`, or install podwitness again"


_Print = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)

_SIGNATURES: dict[str, tuple[object, tuple[object, ...]]] = {
    "libbpf_set_print": (c_void_p, (_Print,)),
    "libbpf_strerror": (c_int, (c_int, c_char_p, c_size_t)),
    "bpf_object__open_file": (c_void_p, (c_char_p, c_void_p)),
    "bpf_object__load": (c_int, (c_void_p,)),
    "bpf_object__close": (None, (c_void_p,)),
    "bpf_object__btf": (c_void_p, (c_void_p,)),
    "bpf_object__next_map": (c_void_p, (c_void_p, c_void_p)),
    "bpf_object__next_program": (c_void_p, (c_void_p, c_void_p)),
    "btf__load_vmlinux_btf": (c_void_p, ()),
    "btf__find_by_name_kind": (c_int, (c_void_p, c_char_p, c_uint32)),
    "btf__raw_data": (c_void_p, (c_void_p, POINTER(c_uint32))),
    "bpf_map__name": (c_char_p, (c_void_p,)),
    "bpf_map__fd": (c_int, (c_void_p,)),
    "bpf_map__set_max_entries": (c_int, (c_void_p, c_uint32)),
    "bpf_map__reuse_fd": (c_int, (c_void_p, c_int)),
    "bpf_map__initial_value": (c_void_p, (c_void_p, POINTER(c_size_t))),
    "bpf_map_lookup_elem": (c_int, (c_int, c_void_p, c_void_p)),
    "bpf_map_update_elem": (c_int, (c_int, c_void_p, c_void_p, c_uint64)),
    "bpf_map_delete_elem": (c_int, (c_int, c_void_p)),
    "bpf_map_lookup_and_delete_elem": (c_int, (c_int, c_void_p, c_void_p)),
    "bpf_map_lookup_batch": (c_int, (c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)),
    "bpf_prog_test_run_opts": (c_int, (c_int, c_void_p)),
    "bpf_obj_pin": (c_int, (c_int, c_char_p)),
    "bpf_obj_get": (c_int, (c_char_p,)),
    "bpf_obj_get_info_by_fd": (c_int, (c_int, c_void_p, POINTER(c_uint32))),
    "bpf_prog_get_fd_by_id": (c_int, (c_uint32,)),
    "bpf_enable_stats": (c_int, (c_uint32,)),
    "bpf_program__name": (c_char_p, (c_void_p,)),
    "bpf_program__section_name": (c_char_p, (c_void_p,)),
    "bpf_program__fd": (c_int, (c_void_p,)),
    "bpf_program__set_autoload": (c_int, (c_void_p, c_bool)),
    "bpf_program__attach": (c_void_p, (c_void_p,)),
    "bpf_link__fd": (c_int, (c_void_p,)),
    "bpf_link__destroy": (c_int, (c_void_p,)),
    "bpf_iter_create": (c_int, (c_int,)),
    "bpf_raw_tracepoint_open": (c_int, (c_char_p, c_int)),
}

_messages: list[str] = []


def _vprint(level: int, template: bytes, arguments: int) -> int:
    """Libbpf's print callback: keep warnings for the error that follows; the verifier's log comes this way too."""
    if level != _WARN:
        return 0
    with mmap.mmap(-1, _LONGEST) as buffer:  # only what is written takes memory
        at = (ctypes.c_char * _LONGEST).from_buffer(buffer)
        libc().vsnprintf(at, c_size_t(_LONGEST), c_char_p(template), c_void_p(arguments))
        _messages.append(ctypes.string_at(at).decode("utf-8", "replace"))
        del at  # else the buffer cannot be closed
    del _messages[:-20]
    return 0


_print = _Print(_vprint)  # held for as long as libbpf may call it


@cache
def libc() -> ctypes.CDLL:
    """The C library of this process."""
    return ctypes.CDLL(None)


@cache
def library() -> ctypes.CDLL:
    """libbpf, its functions declared. Raises KernelError where it is not installed."""
    try:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise KernelError(f"libbpf cannot be loaded: {error}", hint="install libbpf1 (Debian, Ubuntu)") from error
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.libbpf_set_print(_print)
    return library


def failure(what: str, where: str, code: int) -> KernelError:
    """KernelError for errno `code`, with what libbpf and the verifier had to say and what to do about it."""
    hints = {
        errno.EPERM: "run as root, or with CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN on kernels that ask for it)",
        errno.ENOENT: "this kernel has no such hook",
        errno.ESRCH: "this kernel has no such hook",
    }
    whole = "".join(_messages)
    said = telling(whole) if code != errno.EPERM else ""
    _messages.clear()  # they belong to this error, not to the next one
    if whole:
        log.debug("%s: %s: all that was said of it:\n%s", where, what, whole.rstrip())
    return KernelError(
        f"{what}: {_strerror(code)}" + (f": {said}" if said else ""), where=where, hint=hints.get(code, "")
    )


def telling(said: str) -> str:
    """The one line that tells what is wrong: what the verifier refused, else what libbpf said first, which is nearest.

    Empty where nothing was said.
    """
    logs = _VERIFIER.findall(said)
    if logs:
        lines = [line.strip() for line in logs[-1].splitlines()]
        refused = [line for line in lines if line and not _RUBBLE.match(line)]
        if refused:
            return str(refused[-1])
    return next((line.strip() for line in said.splitlines() if line.strip()), "")


def _strerror(code: int) -> str:
    if code < _OWN_ERRORS:
        return os.strerror(code)
    text = ctypes.create_string_buffer(256)
    library().libbpf_strerror(code, text, len(text))
    return text.value.decode("utf-8", "replace")


class Object:
    """One BPF object file: open, adjust, load, attach; closing it detaches what it attached."""

    def __init__(self, path: Path) -> None:
        """Open `path` without touching the kernel. Raises KernelError when it is missing or no BPF object."""
        self._path, self._links = path, list[int]()
        if not path.exists():
            raise KernelError("is missing", where=str(path), hint=_AGAIN)
        _messages.clear()
        pointer = library().bpf_object__open_file(os.fsencode(path), None)
        if not pointer:
            error = failure("cannot be opened", str(path), ctypes.get_errno())
            raise KernelError(error.what, where=error.where, hint=error.hint or _AGAIN)
        self._pointer: int = pointer

    def btf(self) -> bytes:
        """The object's type information, raw. Raises KernelError when it has none."""
        types = library().bpf_object__btf(self._pointer)
        if not types:
            raise KernelError("has no type information", where=str(self._path), hint="compile it with `clang -g`")
        size = c_uint32()
        data = library().btf__raw_data(types, byref(size))
        return ctypes.string_at(data, size.value)

    def set_constants(self, values: dict[str, bytes], offsets: dict[str, int]) -> None:
        """Write `const volatile` variables before load; `offsets` are theirs in .rodata, from BTF."""
        size = c_size_t()
        base = library().bpf_map__initial_value(self._map(".rodata"), byref(size))
        for name, value in values.items():
            ctypes.memmove(base + offsets[name], value, len(value))

    def set_size(self, map_name: str, entries: int) -> None:
        """The number of entries (bytes, for a ring) of a map, before load."""
        self._check(library().bpf_map__set_max_entries(self._map(map_name), entries), f"map {map_name} of {entries}")

    def share(self, map_name: str, fd: int) -> None:
        """Use the map behind `fd` for this object's map of that name, before load."""
        self._check(library().bpf_map__reuse_fd(self._map(map_name), fd), f"map {map_name} cannot be shared")

    def share_all(self, fds: Mapping[str, int]) -> None:
        """As `share`, those that this object has a map for."""
        for name in fds.keys() & self.maps():
            self.share(name, fds[name])

    def maps(self) -> set[str]:
        """The names of its maps, as libbpf knows them."""
        names, found = set(), library().bpf_object__next_map(self._pointer, None)
        while found:
            names.add(library().bpf_map__name(found).decode())
            found = library().bpf_object__next_map(self._pointer, found)
        return names

    def load(self) -> None:
        """Create the maps and have the programs verified. Raises KernelError with what the verifier refuses."""
        _messages.clear()
        self._check(library().bpf_object__load(self._pointer), "cannot be loaded")

    def map_fd(self, name: str) -> int:
        """File descriptor of a loaded map; belongs to the object."""
        return int(library().bpf_map__fd(self._map(name)))

    def only(self, names: Collection[str]) -> None:
        """Load no other programs than these."""
        for name, program in self._programs():
            library().bpf_program__set_autoload(program, name in names)

    def sections(self) -> dict[str, str]:
        """Where each program belongs, by its name."""
        return {name: library().bpf_program__section_name(program).decode() for name, program in self._programs()}

    def program_fds(self) -> dict[str, int]:
        """File descriptors of the loaded programs, by name; they belong to the object."""
        fds = {name: int(library().bpf_program__fd(program)) for name, program in self._programs()}
        return {name: fd for name, fd in fds.items() if fd >= 0}

    def attach(self, names: Collection[str]) -> None:
        """Attach these programs where their sections say. Raises KernelError naming the program."""
        for name, program in self._programs():
            if name in names:
                self._attach(name, program)

    def iterate(self) -> int:
        """Attach the object's one iterator; returns a file descriptor to read it once."""
        ((name, program),) = self._programs()
        fd = library().bpf_iter_create(library().bpf_link__fd(self._attach(name, program)))
        self._check(fd, f"iterator {name} cannot be opened")
        return int(fd)

    def close(self) -> None:
        """Detach and unload. Safe to call twice."""
        while self._links:
            library().bpf_link__destroy(self._links.pop())
        if self._pointer:
            library().bpf_object__close(self._pointer)
            self._pointer = 0

    def _attach(self, name: str, program: int) -> int:
        link = library().bpf_program__attach(program)
        if not link:
            raise failure(f"program {name} cannot be attached", str(self._path), ctypes.get_errno())
        self._links.append(link)
        return int(link)

    def _programs(self) -> Iterator[tuple[str, int]]:
        program = library().bpf_object__next_program(self._pointer, None)
        while program:
            yield library().bpf_program__name(program).decode(), program
            program = library().bpf_object__next_program(self._pointer, program)

    def _map(self, name: str) -> int:
        """A map by name; libbpf prefixes `.rodata` with the object's name."""
        found = library().bpf_object__next_map(self._pointer, None)
        while found:
            known = library().bpf_map__name(found).decode()
            if known == name or (name.startswith(".") and known.endswith(name)):
                return int(found)
            found = library().bpf_object__next_map(self._pointer, found)
        raise KernelError(f"has no map {name}", where=str(self._path), hint="build the programs with `make setup`")

    def _check(self, result: int, what: str) -> None:
        if result < 0:
            raise failure(what, str(self._path), -result)
