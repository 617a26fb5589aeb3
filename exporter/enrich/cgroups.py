"""Control groups: from the cgroup id of an event to its path, and from the path to the container.

The kernel names a cgroup by a number, the inode of its directory (on version 2 and, where inodes have 64
bits, on version 1). `choose` picks the one hierarchy whose numbers are used everywhere, `Tree` turns a
number into a path, `parse` reads container, pod and runtime out of the path as container runtimes write it.
Resources call all three; the agent gives the chosen hierarchy to the kernel side as well, because numbers
of different hierarchies collide.
"""

import os
import re
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from exporter.errors import ConfigError

RUNTIMES = {
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
    "docker": "docker",
    "libpod": "podman",
    "libpod-payload": "podman",
}
"""What runtimes put before the container's id in the name of its cgroup."""

# Each is tried on one path component at a fixed distance from its end, so time is linear in the path.
# 32 digits without dashes: the kubelet's hash of a static pod's manifest, which stands for its uid.
POD = re.compile(r"(?:^|-)pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?\Z")
CONTAINER = re.compile(r"(?:^|-)([0-9a-f]{64})(?:\.scope)?\Z")


class Container(NamedTuple):
    """What a path says: the container's id (64 hex digits), its pod's uid and its runtime where they show."""

    id: str
    pod_uid: str | None
    runtime: str | None


def parse(path: str) -> Container | None:
    """The container a cgroup path belongs to; None for processes of the host and of the runtime itself.

    Below a pod it is the first container: what runs inside may make cgroups of its own, with any name
    (Docker in Docker). Before a pod there may be more (kind and k3s run nodes in containers): the pod
    decides. Without a pod it is the outermost container.
    """
    uid, below = _pod(path)
    for at, name in enumerate(below):
        if "conmon" in name:  # CRI-O's and podman's monitor: a process of the runtime
            return None
        if found := CONTAINER.search(name):
            prefix = name[: found.start()]
            parent = below[at - 1] if at else ""
            return Container(found[1], uid, RUNTIMES.get(prefix or parent))
    return None


def pod_uid(path: str) -> str | None:
    """The uid of the pod a cgroup path lies in, also where no container shows (virtual machine runtimes)."""
    uid, below = _pod(path)
    return None if any("conmon" in name for name in below) else uid


def _pod(path: str) -> tuple[str | None, list[str]]:
    """The first pod's uid in its dashed form, and the names below it; all names where there is no pod."""
    names: list[str] = []
    for component in path.split("/"):
        names += _names(component)
    for at, name in enumerate(names):
        if found := POD.search(name):
            return found[1].replace("_", "-"), names[at + 1 :]
    return None, names


def _names(component: str) -> list[str]:
    """One path component as names; runc's `slice:prefix:name`, made literally by cgroupfs, holds two."""
    parts = component.split(":")
    return [parts[0], f"{parts[1]}-{parts[2]}"] if len(parts) == 3 else [component]


class Hierarchy(NamedTuple):
    """A mounted cgroup hierarchy; `subsystem` is the version 1 controller that picks it in the kernel."""

    name: Literal["v2", "pids", "memory"]
    mount: Path
    subsystem: str | None


def choose(
    setting: Literal["auto", "v2", "pids", "memory"],
    root: Path,
    mountinfo: Path = Path("/proc/self/mountinfo"),
) -> Hierarchy:
    """The hierarchy to use below `root`, by what is mounted there.

    Where `root` itself is version 2, that. Else the node is hybrid or version 1, runtimes place containers
    in the version 1 trees, and version 2 at `root/unified` knows nothing of them: pids, then memory, then
    that one.

    Raises:
        ConfigError: what the setting asks for, or any hierarchy at all, is not mounted.
    """
    mounted = _mounted(mountinfo.read_text(encoding="utf-8", errors="surrogateescape"), root)
    order = list(mounted) if setting == "auto" else [setting]
    for name in order:
        if name in mounted:
            return mounted[name]
    if mounted:
        raise ConfigError(
            f"cgroup hierarchy {setting} is not mounted below {root}",
            where="kernel.hierarchy",
            hint=f"mounted: {', '.join(mounted)}; auto takes the first",
        )
    raise ConfigError(
        f"no cgroup hierarchy is mounted at or below {root}",
        where="kernel.cgroup_root",
        hint="give the place of the host's /sys/fs/cgroup; in a container, mount it there",
    )


