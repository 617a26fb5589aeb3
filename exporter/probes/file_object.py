"""The file that an event is about, its path, and what came of the call: what all events of files declare alike."""

from exporter.model import Field

OBJECT = (
    Field("object.inode", "file.inode"),
    Field("object.device", "podwitness.file.device"),
    Field("object.owner", "file.owner.id"),
    Field("object.group", "file.group.id"),
    Field("object.mode", "file.mode"),
    Field("object.type", "podwitness.file.type"),
)
"""Which file it was; nothing of it where a call failed."""

PATH = (
    Field("path", "file.path"),
    Field("path_cut", "podwitness.file.path_truncated"),
    Field("path_unresolved", "podwitness.file.path_unresolved"),
)
"""`path_unresolved`: as it was asked for; `..` and symbolic links are still in it."""

CALL = (
    Field("error", "error.type"),
    Field("call", "podwitness.syscall.name"),
)
"""What came of it: the symbol of errno where it failed."""
