"""Scratch memory of probes, filled before they use it: what they then forget to write would be in what they send.

Programs build large samples in per-CPU arrays of one entry or two. What a sample held there before is the kernel's
memory as much as any: it may be of another process.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from exporter.source.losses import boot_now
from tests.kernel.calls import call

POISON = 0xA5
_MAP_UPDATE_ELEM, _MAP_GET_FD_BY_ID = 2, 14  # enum bpf_cmd
_PERCPU_ARRAY = 6  # enum bpf_map_type
_COUNTER = 64  # bytes; what is smaller is no sample


def poison(pid: int) -> int:
    """Fill the scratch memory of the probes that this process has loaded; when that was done, boot ns.

    A sample that was in the making then is poisoned in its middle: only those that began later can be judged.
    """
    for one in _scratch(pid):
        fd = call("bpf", _MAP_GET_FD_BY_ID, _words(one["map_id"], 0, 0), 12)
        filling = bytes([POISON]) * (-(-one["value_size"] // 8) * 8 * _cpus())
        for entry in range(one["max_entries"]):
            key, value = ctypes.create_string_buffer(struct.pack("<I", entry)), ctypes.create_string_buffer(filling)
            attributes = struct.pack("<IIQQQ", fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0)
            call("bpf", _MAP_UPDATE_ELEM, attributes, len(attributes))
        os.close(fd)
    return boot_now()


def _scratch(pid: int) -> Iterator[dict[str, int]]:
    for file in Path(f"/proc/{pid}/fdinfo").iterdir():
        lines = (line.split(":", 1) for line in file.read_text().splitlines())
        said = {name: value.strip() for name, value in lines}
        if said.get("map_type") == str(_PERCPU_ARRAY) and int(said["value_size"]) >= _COUNTER:
            yield {name: int(said[name]) for name in ("map_id", "value_size", "max_entries")}


def _words(*words: int) -> bytes:
    return struct.pack(f"<{len(words)}I", *words)


def _cpus() -> int:
    """Those that the kernel can have: it keeps a value for each."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().rpartition("-")[2]
    return int(last.rpartition(",")[2]) + 1