def _mounted(mountinfo: str, root: Path) -> dict[str, Hierarchy]:
    """The hierarchies at or below `root`, best first."""
    found: dict[str, Hierarchy] = {}
    for line in mountinfo.splitlines():
        mount, _, source = line.partition(" - ")
        point = Path(_unescape(mount.split(" ")[4]))
        kind, _, options = source.split(" ", 2)
        if point != root and root not in point.parents:
            continue
        if kind == "cgroup2" and (point == root or "v2" not in found):
            found["v2"] = Hierarchy("v2", point, None)
        for name in ("pids", "memory") if kind == "cgroup" else ():
            if name in options.split(" ")[-1].split(","):
                found[name] = Hierarchy(name, point, name)
    pure = "v2" in found and found["v2"].mount == root
    order = ("v2", "pids", "memory") if pure else ("pids", "memory", "v2")
    return {name: found[name] for name in order if name in found}


def _unescape(text: str) -> str:
    """A path of mountinfo, where blanks are octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), text)


class Tree:
    """The paths of all cgroups of one hierarchy, by id.

    A path is told by the kernel (`learn`) or found by walking the directories. A walk took 2.5 ms for 300
    cgroups (version 1, 8 files each; version 2 has more) and 80 ms for 5,000, so an unknown id walks again
    only after `pause` seconds, and after each walk that found nothing of what was asked in vain since the
    last one, twice as many, up to `longest_pause`. Removed cgroups stay known, the oldest leave first beyond
    `limit`: events of a container that is gone are still under way. Without a hierarchy (a recording is
    replayed) only what is told is known. One thread uses it.
    """

    def __init__(
        self,
        hierarchy: Hierarchy | None,
        *,
        limit: int = 65_536,
        pause: float = 1.0,
        longest_pause: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hierarchy = hierarchy
        self._limit, self._clock = limit, clock
        self._first_pause, self._longest_pause = pause, longest_pause
        self._pause = pause
        self._paths: dict[int, str] = {}
        self._missed: set[int] = set()  # asked for in vain since the last walk
        self._next_walk = float("-inf")

    def path_of(self, cgroup_id: int) -> str | None:
        """The path below the mount, as `/kubepods/…`; None where it is not (yet) to be found."""
        path = self._paths.get(cgroup_id)
        if path is None and self.hierarchy is not None:
            if len(self._missed) < self._limit:
                self._missed.add(cgroup_id)
            if self._clock() >= self._next_walk:
                self._search(self.hierarchy)
                path = self._paths.get(cgroup_id)
        return path

    def learn(self, cgroup_id: int, path: str) -> None:
        """What the kernel says itself; no walk is needed for it."""
        self._paths.pop(cgroup_id, None)  # to the end: the youngest
        self._paths[cgroup_id] = path
        self._missed.discard(cgroup_id)
        while len(self._paths) > self._limit:
            del self._paths[next(iter(self._paths))]

    def _search(self, hierarchy: Hierarchy) -> None:
        """Walk, and decide by what that was worth when the next may be."""
        sought = len(self._missed)
        self._walk(hierarchy)
        found = len(self._missed) < sought
        # What this walk did not find was most likely removed: it must be asked for again to count again.
        self._missed.clear()
        pause = self._first_pause if found else self._pause
        self._next_walk = self._clock() + pause
        self._pause = self._first_pause if found else min(pause * 2, self._longest_pause)

    def _walk(self, hierarchy: Hierarchy) -> None:
        """Learn every directory, those near the root first: a container with a deep tree cannot hide pods."""
        mount = os.fspath(hierarchy.mount)
        found: list[tuple[int, str]] = []
        try:
            found.append((hierarchy.mount.stat().st_ino, "/"))
        except OSError:
            return
        waiting = deque([""])
        while waiting and len(found) < self._limit:
            path = waiting.popleft()
            for inode, name in _directories(mount + path):
                found.append((inode, f"{path}/{name}"))
                waiting.append(f"{path}/{name}")
        for cgroup_id, path in found[: self._limit]:
            self.learn(cgroup_id, path)


def _directories(path: str) -> list[tuple[int, str]]:
    """Inode and name of the folders in `path`; nothing where it has just been removed."""
    try:
        with os.scandir(path) as entries:
            return [(entry.inode(), entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
