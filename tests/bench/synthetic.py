"""Synthetic events as the kernel would have written them: a ring image that the agent's own reader reads.

300 processes in 40 pods; an `activity` record of one of them is 25 attributes, 11 of its own and 14 of its process,
beside 20 of its pod. `lifecycle` gives processes that fork, exec and exit, each new.
"""

import mmap
import os
import random
import struct
import subprocess
from pathlib import Path

import msgspec

from exporter import probes
from exporter.enrich.pods import Pod, PodIndex
from exporter.model import Field, Kind
from exporter.probes.process import COMMON
from exporter.source.btf import Types
from exporter.source.libbpf import Object
from exporter.source.programs import objects_directory
from exporter.source.rings import RingReader

PODS, PROCESSES, FILES = 40, 300, 2000
OWN = ("inode", "size", "mode", "flags", "device", "owner", "group", "result", "fd", "links", "block")
OPEN = Kind(
    name="bench.open",
    program="open",
    ring="activity",
    fields=tuple(Field(name, f"podwitness.bench.{name}") for name in OWN),
    carries=(*COMMON, "process.working_directory", "process.linux.cgroup", "process.command"),
    unused=("generation", "mount"),
    body=(("pid", "process.pid"), ("path", "process.executable.path"), ("inode", "podwitness.bench.inode")),
)
OPEN_KIND = 200


def open_types(build: Path) -> Types:
    """BTF of the synthetic record, with its number among the kinds."""
    source = Path(__file__).with_name("open.bpf.c")
    output = build / "open.bpf.o"
    command = ["clang", "-O2", "-g", "-target", "bpf", "-mcpu=v3", "-D__TARGET_ARCH_x86", "-I", "bpf"]
    command += ["-I", "/usr/include/x86_64-linux-gnu", "-c"]
    subprocess.run([*command, str(source), "-o", str(output)], check=True)
    opened = Object(output)
    types = Types(opened.btf())
    opened.close()
    return types


def process_types() -> Types:
    """BTF of the real lifecycle records."""
    opened = Object(objects_directory() / "process.bpf.o")
    types = Types(opened.btf())
    opened.close()
    return types


def pods() -> PodIndex:
    """40 pods as the API server gives them."""
    index = PodIndex()
    for number in range(PODS):
        tree = {
            "metadata": {
                "name": f"checkout-7d9c-{number:05}", "namespace": f"shop-{number % 5}", "uid": pod_uid(number),
                "resourceVersion": "1",
                "labels": {"app.kubernetes.io/name": "checkout", "app.kubernetes.io/version": "1.14.2",
                "pod-template-hash": "7d9c"},
                "annotations": {"example.com/owner": "team-payments", "example.com/tier": "gold"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "checkout-7d9c", "uid": pod_uid(999),
                "controller": True}],
            },
            "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image":
            "registry.example/checkout:1.14.2"}]}, "status": {
                "podIP": f"10.0.0.{number}", "startTime": "2026-11-20T08:41:03Z",
                "containerStatuses": [{
                    "name": "app", "containerID": f"containerd://{container_id(number)}", "image":
                    "registry.example/checkout:1.14.2",
                    "imageID": "registry.example/checkout@sha256:" + "ab" * 32, "restartCount": 0,
                }],
            },
        }  # fmt: skip
        index.apply(msgspec.convert(tree, Pod))
    return index


def pod_uid(number: int) -> str:
    """The uid of pod `number`."""
    return f"275ecb36-5aa8-4c2a-9c47-{number:012x}"


def container_id(number: int) -> str:
    """The container id of pod `number`'s one container."""
    return f"{number:064x}"


def cgroup_path(pod: int) -> str:
    """As containerd and the systemd driver name it."""
    uid = pod_uid(pod).replace("-", "_")
    slices = f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice"
    return f"/{slices}/cri-containerd-{container_id(pod)}.scope"


def header(kind: int, pid: int, start: int, image: int, pod: int, time: int) -> bytes:
    """Struct header."""
    return struct.pack("<IIQQQQQ", kind, pid, time, start, image, 10_000 + pod, 0)


