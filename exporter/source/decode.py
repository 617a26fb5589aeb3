"""Bytes become Events: each sample's struct is taken apart by the layout in BTF and the kind's declaration.

Pure: bytes in, Events out. The agent calls `Decoder.decode` with a batch of samples and the clock offset. What a number
means is said by its typedef in C (`cap_t`, `signal_t`, `str_len_t` …); `CONVERTERS` is the whole list.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from exporter.errors import KernelError
from exporter.model import Event, Field, Kind, RawSample, Value
from exporter.probes.names import NAMES
from exporter.source.btf import Member, Types

Convert = Callable[[Any], Value | None]
Blot = Callable[[str], str]
"""Blots secrets out of a text. Arguments are not among them: the process table has those of a process blotted together.
"""

HEADER = ("kind", "pid", "time", "start_time", "exec_id", "cgroup", "sequence")
_FORMATS = {(1, False): "B", (2, False): "H", (4, False): "I", (8, False): "Q"} | {
    (1, True): "b", (2, True): "h", (4, True): "i", (8, True): "q",
}  # fmt: skip


def text(raw: bytes) -> str:
    r"""What a program called itself is any bytes; where they are not UTF-8 they show as `\xff`."""
    return raw.decode("utf-8", "backslashreplace")


CONVERTERS: Mapping[str, Convert] = {
    **NAMES,  # what the kernel's headers have words for
    "exit_code_t": lambda code: None if code == -1 else int(code),
    "device_number_t": lambda number: None if number == -1 else int(number),
    "cut_t": {0: None, 1: "start", 2: "end"}.get,
    "flag_t": lambda flag: True if flag else None,  # a flag that is down says nothing
    "count_t": lambda count: count if count != 1 else None,  # one is what an event is
    "duration_ns_t": lambda duration: duration or None,
}
STRING, LIST = "str_len_t", "argv_len_t"
TAIL = (STRING, LIST)
"""Typedefs of members that are the length of a string behind the struct."""


Row = Sequence[Any]
"""The members of one struct in their order: int, or bytes for `char[]` and where a member is the length of a string."""


class _Plan(NamedTuple):
    """How one kind is taken apart: into a row, of which come the event's own values and the process table's facts."""

    kind: Kind
    unpack: Callable[[bytes], Row]
    own: Callable[[Row], tuple[Value | None, ...]]
    facts: Callable[[Row], dict[str, Value]] | None


class _Wanted(NamedTuple):
    """A member of the row and what becomes of it."""

    at: int
    convert: Convert | None
    name: str


class Decoder:
    """Decodes the samples of some kinds, by the types of the objects that produce them."""

    def __init__(
        self,
        kinds: Iterable[Kind],
        types: Mapping[str, Types],
        boot_id: str,
        *,
        blot: Blot = str,
        strict: bool = True,
    ) -> None:
        """`types` by program; `blot` sees the texts.

        Raises KernelError when a declaration names a member that its struct does not have.

        Not `strict`, for programs of an earlier build: a member that is not there yet is None, a kind never comes.
        """
        self._plans = {}
        for kind in kinds:
            of = types.get(kind.program)  # none: not looked at, or of a later version than a recording
            if of and (strict or _is_known(kind, of)):
                self._plans[of.enumerator(f"{_c_name(kind)}_kind")] = _plan(kind, of, blot, strict=strict)
        self._boot_id = boot_id

    def decode(self, samples: Sequence[RawSample], offset: int, observed: int) -> list[Event]:
        """Events in the order of `samples`; `offset` is Unix time minus boot time, `observed` when they were read.

        Raises KernelError for a sample of a kind that was not declared: objects and agent are of different versions.
        """
        plans, events = self._plans, []
        uid, uid_ring = "", -1  # nearly all samples of a batch come from one ring
        for ring, ring_id, position, data in samples:
            plan = plans.get(_number(data)[0])
            if plan is None:
                raise KernelError(f"sent a sample of unknown kind {data[:4].hex()}", where=f"ring {ring}")
            if ring_id != uid_ring:
                uid, uid_ring = f"{self._boot_id}-{ring_id:x}-", ring_id
            kind, unpack, own, facts = plan
            raw = unpack(data)
            time = raw[2]
            event = Event(kind, f"{uid}{position:x}", time, raw[1], raw[3], raw[4], raw[5], own(raw))
            if facts is not None:
                event.facts = facts(raw)
            event.time = time + offset
            event.observed = observed
            events.append(event)
        return events


class Source(Protocol):
    """Where samples come from: the kernel or a recording. `types_of` says by whose types a ring is written."""

    types: dict[str, Types]
    boot_id: str

    def types_of(self, ring_id: int) -> Mapping[str, Types]:
        """By program."""


class Decoders:
    """A Decoder for each generation of programs: after an upgrade the old one's rings are read to their end."""

    def __init__(self, kinds: Iterable[Kind], source: Source, blot: Blot = str) -> None:
        """Raises KernelError as Decoder does, for the generation that runs."""
        self._kinds, self._source, self._blot = tuple(kinds), source, blot
        self._current = Decoder(self._kinds, source.types, source.boot_id, blot=blot)
        self._by_ring: dict[int, Decoder] = {}

    def decode(self, samples: Sequence[RawSample], offset: int, observed: int) -> list[Event]:
        """As `Decoder.decode`; all samples of one call are of one generation."""
        return self._of(samples[0].ring_id).decode(samples, offset, observed) if samples else []

    def _of(self, ring_id: int) -> Decoder:
        found = self._by_ring.get(ring_id)
        if found is None:
            types = self._source.types_of(ring_id)
            found = self._current
            if types is not self._source.types:
                found = Decoder(self._kinds, types, self._source.boot_id, blot=self._blot, strict=False)
            self._by_ring[ring_id] = found
        return found


