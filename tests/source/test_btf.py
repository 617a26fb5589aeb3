"""Layouts out of type information: clang's own for structs written here, ours, and what is damaged."""

import ctypes
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import KernelError
from exporter.source import libbpf
from exporter.source.btf import Member, Types
from exporter.source.programs import objects_directory

SOURCE = """
typedef unsigned long long boot_ns_t;
typedef boot_ns_t other_ns_t;
enum kind { first_kind = 7, negative_kind = -3 };
struct place { unsigned short row; const volatile int column; };
struct sample {
    signed char tiny;
    boot_ns_t time;
    other_ns_t later;
    struct { struct place inner; unsigned int last; } outer;
    char comm[16];
    unsigned int numbers[3];
    const char *pointer;
    enum kind kind;
} __attribute__((packed));
struct sample shown;
enum kind used;
const volatile unsigned long long limit = 3;
const volatile unsigned int hierarchy = 1;
"""


class Place(ctypes.Structure):
    """The same for ctypes, which knows the C compiler's rules."""

    _fields_ = (("row", ctypes.c_uint16), ("column", ctypes.c_int))


def read(path: Path) -> Types:
    opened = libbpf.Object(path)
    try:
        return Types(opened.btf())
    finally:
        opened.close()


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Types:
    output = tmp_path_factory.mktemp("btf") / "sample.bpf.o"
    command = ["clang", "-O2", "-g", "-target", "bpf", "-x", "c", "-c", "-", "-o", str(output)]
    subprocess.run(command, input=SOURCE, text=True, check=True)
    return read(output)


def test_members_stand_where_the_compiler_put_them_and_nested_ones_have_dotted_names(types: Types) -> None:
    outer = ctypes.sizeof(Place) + 4
    assert types.members("sample") == (
        Member("tiny", 0, 1, True, ""),
        Member("time", 1, 8, False, "boot_ns_t"),
        Member("later", 9, 8, False, "other_ns_t"),
        Member("outer.inner.row", 17, 2, False, ""),
        Member("outer.inner.column", 17 + Place.column.offset, 4, True, ""),
        Member("outer.last", 17 + ctypes.sizeof(Place), 4, False, ""),
        Member("comm", 17 + outer, 16, False, "", text=True),
        Member("numbers", 33 + outer, 12, False, ""),
        Member("pointer", 45 + outer, 8, False, ""),
        Member("kind", 53 + outer, 4, False, ""),
    )
    assert types.size("sample") == 57 + outer


def test_enumerators_are_found_by_name_negative_ones_too(types: Types) -> None:
    assert (types.enumerator("first_kind"), types.enumerator("negative_kind")) == (7, -3)


def test_constants_have_their_places_in_the_section(types: Types) -> None:
    found = types.variables(".rodata")
    assert {name: size for name, (_, size) in found.items()} == {"limit": 8, "hierarchy": 4}
    assert len({offset for offset, _ in found.values()}) == 2


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        ("members", "has no struct nothing"),
        ("size", "has no struct nothing"),
        ("enumerator", "has no enumerator nothing"),
        ("variables", "has no section nothing"),
    ],
)
def test_what_is_not_there_is_an_error_that_names_it(types: Types, ask: str, answer: str) -> None:
    with pytest.raises(KernelError, match=answer):
        getattr(types, ask)("nothing")


@pytest.mark.parametrize("raw", [b"", b"\x9f", b"\x9f\xeb\x01\x00", b"\x7fELF" + bytes(100)])
def test_what_is_no_type_information_is_said_to_be_none(raw: bytes) -> None:
    with pytest.raises(KernelError, match="is not BTF"):
        Types(raw)


OURS = read(objects_directory() / "process.bpf.o").raw


def ask_everything(raw: bytes) -> None:
    types = Types(raw)
    for name in ("process_exec", "process_fork", "process_exit"):
        types.members(name)
        types.size(name)
        types.enumerator(f"{name}_kind")
    types.variables(".rodata")


def test_our_own_answers_every_question() -> None:
    ask_everything(OURS)


@given(st.integers(0, len(OURS) - 1))
def test_cut_off_anywhere_it_is_an_error_of_ours_or_still_whole(end: int) -> None:
    try:
        ask_everything(OURS[:end])
    except KernelError:
        return


@given(st.lists(st.tuples(st.integers(0, len(OURS) - 1), st.integers(0, 255)), min_size=1, max_size=20))
def test_damaged_anywhere_it_is_an_error_of_ours_and_it_ends(damage: list[tuple[int, int]]) -> None:
    """Types that refer to themselves would go round for ever."""
    raw = bytearray(OURS)
    for place, byte in damage:
        raw[place] = byte
    try:
        ask_everything(bytes(raw))
    except KernelError:
        return


def test_a_typedef_of_itself_and_a_struct_in_itself_are_refused() -> None:
    """Made by hand: `typedef loop loop; struct holder { loop a; }` and `struct nest { struct nest n; }`."""
    names = b"\0loop\0holder\0a\0nest\0n\0"

    def name(text: bytes) -> bytes:
        return names.index(b"\0" + text + b"\0").__add__(1).to_bytes(4, "little")

    def number(*values: int) -> bytes:
        return b"".join(value.to_bytes(4, "little") for value in values)

    types = name(b"loop") + number(8 << 24, 1)  # type 1
    types += name(b"holder") + number(4 << 24 | 1, 4) + name(b"a") + number(1, 0)  # type 2
    types += name(b"nest") + number(4 << 24 | 1, 4) + name(b"n") + number(3, 0)  # type 3
    header = b"\x9f\xeb\x01\x00" + number(24, 0, len(types), len(types), len(names))
    damaged = Types(header + types + names)
    with pytest.raises(KernelError, match="has a type loop that is itself"):
        damaged.members("holder")
    with pytest.raises(KernelError, match="has a struct nest that holds itself"):
        damaged.members("nest")
