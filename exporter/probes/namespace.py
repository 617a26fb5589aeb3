"""Namespaces: who enters, makes and leaves them.

Numbers are those of the inodes in /proc/PID/ns. `old` and `new` are told of the types that the call is about. Of setns
and unshare the pid namespace is that of the thread's children, and so is the time namespace of unshare: as the kernel
has it, the thread itself stays where it is.
"""

from exporter.model import Field, Hook, Kind
from exporter.probes.process import COMMON

TYPES = ("uts", "ipc", "mnt", "pid", "net", "cgroup", "time", "user")
"""As /proc/PID/ns calls them."""
OLD, NEW = "podwitness.namespace.old.", "podwitness.namespace.new."
TYPES_TOLD = "podwitness.namespace.types"
IMAGE = "podwitness.process.namespace."
LEFT = f"{IMAGE}left"
"""The namespaces that the first thread was in before, `net:4026531840`; known to the process table, told by nobody."""
OF_IMAGE = (LEFT, *(IMAGE + name for name in TYPES))
"""Attributes of the image that a call can change."""
THREAD = "podwitness.process.thread.id"

CHANGE = (
    Field("change.types", TYPES_TOLD),
    *(Field(f"change.old.{name}", OLD + name) for name in TYPES),
    *(Field(f"change.new.{name}", NEW + name) for name in TYPES),
    Field("change.tid", THREAD),
    Field("change.error", "error.type"),
    Field("change.call", "podwitness.syscall.name"),
)
"""Of a refused call nothing is new."""


def _of_image(*names: str) -> tuple[Field, ...]:
    """Where the thread is afterwards: what the process table takes."""
    return (
        *(Field(f"change.new.{name}", IMAGE + name, "process") for name in names),
        Field("change.tid", "thread", "table"),
    )


_ENTERED = _of_image(*(name for name in TYPES if name != "pid"))
_MADE = _of_image(*(name for name in TYPES if name not in ("pid", "time")))
_BODY = (("types", TYPES_TOLD), ("error", "error.type"))
_BEFORE = "the old namespaces are those at the thread's last change, else the process's"
_SETNS = (
    Hook(
        programs=("on_setns_begin", "on_setns32_begin"),
        handler="on_setns_call",
        calls=("setns",),
        cost="two programs a call",
    ),
    Hook(
        programs=("on_setns_begin",),
        handler="on_setns_call",
        calls=("setns",),
        cost="two programs a call",
        caveats="for kernels without 32-bit calls",
    ),
    Hook(handler="on_setns_call", calls=("setns",), caveats=_BEFORE),
)

NAMESPACE_SETNS = Kind(
    name="namespace.setns",
    program="namespace",
    hooks=_SETNS,
    fields=(
        *CHANGE,
        *_ENTERED,
        Field("asked", "podwitness.namespace.asked"),
        Field("asked_types", "podwitness.namespace.asked_types"),
        Field("target", "podwitness.target.process.pid"),
    ),
    carries=COMMON,
    body=_BODY,
)
"""A thread entered namespaces, by a descriptor of one (`asked`) or of a process (`target`), or was refused.

The descriptor is looked at when the call is over, where another thread can have put something else there; `types` are
also those in which the thread is somewhere else than before. `asked_types` are the call's second argument.
"""

NAMESPACE_UNSHARE = Kind(
    name="namespace.unshare",
    program="namespace",
    hooks=(
        Hook(
            programs=("on_unshare_begin",),
            handler="on_unshare_call",
            calls=("unshare",),
            cost="two programs a call",
        ),
        Hook(handler="on_unshare_call", calls=("unshare",), caveats=_BEFORE),
    ),
    fields=(*CHANGE, *_MADE, Field("flags", "podwitness.namespace.flags")),
    carries=COMMON,
    body=_BODY,
)
"""A thread made new namespaces for itself and its children, or was refused."""

NAMESPACE_CLONE = Kind(
    name="namespace.clone",
    program="namespace",
    hooks=(
        Hook(
            programs=("on_clone",),
            handler="on_clone_call",
            calls=("clone", "clone3"),
            cost="two loads and two compares a fork that makes none",
            caveats="flags of clone3() are read from the caller's memory; what is new is the kernel's own word",
        ),
    ),
    fields=(
        *CHANGE,
        Field("flags", "podwitness.namespace.flags"),
        Field("child", "podwitness.target.process.pid"),
    ),
    carries=COMMON,
    body=_BODY,
)
"""A child was started in new namespaces (`old` its parent's, `new` its own), or was to be and was refused."""

NAMESPACE_ESCAPE = Kind(
    name="namespace.escape",
    program="namespace",
    hooks=_SETNS,
    fields=(*CHANGE, *_ENTERED),
    carries=COMMON,
    severity=17,
    body=_BODY,
)
"""A process of a container entered namespaces of the host's init that it was not in before: `types` are those.

The kernel sends each entry into a namespace of the host; `enrich/namespaces.py` knows containers and leaves out the
others, and those of processes that are in the host's namespace anyway and had only been away.
"""

NAMESPACES = (NAMESPACE_SETNS, NAMESPACE_UNSHARE, NAMESPACE_CLONE, NAMESPACE_ESCAPE)
