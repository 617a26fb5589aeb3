"""Layouts from BTF: a sample's struct is written once, in C, and read here from the object's type information.

`Types(raw)` parses a BTF blob (Documentation/bpf/btf.rst of Linux); `members(name)` flattens a struct into its
members with dotted names, offsets, sizes and the typedef that says what each number means. `decode.py` compiles these.
"""

import struct
from typing import NamedTuple

from exporter.errors import KernelError

_MAGIC = 0xEB9F
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM = 1, 2, 3, 4, 5, 6
_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _FUNC_PROTO, _VAR, _DATASEC = 8, 9, 10, 11, 13, 14, 15
_DECL_TAG, _TYPE_TAG, _ENUM64 = 17, 18, 19
_DEEPEST = 32  # structs in structs, and typedefs of typedefs: a damaged one can hold itself
# What follows the common 12 bytes of a type: (bytes once, bytes for each of its `vlen` members).
_TRAILERS = {
    _INT: (4, 0), _ARRAY: (12, 0), _STRUCT: (0, 12), _UNION: (0, 12), _ENUM: (0, 8), _FUNC_PROTO: (0, 8),
    _VAR: (4, 0), _DATASEC: (0, 12), _DECL_TAG: (4, 0), _ENUM64: (0, 12),
}  # fmt: skip


class Member(NamedTuple):
    """One scalar or byte array of a struct: where it is and what it means.

    `typedef` is the name of its type in C (empty for a bare integer), `text` tells a `char[]`.
    """

    name: str
    offset: int
    size: int
    signed: bool
    typedef: str
    text: bool = False


class _Type(NamedTuple):
    name: str
    kind: int
    size: int  # or the id of the type referred to
    trailer: bytes


class Types:
    """The types of one BPF object."""

    def __init__(self, raw: bytes) -> None:
        """Parse `raw`, the object's .BTF section. Raises KernelError when it is not BTF, or damaged."""
        if len(raw) < 24 or raw[:2] != _MAGIC.to_bytes(2, "little"):
            raise _damaged("is not BTF")
        header, types, types_size, names, names_size = struct.unpack_from("<IIIII", raw, 4)
        self.raw = raw
        self._names = raw[header + names : header + names + names_size]
        self._types = [_Type("void", 0, 0, b"")]
        self._parse(raw[header + types : header + types + types_size])

    def _parse(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if at + 12 > len(data):
                raise _damaged("ends in the middle of a type")
            name, info, size = struct.unpack_from("<III", data, at)
            kind, vlen = info >> 24 & 31, info & 0xFFFF
            once, each = _TRAILERS.get(kind, (0, 0))
            end = at + 12 + once + each * vlen
            if not _INT <= kind <= _ENUM64 or end > len(data):
                raise _damaged(f"has no readable type {len(self._types)}")
            self._types.append(_Type(self._name(name), kind, size, data[at + 12 : end]))
            at = end

    def _name(self, offset: int) -> str:
        end = self._names.find(0, offset)
        if end < 0:
            raise _damaged("has a name without its end")
        return self._names[offset:end].decode("utf-8", "backslashreplace")

    def _type(self, type_id: int) -> _Type:
        if type_id >= len(self._types):
            raise _damaged(f"names a type {type_id} that it does not have")
        return self._types[type_id]

    def members(self, struct_name: str) -> tuple[Member, ...]:
        """The members of a struct, nested structs flattened. Raises KernelError when there is no such struct."""
        return tuple(self._flatten(self._named(_STRUCT, struct_name), "", 0))

    def size(self, struct_name: str) -> int:
        """Size of a struct in bytes. Raises KernelError when there is no such struct."""
        return self._named(_STRUCT, struct_name).size

    def _named(self, kind: int, name: str) -> _Type:
        for found in self._types:
            if found.kind == kind and found.name == name:
                return found
        what = "struct" if kind == _STRUCT else "section"
        raise KernelError(f"has no {what} {name}", where="type information of the BPF object")

    def enumerator(self, name: str) -> int:
        """The number of an enum's member, whichever enum that is. Raises KernelError when none has it."""
        for found in self._types:
            if found.kind == _ENUM:
                for at, value in struct.iter_unpack("<Ii", found.trailer):
                    if self._name(at) == name:
                        return int(value)
        raise KernelError(f"has no enumerator {name}", where="type information of the BPF object")

    def variables(self, section: str) -> dict[str, tuple[int, int]]:
        """Offset and size of each variable of a data section such as `.rodata`. Raises KernelError when it is none."""
        entries = struct.iter_unpack("<III", self._named(_DATASEC, section).trailer)
        return {self._type(type_id).name: (offset, size) for type_id, offset, size in entries}

    def _flatten(self, parent: _Type, prefix: str, base: int) -> list[Member]:
        if prefix.count(".") > _DEEPEST:
            raise _damaged(f"has a struct {parent.name} that holds itself")
        members: list[Member] = []
        for name, type_id, bits in struct.iter_unpack("<III", parent.trailer):
            label, offset = prefix + self._name(name), base + bits // 8
            typedef, found = self._resolve(type_id)
            if found.kind == _STRUCT:
                members += self._flatten(found, f"{label}.", offset)
            else:
                members.append(self._member(label, offset, typedef, found))
        return members

    def _resolve(self, type_id: int) -> tuple[str, _Type]:
        """Through typedefs and qualifiers: the outermost typedef's name and the type itself."""
        typedef, found = "", self._type(type_id)
        for _ in range(_DEEPEST):
            if found.kind not in (_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG):
                return typedef, found
            if found.kind == _TYPEDEF and not typedef:
                typedef = found.name
            found = self._type(found.size)
        raise _damaged(f"has a type {typedef} that is itself")

    def _member(self, name: str, offset: int, typedef: str, found: _Type) -> Member:
        if found.kind == _ARRAY:
            element_id, _index, count = struct.unpack("<III", found.trailer)
            element = self._resolve(element_id)[1]
            return Member(name, offset, element.size * count, False, typedef, text=element.name == "char")
        signed = found.kind == _INT and bool(struct.unpack("<I", found.trailer)[0] >> 24 & 1)
        return Member(name, offset, 8 if found.kind == _PTR else found.size, signed, typedef)


def _damaged(what: str) -> KernelError:
    return KernelError(what, where="type information", hint="build the programs with `make setup`")
