"""File systems: what is mounted, moved and taken away, and where the root is.

`system.*` from OpenTelemetry semantic conventions 1.44.0 (development); what it lacks stands under `podwitness.mount.`.
Places are the kernel's own, seen from the root directory of who mounts, where programs can stand at its security hooks;
elsewhere, and where a call failed before it came to them, they are as they were asked for, and marked.
"""

from exporter.model import Field, Hook, Kind
from exporter.probes.process import COMMON

PLACE = (
    Field("path", "system.filesystem.mountpoint"),
    Field("path_cut", "podwitness.mount.mountpoint_truncated"),
    Field("path_unresolved", "podwitness.mount.mountpoint_unresolved"),
)
WHAT = (Field("source", "system.device"), Field("type", "system.filesystem.type"))
"""What stands there: of a bind mount the directory as it was asked for, and no type."""

CALL = (Field("error", "error.type"), Field("call", "podwitness.syscall.name"))

_ASKED = "places are as they were asked for, but of what move_mount() attached"

FILESYSTEM_MOUNT = Kind(
    name="filesystem.mount",
    program="mount",
    severity=13,
    hooks=(
        Hook(("on_mount_check", "on_move_check"), "on_mount_call", ("mount", "move_mount", "mount_setattr")),
        Hook((), "on_mount_call", ("mount", "move_mount", "mount_setattr"), caveats=_ASKED),
    ),
    fields=(
        *PLACE,
        *WHAT,
        Field("flags", "podwitness.mount.flags"),
        Field("attributes_set", "podwitness.mount.attributes.set"),
        Field("attributes_cleared", "podwitness.mount.attributes.cleared"),
        *CALL,
    ),
    carries=COMMON,
    body=(
        ("mountpoint", "system.filesystem.mountpoint"),
        ("type", "system.filesystem.type"),
        ("device", "system.device"),
        ("flags", "podwitness.mount.flags"),
        ("error", "error.type"),
    ),
)
"""mount(), also to change one; move_mount() of what fsmount() or open_tree() made; mount_setattr()."""

FILESYSTEM_MOVE_MOUNT = Kind(
    name="filesystem.move_mount",
    program="mount",
    severity=13,
    hooks=(
        Hook(("on_mount_check", "on_move_check"), "on_mount_call", ("mount", "move_mount")),
        Hook((), "on_mount_call", ("mount", "move_mount"), caveats=_ASKED),
    ),
    fields=(
        *PLACE,
        Field("original", "podwitness.mount.original.mountpoint"),
        Field("original_cut", "podwitness.mount.original.mountpoint_truncated"),
        Field("original_unresolved", "podwitness.mount.original.mountpoint_unresolved"),
        Field("flags", "podwitness.mount.move_flags"),
        *CALL,
    ),
    carries=COMMON,
    body=(
        ("mountpoint", "system.filesystem.mountpoint"),
        ("original", "podwitness.mount.original.mountpoint"),
        ("error", "error.type"),
    ),
)
"""A mount that was somewhere is somewhere else: move_mount(), mount() with MS_MOVE."""

FILESYSTEM_UNMOUNT = Kind(
    name="filesystem.unmount",
    program="unmount",
    severity=13,
    hooks=(
        Hook(("on_unmount_check",), "on_unmount_call", ("umount2",)),
        Hook((), "on_unmount_call", ("umount2",), caveats="places are as they were asked for"),
    ),
    fields=(*PLACE, *WHAT, Field("flags", "podwitness.mount.unmount_flags"), *CALL),
    carries=COMMON,
    body=(
        ("mountpoint", "system.filesystem.mountpoint"),
        ("type", "system.filesystem.type"),
        ("flags", "podwitness.mount.unmount_flags"),
        ("error", "error.type"),
    ),
)
"""umount2(): what a mount namespace loses when it ends is not told."""

FILESYSTEM_PIVOT_ROOT = Kind(
    name="filesystem.pivot_root",
    program="unmount",
    severity=13,
    hooks=(
        Hook(("on_pivot_check",), "on_pivot_call", ("pivot_root",)),
        Hook((), "on_pivot_call", ("pivot_root",), caveats="places are as they were asked for"),
    ),
    fields=(
        Field("new_root", "podwitness.mount.new_root"),
        Field("new_root_cut", "podwitness.mount.new_root_truncated"),
        Field("put_old", "podwitness.mount.put_old"),
        Field("put_old_cut", "podwitness.mount.put_old_truncated"),
        Field("path_unresolved", "podwitness.mount.mountpoint_unresolved"),
        *CALL,
    ),
    carries=COMMON,
    body=(
        ("new_root", "podwitness.mount.new_root"),
        ("put_old", "podwitness.mount.put_old"),
        ("error", "error.type"),
    ),
)
"""The root directory of a mount namespace is another one; both places as seen from the old one."""

FILESYSTEMS = (FILESYSTEM_MOUNT, FILESYSTEM_MOVE_MOUNT, FILESYSTEM_UNMOUNT, FILESYSTEM_PIVOT_ROOT)
