"""Files whose name or attributes are changed: delete, rename, link, chmod, chown, xattr, truncate.

The kernel's hooks in the middle of a call know the path and what was true before; the call's end knows the result
(bpf/change.h). Names as in `file.py` beside it. New values are those that were asked for, also where that was refused.
"""

from exporter.model import Field, Hook, Kind
from exporter.probes.file_object import CALL, OBJECT, PATH
from exporter.probes.process import COMMON

_CHANGE = (
    *(Field(f"change.{field.c}", field.name) for field in (*PATH, *OBJECT, *CALL)),
    Field("change.io_uring", "podwitness.io_uring"),
)
"""Where the path is as it was asked for, it is not known which file it was. `io_uring`: the result is not known."""

_ORIGINAL = (
    Field("original", "podwitness.file.original.path"),
    Field("original_cut", "podwitness.file.original.path_truncated"),
)


def _hooks(handler: str, calls: tuple[str, ...], *noting: tuple[str, ...]) -> tuple[Hook, ...]:
    """By trampolines, else by kprobes, else by the call alone; of `noting` the first that this kernel has."""
    noted = [
        Hook(tuple(f"{by}_{name}" for name in names), handler, calls, cost, "io_uring: without a result")
        for by, cost in (("on", "a path walk"), ("probe", "a path walk, and a breakpoint"))
        for names in noting
    ]
    asked = "paths as they were asked for, without old values; io_uring is not seen"
    return (*noted, Hook(handler=handler, calls=calls, cost="a walk of the directory's path", caveats=asked))


FILE_DELETE = Kind(
    name="file.delete",
    program="path_change",
    ring="activity",
    by_default=False,
    hooks=_hooks("on_delete_call", ("unlink", "unlinkat", "rmdir"), ("path_unlink", "path_rmdir")),
    fields=_CHANGE,
    carries=COMMON,
    body=(("path", "file.path"), ("error", "error.type")),
)
"""A name of a file was removed, or a directory: `podwitness.file.type` tells."""

FILE_RENAME = Kind(
    name="file.rename",
    program="path_change",
    ring="activity",
    by_default=False,
    hooks=_hooks("on_rename_call", ("rename", "renameat", "renameat2"), ("path_rename",)),
    fields=(*_CHANGE, *_ORIGINAL, Field("flags", "podwitness.file.rename.flags")),
    carries=COMMON,
    body=(("path", "file.path"), ("from", "podwitness.file.original.path"), ("error", "error.type")),
)
"""A file got another path, `file.path`; what was there is gone, or has the old one (RENAME_EXCHANGE)."""

FILE_LINK = Kind(
    name="file.link",
    program="path_change",
    ring="activity",
    by_default=False,
    hooks=_hooks("on_link_call", ("link", "linkat", "symlink", "symlinkat"), ("path_link", "path_symlink")),
    fields=(
        *_CHANGE,
        *_ORIGINAL,
        Field("target", "file.symbolic_link.target_path"),
        Field("target_cut", "podwitness.file.symbolic_link.target_path_truncated"),
    ),
    carries=COMMON,
    body=(
        ("path", "file.path"),
        ("of", "podwitness.file.original.path"),
        ("to", "file.symbolic_link.target_path"),
        ("error", "error.type"),
    ),
)
"""A file got a second name, or a symbolic link was made; its target is told as it was given."""

FILE_CHMOD = Kind(
    name="file.chmod",
    program="attribute",
    ring="activity",
    importance=2,
    hooks=_hooks("on_chmod_call", ("chmod", "fchmod", "fchmodat", "fchmodat2"), ("path_chmod",)),
    fields=(
        *_CHANGE,
        Field("original_mode", "podwitness.file.original.mode"),
        Field("set_id", "podwitness.file.setuid"),
    ),
    carries=COMMON,
    body=(
        ("path", "file.path"),
        ("mode", "file.mode"),
        ("setuid", "podwitness.file.setuid"),
        ("error", "error.type"),
    ),
)
"""Permissions; `setuid`: the file now runs as its owner or its group, and did not before as far as is known."""

FILE_CHOWN = Kind(
    name="file.chown",
    program="attribute",
    ring="activity",
    importance=2,
    hooks=_hooks("on_chown_call", ("chown", "fchown", "lchown", "fchownat"), ("path_chown",)),
    fields=(
        *_CHANGE,
        Field("original_owner", "podwitness.file.original.owner.id"),
        Field("original_group", "podwitness.file.original.group.id"),
    ),
    carries=COMMON,
    body=(
        ("path", "file.path"),
        ("owner", "file.owner.id"),
        ("group", "file.group.id"),
        ("error", "error.type"),
    ),
)
"""Owner and group, as ids of the host."""

FILE_XATTR = Kind(
    name="file.xattr",
    program="xattr",
    ring="activity",
    importance=2,
    hooks=_hooks(
        "on_xattr_call",
        (
            *("setxattr", "lsetxattr", "fsetxattr", "setxattrat"),
            *("removexattr", "lremovexattr", "fremovexattr", "removexattrat"),
        ),
        ("want_write", "want_write_file", "set_xattr", "remove_xattr", "set_acl", "remove_acl"),
        ("want_write", "want_write_file", "set_xattr", "remove_xattr"),
    ),
    fields=(
        *_CHANGE,
        Field("name", "podwitness.file.xattr.name"),
        Field("name_cut", "podwitness.file.xattr.name_truncated"),
        Field("flags", "podwitness.file.xattr.flags"),
        Field("operation", "podwitness.file.xattr.operation"),
    ),
    carries=COMMON,
    body=(
        ("path", "file.path"),
        ("name", "podwitness.file.xattr.name"),
        ("operation", "podwitness.file.xattr.operation"),
        ("error", "error.type"),
    ),
)
"""An extended attribute was set or removed: `security.capability`, `system.posix_acl_access` (setfacl)."""

FILE_TRUNCATE = Kind(
    name="file.truncate",
    program="attribute",
    ring="activity",
    by_default=False,
    hooks=_hooks("on_truncate_call", ("truncate", "ftruncate"), ("truncate", "ftruncate"), ("truncate",)),
    fields=(*_CHANGE, Field("size", "file.size")),
    carries=COMMON,
    body=(("path", "file.path"), ("size", "file.size"), ("error", "error.type")),
)
"""A file was made this long (bytes), by name or by descriptor; opening with O_TRUNC is a file.open with that flag."""

FILE_CHANGES = (FILE_DELETE, FILE_RENAME, FILE_LINK, FILE_CHMOD, FILE_CHOWN, FILE_XATTR, FILE_TRUNCATE)
