"""Files: what is opened, changed, moved and removed.

Names from OpenTelemetry semantic conventions 1.44.0 (`file.*`: development); inode, owner, group and mode are strings
there. What it lacks stands under `podwitness.` with the leaf names of the Elastic Common Schema.
"""

from exporter.model import Field, Hook, Kind
from exporter.probes.file_change import FILE_CHANGES
from exporter.probes.file_content import FILE_MEMFD, FILE_MMAP, FILE_WRITE
from exporter.probes.file_object import CALL, OBJECT, PATH
from exporter.probes.process import COMMON

REPEATS = (
    Field("repeats.count", "podwitness.aggregate.count"),
    Field("repeats.lasted", "podwitness.aggregate.duration_ns"),
)
"""Of a burst: how often it was done, and how long after the first one the last one was.

The record's time is the first one's, so the last one's is that and the duration; what was done once has neither.
"""
TIMES = ("count", "podwitness.aggregate.count")

OPENS = ("open", "openat", "openat2", "creat", "open_by_handle_at")
_RACE = (
    "another thread can put another file under the descriptor before the call has ended, or change what openat2() was"
    " asked to create or empty"
)
_NAMELESS = "what io_uring could not open, or opened without a descriptor, has no path and passes rules on paths"

FILE_OPEN = Kind(
    name="file.open",
    program="file",
    ring="activity",
    by_default=False,
    hooks=(
        Hook(
            programs=("on_filp_open",),
            handler="on_open_call",
            calls=("open_by_handle_at",),
            cost="a path walk",
        ),
        Hook(
            programs=("on_uring_open",),
            handler="on_open_call",
            calls=OPENS,
            cost="a path walk",
            caveats=f"{_RACE}; {_NAMELESS}",
        ),
        Hook(
            handler="on_open_call",
            calls=OPENS,
            cost="a path walk",
            caveats=f"{_RACE}; io_uring is not seen",
        ),
    ),
    fields=(
        *PATH,
        *OBJECT,
        *REPEATS,
        Field("flags", "podwitness.file.flags"),
        Field("created", "podwitness.file.created"),
        *CALL,
    ),
    carries=COMMON,
    body=(("path", "file.path"), ("flags", "podwitness.file.flags"), ("error", "error.type"), TIMES),
)
"""A file was opened, or could not be."""

FILES = (FILE_OPEN, *FILE_CHANGES, FILE_WRITE, FILE_MMAP, FILE_MEMFD)
