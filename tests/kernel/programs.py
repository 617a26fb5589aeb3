"""Small programs that the tests make themselves: compiled, or written byte by byte where no compiler would."""

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path


def compiled(folder: Path, source: str, name: str = "program", flags: Sequence[str] = ()) -> Path:
    """A program of C; clang is there, it compiles the probes."""
    path = folder / name
    code = path.with_suffix(".c")
    code.write_text(source)
    subprocess.run(["clang", "-O1", "-pthread", *flags, str(code), "-o", str(path)], check=True)
    return path


def written(path: Path, content: bytes, mode: int = 0o755) -> Path:
    """A file with this content and these permissions."""
    path.write_bytes(content)
    path.chmod(mode)
    return path


def elf32(code: bytes) -> bytes:
    """A static program of i386: one segment, headers and all, at 0x08048000; `code` begins at ENTRY."""
    header = b"\x7fELF\1\1\1".ljust(16, b"\0")
    header += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, ENTRY, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    size = 52 + 32 + len(code)
    segment = struct.pack("<IIIIIIII", 1, 0, BASE, BASE, size, size, 7, 0x1000)
    return header + segment + code


BASE = 0x08048000
ENTRY = BASE + 52 + 32


def elf64(address: int) -> bytes:
    """A static program of x86-64 with one segment, at `address`."""
    header = b"\x7fELF\2\1\1".ljust(16, b"\0")
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, address, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, address, address, 0x1000, 0x1000, 0x1000)
