"""The host: the attributes that every Resource of this node has.

The agent and Resources ask once at start. In a container, name and machine id are the host's where the
host's first process is visible below `proc_root`; the container's own would name a machine that is not
there.
"""

import os
import re
import socket
from pathlib import Path

from exporter.config import Kubernetes
from exporter.model import Attributes

ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm32",
    "armv6l": "arm32",
    "i386": "x86",
    "i686": "x86",
    "ia64": "ia64",
    "ppc": "ppc32",
    "ppc64": "ppc64",
    "ppc64le": "ppc64",
    "s390x": "s390x",
}
"""From `uname -m` to the values OpenTelemetry knows for `host.arch`; others are told as they are."""


def host_attributes(proc_root: Path = Path("/proc")) -> Attributes:
    """`host.name`, `host.id`, `host.arch` and `os.type` of the machine; what cannot be known is left out."""
    machine = os.uname().machine
    found: Attributes = {"host.name": _name(proc_root)}
    if machine_id := _machine_id(proc_root):
        found["host.id"] = machine_id
    return found | {"host.arch": ARCHITECTURES.get(machine, machine), "os.type": "linux"}


def node_name(settings: Kubernetes) -> str:
    """This node's name in the cluster: as set, else NODE_NAME of the environment, else the host name."""
    return settings.node_name or os.environ.get("NODE_NAME") or socket.gethostname()


def _name(proc_root: Path) -> str:
    """The host's name: ours if we share its UTS namespace, else the one in its /etc/hostname."""
    own = socket.gethostname()
    try:
        if (proc_root / "1/ns/uts").stat().st_ino == Path("/proc/self/ns/uts").stat().st_ino:
            return own
    except OSError:
        return own
    return _read(proc_root / "1/root/etc/hostname") or own


def _machine_id(proc_root: Path) -> str | None:
    places = (proc_root / "1/root/etc/machine-id", Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
    # systemd writes "uninitialized" there until the first boot is through.
    return next((found for place in places if re.fullmatch(r"[0-9a-f]{32}", found := _read(place))), None)


def _read(path: Path) -> str:
    """The only line of a small file; empty where it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(256).strip()
    except OSError:
        return ""