_number = struct.Struct("<I").unpack_from


def _own(wanted: Sequence[_Wanted]) -> Callable[[Row], tuple[Value | None, ...]]:
    """A function from a row to `Event.values`; picking is all there is to it where no typedef wants more."""
    indexes = [one.at for one in wanted]
    if len(indexes) > 1 and not any(one.convert for one in wanted):
        return itemgetter(*indexes)
    return lambda row: tuple([one.convert(row[one.at]) if one.convert else row[one.at] for one in wanted])


def _facts(wanted: Sequence[_Wanted], lists: Sequence[_Wanted]) -> Callable[[Row], dict[str, Value]]:
    """A function from a row to what the process table takes; `lists` are NUL-separated strings."""

    def facts(row: Row) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for index, convert, name in wanted:
            value = convert(row[index]) if convert else row[index]
            if value is not None:
                found[name] = value
        for index, _convert, name in lists:
            found |= arguments(name, row[index])
        return found

    return facts


def _with_strings(unpack: Callable[[bytes], Row], lengths: Sequence[int], size: int) -> Callable[[bytes], Row]:
    """`unpack`, with the strings behind the struct in the places of their lengths."""

    def whole(data: bytes) -> Row:
        row, at = list(unpack(data)), size
        for index in lengths:
            end = at + row[index]
            row[index] = data[at:end]
            at = end
        return row

    return whole


def arguments(name: str, blob: bytes) -> dict[str, Value]:
    """Facts of NUL-terminated strings (argv, /proc/PID/cmdline); `<name>_whole` says how many are complete."""
    parts = blob.split(b"\0")
    whole = len(parts) - 1
    if not parts[-1]:
        parts.pop()
    return {name: tuple(map(text, parts)), f"{name}_whole": whole}


def _c_name(kind: Kind) -> str:
    return kind.name.replace(".", "_")


def _is_known(kind: Kind, types: Types) -> bool:
    """Whether programs of an earlier build had this kind."""
    try:
        return bool(types.enumerator(f"{_c_name(kind)}_kind") and types.size(_c_name(kind)))
    except KernelError:
        return False


def _plan(kind: Kind, types: Types, blot: Blot, *, strict: bool) -> _Plan:
    members = types.members(_c_name(kind))
    names = [member.name for member in members]
    if tuple(names[:7]) != tuple(f"header.{name}" for name in HEADER):
        raise KernelError(f"struct {_c_name(kind)} does not begin with the header", where="type information")
    wanted = [(field.to, _wanted(field, members, names, kind, blot, strict=strict)) for field in kind.fields]
    lengths = [at for at, member in enumerate(members) if member.typedef in TAIL]
    lists = {at for at in lengths if members[at].typedef == LIST}
    layout = struct.Struct(_format(members, types.size(_c_name(kind))))
    facts = [one for to, one in wanted if to != "event"]
    return _Plan(
        kind,
        _with_strings(layout.unpack_from, lengths, layout.size) if lengths else layout.unpack_from,
        _own([one for to, one in wanted if to == "event"]),
        _facts([one for one in facts if one.at not in lists], [one for one in facts if one.at in lists])
        if facts
        else None,
    )


def _wanted(
    field: Field, members: Sequence[Member], names: Sequence[str], kind: Kind, blot: Blot, *, strict: bool
) -> _Wanted:
    if field.c in names:
        at = names.index(field.c)
        return _Wanted(at, _converter(members[at], blot), field.name)
    if strict:
        raise KernelError(f"struct {_c_name(kind)} has no member {field.c}", where=f"declaration of {kind.name}")
    return _Wanted(0, lambda _raw: None, field.name)


def _converter(member: Member, blot: Blot) -> Convert | None:
    if member.text:
        return lambda raw: blot(text(bytes(raw).partition(b"\0")[0])) or None
    if member.typedef == STRING:
        return lambda raw: blot(text(raw)) if raw else None
    return CONVERTERS.get(member.typedef)


def _format(members: Sequence[Member], size: int) -> str:
    """The struct module's format of a layout, holes as pad bytes."""
    form, at = "<", 0
    for member in members:
        form += f"{member.offset - at}x" if member.offset > at else ""
        numeric = _FORMATS.get((member.size, member.signed))
        form += f"{member.size}s" if member.text or numeric is None else numeric
        at = member.offset + member.size
    return form + (f"{size - at}x" if size > at else "")
