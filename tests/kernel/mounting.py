"""Mounts for the kernel tests, in a mount namespace of their own that ends with this process.

    python -S tests/kernel/mounting.py WORKLOAD FOLDER

A workload prints what it knows to be true as JSON. Everything is a bare system call: what a library does besides would
be told too.
"""

import ctypes
import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

N = 23
MS_RDONLY, MS_NOSUID, MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 1, 2, 32, 4096, 8192, 16384, 1 << 18
MNT_DETACH, CLONE_NEWNS = 2, 0x20000
OPEN_TREE, MOVE_MOUNT, FSOPEN, FSCONFIG, FSMOUNT, MOUNT_SETATTR = 428, 429, 430, 431, 432, 442
PIVOT_ROOT, MOUNT, UMOUNT2 = 155, 165, 166
EMPTY_PATH, SET_STRING, CREATE, TREE_CLONE, ATTR_RDONLY, ATTR_NOSUID = 4, 1, 6, 1, 1, 2
_libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: bytes | int | None) -> int:
    """A system call; the negative errno where it is refused."""
    words = [argument if argument is None or isinstance(argument, bytes) else ctypes.c_long(argument)
             for argument in arguments]  # fmt: skip
    result = int(_libc.syscall(ctypes.c_long(number), *words))
    return result if result >= 0 else -ctypes.get_errno()


def done(number: int, *arguments: bytes | int | None) -> int:
    """A system call that has to succeed."""
    result = call(number, *arguments)
    if result < 0:
        raise OSError(-result, os.strerror(-result), f"system call {number}")
    return result


def places(folder: str) -> list[bytes]:
    """Directories to mount to, asked for in a roundabout way: they stand beside a link to where they are."""
    ground = Path(folder)
    (ground / "places").mkdir()
    (ground / "link").symlink_to("places")
    for number in range(N):
        (ground / "places" / str(number)).mkdir()
    return [f"{folder}/link/../link/{number}".encode() for number in range(N)]


def mount(folder: str) -> object:
    """File systems, the old way."""
    for place in places(folder):
        done(MOUNT, b"some device", place, b"tmpfs", MS_RDONLY | MS_NOSUID, b"size=64k")
    return mountpoints("places")


def mountpoints(part: str) -> list[str]:
    """As the kernel has them, in the order of their numbers."""
    found = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [place for place in found if f"/{part}/" in place]


def unmount(folder: str) -> object:
    """Those, taken away."""
    mount(folder)
    before = mountpoints("places")
    for number in range(N):
        done(UMOUNT2, f"{folder}/link/{number}".encode(), MNT_DETACH)
    return before


def refused(folder: str) -> object:
    """Mounts and the like of nothing, or to nowhere."""
    absent = f"{folder}/absent".encode()
    return [
        call(MOUNT, b"some device", absent, b"tmpfs", 0, None),
        call(MOUNT, b"some device", folder.encode(), b"no such type", MS_NOSUID, None),
        call(UMOUNT2, absent, MNT_DETACH),
        call(UMOUNT2, folder.encode(), 0),
        call(PIVOT_ROOT, absent, absent),
        call(PIVOT_ROOT, folder.encode(), folder.encode()),
        call(MOVE_MOUNT, -100, absent, -100, folder.encode(), 0),
    ]


def change(folder: str) -> object:
    """A bind mount, changed by mount(2) and by mount_setattr(2)."""
    (place, *_others) = places(folder)
    done(MOUNT, folder.encode(), place, None, MS_BIND, None)
    done(MOUNT, None, place, None, MS_REMOUNT | MS_BIND | MS_RDONLY, None)
    done(MOUNT_SETATTR, -100, place, 0, struct.pack("<4Q", ATTR_NOSUID, ATTR_RDONLY, 0, 0), 32)
    return None


def attach(folder: str) -> object:
    """File systems by fsopen(2) to move_mount(2)."""
    for place in places(folder):
        context = done(FSOPEN, b"tmpfs", 0)
        done(FSCONFIG, context, SET_STRING, b"source", b"some device", 0)
        done(FSCONFIG, context, CREATE, None, None, 0)
        made = done(FSMOUNT, context, 0, ATTR_NOSUID)
        done(MOVE_MOUNT, made, b"", -100, place, EMPTY_PATH)
        os.close(context)
        os.close(made)
    return mountpoints("places")


def clone(folder: str) -> object:
    """A bind mount by open_tree(2) and move_mount(2)."""
    (place, *_others) = places(folder)
    made = done(OPEN_TREE, -100, folder.encode(), TREE_CLONE)
    done(MOVE_MOUNT, made, b"", -100, place, EMPTY_PATH)
    return mountpoints("places")


def move(folder: str) -> object:
    """A mount from place to place: by mount(2), by its descriptor, by its path."""
    one, two, three, four, *_others = places(folder)
    done(MOUNT, b"some device", one, b"tmpfs", 0, None)
    done(MOUNT, one, two, None, MS_MOVE, None)
    there = os.open(two, os.O_PATH)
    done(MOVE_MOUNT, there, b"", -100, three, EMPTY_PATH)
    os.close(there)
    done(MOVE_MOUNT, -100, three, -100, four, 0)
    return mountpoints("places")


def wander(folder: str) -> object:
    """A mount from one place to another and back, 23 times."""
    pair = places(folder)[:2]
    done(MOUNT, b"some device", pair[0], b"tmpfs", 0, None)
    for number in range(N):
        done(MOUNT, pair[number % 2], pair[1 - number % 2], None, MS_MOVE, None)
    return mountpoints("places")


def own_mounts() -> None:
    """A mount namespace of this process's own, from which nothing gets out."""
    if _libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    done(MOUNT, None, b"/", None, MS_REC | MS_PRIVATE, None)


def pivot(folder: str) -> object:
    """Another root, by 23 processes, each with a mount namespace of its own."""
    place, children = places(folder)[0], []
    for _ in range(N):
        child = os.fork()
        if not child:
            own_mounts()
            done(MOUNT, b"root", place, b"tmpfs", 0, None)
            Path(os.fsdecode(place), "old").mkdir()
            done(PIVOT_ROOT, place, place + b"/old")
            os._exit(0)
        children.append(child)
        if os.waitpid(child, 0)[1]:
            raise OSError(f"child {child} failed")
    return children


WORKLOADS: dict[str, Callable[[str], object]] = {
    function.__name__: function for function in (mount, unmount, refused, change, attach, clone, move, wander, pivot)
}


if __name__ == "__main__":
    name, place = sys.argv[1:]
    own_mounts()
    sys.stdout.write(json.dumps({"pid": os.getpid(), "truth": WORKLOADS[name](place)}))
