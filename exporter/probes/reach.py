"""Who looks into other processes, changes or ends them.

The other process stands under `podwitness.target.*` (`target.py`): OpenTelemetry has no names for a second one.
"""

from exporter.model import Field, Hook, Kind
from exporter.probes.process import COMMON
from exporter.probes.target import TARGET, TARGET_DERIVED, TARGET_FIELDS

ERROR = Field("error", "error.type")
CALL = Field("call", "podwitness.syscall.name")
THREAD = Field("tid", "podwitness.process.thread.id")

PRIVILEGE_PTRACE = Kind(
    name="privilege.ptrace",
    program="reach",
    ring="activity",
    importance=8,
    hooks=(
        Hook(
            handler="on_ptrace_call",
            calls=("ptrace",),
            cost="one compare for each request that is not told",
            caveats="not what only reads, waits or goes on (PEEK*, GET*, CONT, SYSCALL): debuggers do it all the time; "
            "a target that has ended by the end of the call is not found",
        ),
    ),
    fields=(
        Field("request", "podwitness.ptrace.request"),
        *TARGET_FIELDS,
        THREAD,
        ERROR,
    ),
    derived=TARGET_DERIVED,
    carries=COMMON,
    severity=13,
    body=(
        ("request", "podwitness.ptrace.request"),
        ("target", f"{TARGET}process.pid"),
        ("path", f"{TARGET}process.executable.path"),
        ("error", "error.type"),
    ),
)
"""A process begins to trace another, or changes one that it traces; of PTRACE_TRACEME the target is the caller."""

PRIVILEGE_VM_ACCESS = Kind(
    name="privilege.vm_access",
    program="reach",
    ring="activity",
    importance=8,
    hooks=(
        Hook(
            handler="on_vm_access_call",
            calls=("process_vm_readv", "process_vm_writev"),
            caveats="a target that has ended by the end of the call is not found; "
            "memory is reached through /proc/PID/mem too: that is a file.open",
        ),
    ),
    fields=(
        CALL,
        Field("bytes", "podwitness.vm_access.bytes"),
        *TARGET_FIELDS,
        THREAD,
        ERROR,
    ),
    derived=TARGET_DERIVED,
    carries=COMMON,
    severity=13,
    body=(
        ("call", "podwitness.syscall.name"),
        ("target", f"{TARGET}process.pid"),
        ("path", f"{TARGET}process.executable.path"),
        ("bytes", "podwitness.vm_access.bytes"),
        ("error", "error.type"),
    ),
)
"""A process read or wrote the memory of another."""

PRIVILEGE_SIGNAL = Kind(
    name="privilege.signal",
    program="reach",
    ring="activity",
    importance=7,
    hooks=(
        Hook(
            programs=("on_signal",),
            handler="on_signal_call",
            calls=("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"),
            cost="a look at the running call for each signal on the node",
            caveats="of refused ones those to a single process that exists; pidfd_send_signal() only where it succeeds",
        ),
    ),
    fields=(
        Field("signal", "podwitness.signal.name"),
        Field("ignored", "podwitness.signal.ignored"),
        *TARGET_FIELDS,
        CALL,
        THREAD,
        ERROR,
    ),
    derived=TARGET_DERIVED,
    carries=COMMON,
    body=(
        ("signal", "podwitness.signal.name"),
        ("target", f"{TARGET}process.pid"),
        ("path", f"{TARGET}process.executable.path"),
        ("error", "error.type"),
    ),
)
"""A signal that leaves its container: sender and target have different cgroups, and different pid or mount namespaces.

Or it is for the first process of another pid namespace. Cgroups alone do not make it: services of a host have one each,
and a container can make some within itself. Signals within a container and between processes of the host are not told.
"""

REACHES = (PRIVILEGE_PTRACE, PRIVILEGE_VM_ACCESS, PRIVILEGE_SIGNAL)
