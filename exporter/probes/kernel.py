"""The kernel's own surface: modules, BPF programs, keys, clocks, another kernel.

OpenTelemetry has no names for these; they stand under `podwitness.` as Linux calls them.
"""

from exporter.model import Field, Hook, Kind
from exporter.probes.file_object import CALL
from exporter.probes.process import COMMON

WARNING = 13
_DESCRIPTOR = "another thread can put another file under the descriptor before the call has ended"

MODULE_LOAD = Kind(
    name="kernel.module_load",
    program="kernel_surface",
    hooks=(
        Hook(
            programs=("on_module_load", "on_module_free"),
            handler="on_module_load_call",
            calls=("init_module", "finit_module"),
            caveats="of a load that is refused before its checks are over there is no name",
        ),
        Hook(
            handler="on_module_load_call",
            calls=("init_module", "finit_module"),
            caveats="no name and no signature; for kernels without modules, where each call is refused",
        ),
    ),
    fields=(
        Field("name", "podwitness.kernel.module.name"),
        Field("path", "file.path"),
        Field("path_cut", "podwitness.file.path_truncated"),
        Field("flags", "podwitness.kernel.module.flags"),
        Field("signature", "podwitness.kernel.module.signature"),
        *CALL,
    ),
    carries=COMMON,
    severity=WARNING,
    body=(("module", "podwitness.kernel.module.name"), ("path", "file.path"), ("error", "error.type")),
)
"""A module was loaded, or refused. Signature: `verified` by a key that the kernel trusts, or `unverified`."""

MODULE_UNLOAD = Kind(
    name="kernel.module_unload",
    program="kernel_surface",
    hooks=(
        Hook(
            programs=("on_module_load", "on_module_free"),
            handler="on_module_unload_call",
            calls=("delete_module",),
            caveats="where it is refused, the name is as it was asked for",
        ),
        Hook(handler="on_module_unload_call", calls=("delete_module",), caveats="the name is as it was asked for"),
    ),
    fields=(
        Field("name", "podwitness.kernel.module.name"),
        Field("flags", "podwitness.kernel.module.flags"),
        *CALL,
    ),
    carries=COMMON,
    severity=WARNING,
    body=(("module", "podwitness.kernel.module.name"), ("error", "error.type")),
)
"""A module was removed, or was to be."""

_PROGRAM = (
    Field("type", "podwitness.bpf.program.type"),
    Field("attach_type", "podwitness.bpf.attach_type"),
    Field("id", "podwitness.bpf.program.id"),
    Field("name", "podwitness.bpf.program.name"),
    Field("function", "podwitness.bpf.program.function"),
)
"""`function`: of the kernel, where the program is made for one (fentry, LSM)."""

BPF_LOAD = Kind(
    name="kernel.bpf_load",
    program="kernel_bpf",
    hooks=(Hook(handler="on_bpf_call", calls=("bpf",), caveats=_DESCRIPTOR),),
    fields=(*_PROGRAM, *CALL),
    carries=COMMON,
    severity=WARNING,
    body=(
        ("type", "podwitness.bpf.program.type"),
        ("name", "podwitness.bpf.program.name"),
        ("error", "error.type"),
    ),
)
"""A BPF program was loaded, or refused: then it is described as it was asked for, and has no id."""

BPF_ATTACH = Kind(
    name="kernel.bpf_attach",
    program="kernel_bpf",
    hooks=(
        Hook(
            handler="on_bpf_call",
            calls=("bpf", "ioctl"),
            cost="24 ns an ioctl of anybody, beside the 28 ns that each system call costs",
            caveats="programs attached by netlink (tc, XDP) or a socket option are not seen here, nor that a link ends "
            "because nobody holds it any more",
        ),
    ),
    fields=(
        Field("command", "podwitness.bpf.command"),
        *_PROGRAM,
        Field("link", "podwitness.bpf.link.id"),
        Field("tracepoint", "podwitness.bpf.tracepoint"),
        *CALL,
    ),
    carries=COMMON,
    severity=WARNING,
    body=(
        ("type", "podwitness.bpf.program.type"),
        ("name", "podwitness.bpf.program.name"),
        ("error", "error.type"),
    ),
)
"""A BPF program was put where it runs, exchanged there or taken away: by bpf(), or by an ioctl() on a perf event.

Of a link that is changed or detached the program is the one that it has then.
"""

PERF_EVENT_OPEN = Kind(
    name="kernel.perf_event_open",
    program="kernel_perf",
    ring="activity",
    importance=6,
    hooks=(Hook(handler="on_perf_event_open_call", calls=("perf_event_open",), caveats=_DESCRIPTOR),),
    fields=(
        Field("type", "podwitness.perf.type"),
        Field("pmu", "podwitness.perf.pmu"),
        Field("config", "podwitness.perf.config"),
        Field("target", "podwitness.perf.pid"),
        Field("cpu", "podwitness.perf.cpu"),
        *CALL,
    ),
    carries=COMMON,
    severity=WARNING,
    body=(("type", "podwitness.perf.type"), ("pmu", "podwitness.perf.pmu"), ("error", "error.type")),
)
"""Counting, sampling or a probe: of process `pid` as the caller counts (0: itself, -1: all), on `cpu` (-1: any)."""

