"""Another process as the object of an event: who something was done to.

The members of `struct target` (bpf/target.h); what the kernel cannot say of it enrich finds in the process table.
"""

from exporter.model import Field

TARGET = "podwitness.target."

TARGET_FIELDS = (
    Field("target.pid", f"{TARGET}process.pid"),
    Field("target.pid", "target.pid", "table"),
    Field("target.start_time", "target.start_time", "table"),
    Field("target.exec_id", "target.exec_id", "table"),
    Field("target.cgroup", "target.cgroup", "table"),
    Field("target.comm", "target.comm", "table"),
)
TARGET_DERIVED = (
    f"{TARGET}process.creation.time",
    f"{TARGET}process.entity_id",
    f"{TARGET}process.executable.path",
    f"{TARGET}process.thread.name",
    f"{TARGET}container.id",
)
"""Of the process that something is done to; nothing of it where it had ended when it was looked up."""