class Lifecycle:
    """Writes fork, exec and exit samples of processes nobody has seen."""

    def __init__(self, types: Types) -> None:
        self._types = types
        self._members = {
            name: {m.name: m for m in types.members(name)} for name in ("process_exec", "process_fork", "process_exit")
        }

    def _sample(
        self,
        name: str,
        head: tuple[int, int, int, int, int],
        values: dict[str, int],
        strings: tuple[bytes, ...] = (),
    ) -> bytes:
        data = bytearray(self._types.size(name))
        data[:48] = header(self._types.enumerator(f"{name}_kind"), *head)
        formats = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
        for member, value in values.items():
            found = self._members[name][member]
            struct.pack_into(formats[found.size], data, found.offset, value)
        return bytes(data) + b"".join(strings)

    def fork(self, pid: int, pod: int, time: int) -> bytes:
        """A child of process 1."""
        return self._sample("process_fork", (pid, time, 1, pod, time), {"image.vpid": pid, "image.parent": 1})

    def exec(self, pid: int, pod: int, time: int, start: int) -> bytes:
        """The child runs a program with ordinary arguments."""
        args = b"".join(
            arg + b"\0"
            for arg in (b"/usr/bin/curl", b"-sS", b"--max-time", b"5", f"https://shop.example/{pid}".encode())
        )
        strings = (b"/usr/bin/curl", b"/app", cgroup_path(pod).encode(), args)
        lengths = dict(zip(("binary", "cwd", "cgroup_path", "args"), map(len, strings), strict=True))
        values = {
            "image.vpid": pid, "image.parent": 1, "image.exec_count": 1, "image.cap_effective": 0x00000000A80425FB,
            "image.cap_permitted": 0x00000000A80425FB, "image.ns_net": 4026531833, "image.ns_mnt": 4026531832, "tid":
            pid, "args_count": 5, "args_length": len(args),
        }  # fmt: skip
        return self._sample("process_exec", (pid, start, 2, pod, time), values | lengths, strings)

    def exit(self, pid: int, pod: int, time: int, start: int) -> bytes:
        """It ends well."""
        return self._sample("process_exit", (pid, start, 2, pod, time), {"code": 0})


def processes(types: Types) -> list[bytes]:
    """Fork and exec of the 300 processes whose activity follows."""
    life = Lifecycle(types)
    samples = []
    for number in range(PROCESSES):
        samples.append(life.fork(1000 + number, number % PODS, 1_000_000 + number))
        samples.append(life.exec(1000 + number, number % PODS, 2_000_000 + number, 1_000_000 + number))
    return samples


def activity(count: int) -> list[bytes]:
    """Opens by those processes in no order, of files of which some are far more popular than others."""
    dice = random.Random(1)
    files = [(dice.getrandbits(40), dice.getrandbits(20)) for _ in range(FILES)]
    samples = []
    for number in range(count):
        who, (inode, size) = dice.randrange(PROCESSES), files[int(FILES * dice.random() ** 3)]
        head = header(OPEN_KIND, 1000 + who, 1_000_000 + who, 2, who % PODS, 3_000_000 + number)
        numbers = (0o644, 2, 8, 0, 0, -2, 7, 1, 4096, 1, 1, 0)
        own = struct.pack("<QQIIIIIiIIIIII", inode, size, *numbers)
        samples.append(head + own)
    return samples


def lives(types: Types, count: int) -> list[bytes]:
    """`count` processes that fork, exec and exit, one after the other."""
    life, samples = Lifecycle(types), []
    for number in range(count):
        pid, pod, at = 100_000 + number, number % PODS, 10_000_000 + number * 1000
        samples += [
            life.fork(pid, pod, at),
            life.exec(pid, pod, at + 10, at),
            life.exit(pid, pod, at + 20, at),
        ]
    return samples


def ring(name: str, samples: list[bytes]) -> RingReader:
    """A ring with all samples, in memory laid out as the kernel does: consumer page, producer page, data twice."""
    size = 1 << max(16, sum((len(sample) + 15) & ~7 for sample in samples).bit_length())
    fd = os.memfd_create(name)
    os.ftruncate(fd, 2 * mmap.PAGESIZE + 2 * size)
    with mmap.mmap(fd, 2 * mmap.PAGESIZE + 2 * size) as pages:
        at = 0
        for sample in samples:
            base = 2 * mmap.PAGESIZE + at
            struct.pack_into("<II", pages, base, len(sample), 0)
            pages[base + 8 : base + 8 + len(sample)] = sample
            at += (len(sample) + 15) & ~7
        struct.pack_into("<Q", pages, mmap.PAGESIZE, at)
    reader = RingReader("activity" if name == "activity" else "lifecycle", 1, fd, size)
    os.close(fd)
    return reader


KINDS = (*probes.KINDS, OPEN)
