"""The contract between kernel and user side, read from the objects' own BTF; needs no root.

Every member of a sample's struct is either mapped to an attribute (or the process table) or declared unused; every
declaration names a member that exists.
"""

import pytest

from exporter import probes
from exporter.model import Kind
from exporter.source import libbpf
from exporter.source.btf import Types
from exporter.source.decode import CONVERTERS, HEADER, TAIL, Decoder
from exporter.source.programs import objects_directory

ALL = (*probes.KINDS, probes.SNAPSHOT)
PLAIN = {
    "",
    "__u8",
    "__u16",
    "__u32",
    "__u64",
    "__s32",
    "__s64",
    "tgid_t",
    "tid_t",
    "ns_inum_t",
    "boot_ns_t",
    "exec_id_t",
    "cgroup_id_t",
}
"""Typedefs whose number is told as it is."""


def types_of(kind: Kind) -> Types:
    opened = libbpf.Object(objects_directory() / f"{kind.program}.bpf.o")
    try:
        return Types(opened.btf())
    finally:
        opened.close()


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_every_member_is_mapped_or_declared_unused(kind: Kind) -> None:
    members = {member.name for member in types_of(kind).members(kind.name.replace(".", "_"))}
    mapped = {field.c for field in kind.fields}
    header = {f"header.{name}" for name in HEADER}
    pads = {name for name in members if name.rpartition(".")[2] == "pad"}
    assert members - mapped - header - set(kind.unused) - pads == set()
    assert mapped <= members
    assert set(kind.unused) <= members - mapped


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_every_typedef_has_a_meaning(kind: Kind) -> None:
    members = types_of(kind).members(kind.name.replace(".", "_"))
    assert {m.typedef for m in members if not m.text} <= PLAIN | set(CONVERTERS) | set(TAIL)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_every_kind_can_be_decoded_and_carries_only_what_someone_fills(kind: Kind) -> None:
    assert Decoder([kind], {kind.program: types_of(kind)}, "boot")
    assert set(kind.carries) <= set(probes.WHOLE)
    assert {attribute for _key, attribute in kind.body} <= set(kind.attributes)


def test_a_declaration_of_a_member_that_is_gone_is_refused() -> None:
    from exporter.errors import KernelError
    from exporter.model import Field

    wrong = Kind(name="process.exit", program="process", ring="lifecycle", fields=(Field("cod", "x.y"),), carries=())
    with pytest.raises(KernelError, match=r"declaration of process\.exit: struct process_exit has no member cod"):
        Decoder([wrong], {"process": types_of(probes.PROCESS_EXIT)}, "boot")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_no_byte_of_a_sample_lies_between_its_members(kind: Kind) -> None:
    """What no member covers nobody writes: there the kernel's memory would show."""
    types, name = types_of(kind), kind.name.replace(".", "_")
    end = 0
    for member in types.members(name):
        assert member.offset == end, f"a hole before {member.name}"
        end = member.offset + member.size
    assert end == types.size(name)
