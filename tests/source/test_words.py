"""Structs shared with the kernel, here in a memory file."""

import os
import struct

import pytest

from exporter.source import libbpf
from exporter.source.btf import Types
from exporter.source.programs import objects_directory
from exporter.source.words import Words


@pytest.fixture
def types() -> Types:
    opened = libbpf.Object(objects_directory() / "process.bpf.o")
    try:
        return Types(opened.btf())
    finally:
        opened.close()


def test_a_member_is_where_its_struct_has_it_and_nothing_else_is_touched(types: Types) -> None:
    fd = os.memfd_create("words")
    os.ftruncate(fd, 4096)
    words = Words(fd, types, "ring_counts")
    words.set("lost.until", 7, at=1)
    words.set("produced", 2**63, at=1)
    data = os.pread(fd, 4096, 0)
    offset = {member.name: member.offset for member in types.members("ring_counts")}["lost.until"]
    size = types.size("ring_counts")
    assert struct.unpack_from("<Q", data, size)[0] == words.get("produced", at=1) == 2**63
    assert struct.unpack_from("<Q", data, size + offset)[0] == words.get("lost.until", at=1) == 7
    assert data.count(0) == 4096 - 2
    words.close()
    words.close()
    os.close(fd)


def test_a_member_of_a_later_version_reads_as_zero(types: Types) -> None:
    fd = os.memfd_create("words")
    os.ftruncate(fd, 4096)
    words = Words(fd, types, "reader")
    assert words.get("not_there_yet") == 0
    words.close()
    os.close(fd)
