"""Processes: exec, fork, exit, and the snapshot of those that were there before.

Names from OpenTelemetry semantic conventions 1.44.0; what it lacks stands under `podwitness.` with the
leaf names of the Elastic Common Schema.
"""

from exporter.model import Field, Hook, Kind

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
    "podwitness.process.in_init_tree",
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

MARKS = (
    Field("marks.setuid", "podwitness.process.exec.setuid", "process"),
    Field("marks.setgid", "podwitness.process.exec.setgid", "process"),
    Field("marks.file_capabilities", "podwitness.process.exec.file_capabilities", "process"),
    Field("marks.memfd", "podwitness.process.exec.memfd", "process"),
    Field("marks.deleted", "podwitness.process.exec.deleted", "process"),
)
"""What is remarkable about the program's file; of a script it is the interpreter's.

`setuid` and `setgid`: it has the bit and the kernel obeyed it, also where the process had these rights before.
`file_capabilities`: who is not root has capabilities from it; of root, who has them all, that cannot be known.
`memfd`: it was only ever in memory. `deleted`: the name it was begun by is gone, or it never had one (O_TMPFILE).
"""

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
was full, or its exec failed too late to return), so what runs may be another program. `in_init_tree`, in containers
with a pid namespace of their own: whether the container's first process has started it, or one that it started, and not
somebody who entered from outside.
"""

WHOLE = tuple(
    dict.fromkeys(
        (
            *COMMON,
            *(f.name for f in (*IMAGE, *PLACE, *ARGUMENTS, *MARKS) if f.to == "process"),
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
    hooks=(
        Hook(
            ("on_exec",),
            cost="three path walks and at most 16 KiB of argv an exec",
            caveats="argv beyond 16 KiB and paths beyond 64 levels are cut and marked",
        ),
    ),
    fields=(*IMAGE, *PLACE, *ARGUMENTS, *MARKS, Field("tid", "podwitness.process.thread.id", "process")),
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
    hooks=(Hook(("on_fork",), cost="one record of 230 bytes", caveats="threads and kernel threads are left out"),),
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
    hooks=(
        Hook(
            ("on_exit",),
            cost="one record of 64 bytes and one look-up, when the last thread ends",
            caveats="kernel threads are left out; two threads that leave at once during an upgrade can both end their"
            " process",
        ),
    ),
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

PROCESS_EXEC_FAILED = Kind(
    name="process.exec_failed",
    program="exec_failed",
    ring="activity",
    importance=15,
    hooks=(
        Hook(
            handler="on_exec_call",
            calls=("execve", "execveat"),
            cost="one path walk and at most 16 KiB of argv an exec that failed",
            caveats="of argv what is in memory just then; more than 512 arguments are not counted; "
            "a script whose interpreter is missing has the script's path",
        ),
    ),
    fields=(
        Field("path", "file.path"),
        Field("path_cut", "podwitness.file.path_truncated"),
        Field("path_unresolved", "podwitness.file.path_unresolved"),
        Field("fatal", "podwitness.process.exec.fatal"),
        Field("error", "error.type"),
        Field("call", "podwitness.syscall.name"),
        Field("args", "args", "table"),
        Field("args_count", "process.args_count", "table"),
        Field("args_missing", "args_missing", "table"),
        Field("args_uncounted", "args_uncounted", "table"),
    ),
    derived=(
        "podwitness.process.exec.args",
        "podwitness.process.exec.args_count",
        "podwitness.process.exec.args_truncated",
    ),
    carries=COMMON,
    body=(("path", "file.path"), ("args", "podwitness.process.exec.args"), ("error", "error.type")),
)
"""A program could not be begun. The process is the one that asked; path and arguments are what it asked for.

`fatal`: the old program was gone already, so the kernel kills the process; its arguments went with it. A shell that
looks for a program in PATH fails once for each directory before the right one: those ENOENT are told too.
"""

PROCESSES = (PROCESS_EXEC_FAILED,)
"""Kinds about processes beside their life."""