KEYRING = Kind(
    name="kernel.keyring",
    program="kernel_keyring",
    ring="activity",
    importance=6,
    hooks=(
        Hook(
            handler="on_keyring_call",
            calls=("add_key", "request_key", "keyctl"),
            caveats="type and description as they were asked for; of a key that is named by its serial only that",
        ),
    ),
    fields=(
        Field("operation", "podwitness.key.operation"),
        Field("type", "podwitness.key.type"),
        Field("description", "podwitness.key.description"),
        Field("serial", "podwitness.key.serial"),
        Field("ring", "podwitness.key.ring"),
        *CALL,
    ),
    carries=COMMON,
    severity=WARNING,
    body=(
        ("operation", "podwitness.key.operation"),
        ("type", "podwitness.key.type"),
        ("description", "podwitness.key.description"),
        ("error", "error.type"),
    ),
)
"""Something was done with a key of the kernel's; what is in keys is never looked at."""

KEXEC = Kind(
    name="kernel.kexec",
    program="kernel_surface",
    hooks=(Hook(handler="on_kexec_call", calls=("kexec_load", "kexec_file_load")),),
    fields=(
        Field("flags", "podwitness.kexec.flags"),
        Field("file_flags", "podwitness.kexec.file_flags"),
        Field("path", "file.path"),
        Field("path_cut", "podwitness.file.path_truncated"),
        Field("initrd", "podwitness.kexec.initrd.path"),
        Field("initrd_cut", "podwitness.kexec.initrd.path_truncated"),
        *CALL,
    ),
    carries=COMMON,
    severity=WARNING,
    body=(("path", "file.path"), ("flags", "podwitness.kexec.flags"), ("error", "error.type")),
)
"""Another kernel was made ready to take this one's place, or was to be."""

REBOOT = Kind(
    name="kernel.reboot",
    program="kernel_control",
    hooks=(
        Hook(
            programs=("on_reboot",),
            handler="on_reboot_call",
            calls=("reboot",),
            caveats="whether the record of a machine's own reboot is still sent, nobody can promise",
        ),
        Hook(
            handler="on_reboot_call",
            calls=("reboot",),
            caveats="only calls that return: a pid namespace that ends itself is seen by the exits of its processes",
        ),
    ),
    fields=(
        Field("command", "podwitness.reboot.command"),
        Field("wrong_magic", "podwitness.reboot.wrong_magic"),
        *CALL,
    ),
    carries=COMMON,
    severity=WARNING,
    body=(("command", "podwitness.reboot.command"), ("error", "error.type")),
)
"""reboot(): of the machine, or of a pid namespace (whose init ends); or what it does for Ctrl-Alt-Del."""

SETTIME = Kind(
    name="kernel.settime",
    program="kernel_control",
    hooks=(
        Hook(
            handler="on_settime_call",
            calls=("settimeofday", "clock_settime", "adjtimex", "clock_adjtime"),
            caveats="times and modes are read from the caller's memory; 32-bit clock_settime64 and stime are not seen",
        ),
    ),
    fields=(
        Field("clock", "podwitness.clock.id"),
        Field("time", "podwitness.clock.time_ns"),
        Field("adjustments", "podwitness.clock.adjustments"),
        Field("time_zone", "podwitness.clock.time_zone"),
        *CALL,
    ),
    carries=COMMON,
    severity=WARNING,
    body=(
        ("clock", "podwitness.clock.id"),
        ("adjustments", "podwitness.clock.adjustments"),
        ("error", "error.type"),
    ),
)
"""A clock was set or steered, or was to be; `time_ns` is since the Unix epoch. Calls that only ask are left out."""

IO_URING_SETUP = Kind(
    name="kernel.io_uring_setup",
    program="kernel_control",
    hooks=(Hook(handler="on_io_uring_setup_call", calls=("io_uring_setup",), caveats=_DESCRIPTOR),),
    fields=(
        Field("entries", "podwitness.io_uring.entries"),
        Field("flags", "podwitness.io_uring.flags"),
        *CALL,
    ),
    carries=COMMON,
    severity=WARNING,
    body=(("flags", "podwitness.io_uring.flags"), ("error", "error.type")),
)
"""A ring for calls that do not show as system calls was made, or refused."""

KERNEL = (
    MODULE_LOAD,
    MODULE_UNLOAD,
    BPF_LOAD,
    BPF_ATTACH,
    PERF_EVENT_OPEN,
    KEYRING,
    KEXEC,
    REBOOT,
    SETTIME,
    IO_URING_SETUP,
)
