"""Sockets of this machine that are watched: the setting `observe.unix_sockets` as the constant of bpf/unix.h.

Pure. `objects.py` sets it before the programs are loaded.
"""

import struct
from collections.abc import Iterable

_SOCKETS, _BYTES = 32, 128  # WATCHED, WATCHED_BYTES in bpf/unix.h


def constants(paths: Iterable[str]) -> dict[str, bytes]:
    """All of `paths`, at most 32 of at most 127 bytes each."""
    return {"watched": b"".join(map(watched, paths)).ljust(len(watched("x")) * _SOCKETS, b"\0")}


def watched(path: str) -> bytes:
    """`struct watched`: a whole path (`/run/docker.sock`, `@abstract`), or the end of one from a `/` on."""
    whole = path[0] in "/@"
    end = path.encode() if whole else b"/" + path.encode()
    text, mask = end.rjust(_BYTES, b"\0"), bytes(_BYTES - len(end)) + b"\xff" * len(end)
    return text + mask + struct.pack("<II", len(end) if whole else 0, 1)
