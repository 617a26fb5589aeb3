"""Processes: exec, fork, exit, and the snapshot of those that were there before.

Names from OpenTelemetry semantic conventions 1.44.0; what it lacks stands under `podwitness.` with the
leaf names of the Elastic Common Schema.
"""

from exporter.model import Field, Kind

COMMON = (
    "process.pid",
    "process.vpid",
    "process.parent_pid",
    "process.creation.time",
    "process.executable.path",
    "process.executable.name",
    "process.user.id",
    "process.real_user.id",
    "podwitness.process.entity_id",
    "podwitness.process.parent.entity_id",
    "podwitness.process.exec_missed",
)
"""Attributes of the process image that every record carries: enough to know who, without the exec record."""

IMAGE = (
    Field("image.vpid", "process.vpid", "process"),
    Field("image.group_leader", "process.group_leader.pid", "process"),
    Field("image.session_leader", "process.session_leader.pid", "process"),
    Field("image.uid", "process.real_user.id", "process"),
    Field("image.euid", "process.user.id", "process"),
    Field("image.suid", "process.saved_user.id", "process"),
    Field("image.gid", "podwitness.process.real_group.id", "process"),
    Field("image.egid", "podwitness.process.group.id", "process"),
    Field("image.sgid", "podwitness.process.saved_group.id", "process"),
    Field("image.cap_effective", "podwitness.process.capabilities.effective", "process"),
    Field("image.cap_permitted", "podwitness.process.capabilities.permitted", "process"),
    Field("image.cap_inheritable", "podwitness.process.capabilities.inheritable", "process"),
    Field("image.ns_uts", "podwitness.process.namespace.uts", "process"),
    Field("image.ns_ipc", "podwitness.process.namespace.ipc", "process"),
    Field("image.ns_mnt", "podwitness.process.namespace.mnt", "process"),
    Field("image.ns_pid", "podwitness.process.namespace.pid", "process"),
    Field("image.ns_net", "podwitness.process.namespace.net", "process"),
    Field("image.ns_cgroup", "podwitness.process.namespace.cgroup", "process"),
    Field("image.ns_time", "podwitness.process.namespace.time", "process"),
    Field("image.ns_user", "podwitness.process.namespace.user", "process"),
    Field("image.tty_major", "podwitness.process.tty.major", "process"),
    Field("image.tty_minor", "podwitness.process.tty.minor", "process"),
    Field("image.comm", "podwitness.process.thread.name", "process"),
    Field("image.exec_count", "exec_count", "table"),
    Field("image.parent", "process.parent_pid", "process"),
    Field("image.parent_start_time", "parent_start_time", "table"),
    Field("image.parent_exec_id", "parent_exec_id", "table"),
)

PLACE = (
    Field("binary", "process.executable.path", "process"),
    Field("cwd", "process.working_directory", "process"),
    Field("cgroup_path", "process.linux.cgroup", "process"),
    Field("binary_cut", "podwitness.process.executable.path_truncated", "process"),
    Field("cwd_cut", "podwitness.process.working_directory_truncated", "process"),
    Field("cgroup_cut", "cgroup_cut", "table"),
)

ARGUMENTS = (
    Field("args", "args", "table"),
    Field("args_count", "process.args_count", "process"),
    Field("args_length", "podwitness.process.args.length", "process"),
)

DERIVED = (
    "process.pid",
    "process.creation.time",
    "process.executable.name",
    "process.command",
    "process.command_args",
    "process.interactive",
    "podwitness.process.entity_id",
    "podwitness.process.parent.pid",
    "podwitness.process.parent.entity_id",
    "podwitness.process.parent.executable.path",
    "podwitness.process.ancestors",
    "podwitness.process.args.truncated",
    "podwitness.process.args.truncated_indexes",
)
"""Process attributes that the process table computes.

`process.parent_pid` is the kernel's word at that moment; `podwitness.process.parent.*` and the ancestors are of who
started it, which after a double fork is another. `exec_missed`: the image after this one was never told of (the ring
was full, or its exec failed too late to return), so what runs may be another program.
"""

WHOLE = tuple(
    dict.fromkeys(
        (
            *COMMON,
            *(f.name for f in (*IMAGE, *PLACE, *ARGUMENTS) if f.to == "process"),
            "podwitness.process.thread.id",
            *DERIVED,
        )
    )
)
"""Every attribute a process image can have."""

PROCESS_EXEC = Kind(
    name="process.exec",
    program="process",
    ring="lifecycle",
    fields=(*IMAGE, *PLACE, *ARGUMENTS, Field("tid", "podwitness.process.thread.id", "process")),
    carries=WHOLE,
    once=True,
    body=(
        ("pid", "process.pid"),
        ("ppid", "process.parent_pid"),
        ("user", "process.user.id"),
        ("args", "process.command_args"),
    ),
)

PROCESS_FORK = Kind(
    name="process.fork",
    program="process",
    ring="lifecycle",
    fields=(
        *IMAGE,
        Field("cloner", "cloner", "table"),
        Field("cloner_start_time", "cloner_start_time", "table"),
        Field("cloner_exec_id", "cloner_exec_id", "table"),
    ),
    carries=COMMON,
    severity=5,
    body=(("pid", "process.pid"), ("ppid", "process.parent_pid"), ("user", "process.user.id")),
)

PROCESS_EXIT = Kind(
    name="process.exit",
    program="process",
    ring="lifecycle",
    fields=(
        Field("code", "process.exit.code"),
        Field("signal", "podwitness.process.exit.signal"),
        Field("core_dumped", "podwitness.process.exit.core_dumped"),
    ),
    derived=("process.exit.time", "podwitness.process.duration_ns"),
    carries=COMMON,
    body=(
        ("pid", "process.pid"),
        ("ppid", "process.parent_pid"),
        ("user", "process.user.id"),
        ("code", "process.exit.code"),
        ("signal", "podwitness.process.exit.signal"),
    ),
)

PROCESS_SNAPSHOT = Kind(
    name="process.snapshot",
    program="snapshot",
    ring="lifecycle",
    fields=(
        *IMAGE,
        *PLACE,
        Field("tid", "podwitness.process.thread.id", "process"),
        Field("reader", "reader", "table"),
    ),
    carries=WHOLE,
)
