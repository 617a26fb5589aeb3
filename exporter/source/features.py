"""What this kernel can do: whether programs of a type run (tried, bpf/feature.bpf.c), whether it has a hook (its BTF).

`Features.obstacle` is what `hooks.choose` asks: why a program with this section cannot run here.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from exporter.errors import KernelError
from exporter.source import descriptors
from exporter.source.libbpf import Object

_TRAMPOLINES = ("fentry", "fexit", "fmod_ret")
_KPROBES = ("kprobe", "kretprobe")
_NAMES = {"lsm": "bpf_lsm_"}
_REMEDY = {"try_lsm": " (they do with `bpf` in the list of the kernel's parameter lsm=)"}
_BTF_FUNC, _BTF_TYPEDEF = 12, 8


class Features:
    """Answers are found out once and remembered."""

    def __init__(self, path: Path) -> None:
        """`path` is the object that tries."""
        self._path = path
        self._tried: Callable[[str], str] = lru_cache(maxsize=None)(self._try)

    def obstacle(self, section: str) -> str:
        """Why a program of this section (`fexit/do_filp_open`) cannot run; empty where it can."""
        sort, _, target = section.partition("/")
        if sort in ("tp_btf", "raw_tp"):
            return (
                ""
                if descriptors.kernel_type(f"btf_trace_{target}", _BTF_TYPEDEF)
                else f"this kernel has no tracepoint {target}"
            )
        if sort in (*_TRAMPOLINES, *_KPROBES, "lsm"):
            name = f"{_NAMES.get(sort, '')}{target}"
            missing = "" if descriptors.kernel_type(name, _BTF_FUNC) else f"this kernel has no function {name}"
            return self._tried(_trial(sort)) or missing
        return ""

    def _try(self, program: str) -> str:
        """Attach a program, do what it counts, look."""
        opened = Object(self._path)
        try:
            opened.only([program])
            opened.load()
            opened.attach([program])
            os.getpgid(os.getpid())
            runs = int.from_bytes(descriptors.lookup(opened.map_fd("runs"), 0, 4), "little")
            return "" if runs else f"{_sort(program)} programs attach here, but never run{_REMEDY.get(program, '')}"
        except KernelError as error:
            return f"this kernel runs no {_sort(program)} programs: {error.what.partition(': ')[2] or error.what}"
        finally:
            opened.close()


def _sort(program: str) -> str:
    return program.removeprefix("try_")


def _trial(sort: str) -> str:
    if sort in _TRAMPOLINES:
        return "try_fentry"
    return "try_kprobe" if sort in _KPROBES else "try_lsm"
