"""Samples taken apart: the bytes of a struct, its strings, and what their typedefs mean."""

import struct
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import probes
from exporter.errors import KernelError
from exporter.model import Field, Kind, RawSample
from exporter.source import libbpf
from exporter.source.btf import Types
from exporter.source.decode import Decoder, Decoders, arguments
from exporter.source.programs import objects_directory


def process_types() -> Types:
    opened = libbpf.Object(objects_directory() / "process.bpf.o")
    try:
        return Types(opened.btf())
    finally:
        opened.close()


TYPES = process_types()
DECODER = Decoder(probes.KINDS, {"process": TYPES}, "b007")


def header(kind: str, pid: int = 7) -> bytes:
    return struct.pack("<IIQQQQQ", TYPES.enumerator(f"{kind}_kind"), pid, 1_000, 500, 3, 99, 0)


def exit_sample(code: int, signal: int, dumped: int) -> RawSample:
    return RawSample("lifecycle", 0x1F, 0x40, header("process_exit") + struct.pack("<iIB7x", code, signal, dumped))


def test_an_exit_becomes_an_event_with_both_times_and_a_name_for_good() -> None:
    (event,) = DECODER.decode([exit_sample(3, 0, 0)], 10**18, 10**18 + 5_000)
    assert event.kind is probes.PROCESS_EXIT
    assert event.uid == "b007-1f-40"
    assert (event.pid, event.start_time, event.exec_id, event.cgroup) == (7, 500, 3, 99)
    assert (event.boot_time, event.time, event.observed) == (1_000, 10**18 + 1_000, 10**18 + 5_000)
    assert event.values == (3, None, None)


@pytest.mark.parametrize(
    ("number", "name"),
    [(9, "SIGKILL"), (11, "SIGSEGV"), (34, "SIGRTMIN"), (40, "SIGRTMIN+6"), (64, "SIGRTMAX"), (77, "77")],
)
def test_a_signal_has_its_name(number: int, name: str) -> None:
    (event,) = DECODER.decode([exit_sample(-1, number, 1)], 0, 0)
    assert event.values == (None, name, True)


def exec_sample(strings: tuple[bytes, bytes, bytes, bytes]) -> RawSample:
    """An exec whose binary, cwd, cgroup and argv are these bytes; every number in it is zero."""
    members = {member.name: member for member in TYPES.members("process_exec")}
    data = bytearray(TYPES.size("process_exec"))
    data[:48] = header("process_exec")
    for name, string in zip(("binary", "cwd", "cgroup_path", "args"), strings, strict=True):
        struct.pack_into("<I", data, members[name].offset, len(string))
    return RawSample("lifecycle", 1, 0, bytes(data) + b"".join(strings))


@given(st.tuples(*[st.binary(max_size=300)] * 4))
def test_any_bytes_are_told_as_text_that_every_wire_format_takes(
    strings: tuple[bytes, bytes, bytes, bytes],
) -> None:
    (event,) = DECODER.decode([exec_sample(strings)], 0, 0)
    assert event.facts is not None
    for name, raw in zip(
        ("process.executable.path", "process.working_directory", "process.linux.cgroup"),
        strings[:3],
        strict=True,
    ):
        told = event.facts.get(name, "")
        assert isinstance(told, str)
        assert told.encode("utf-8") == raw.decode("utf-8", "backslashreplace").encode("utf-8")


@given(st.lists(st.binary(max_size=50).filter(lambda arg: b"\0" not in arg)))
def test_arguments_come_back_one_by_one(args: list[bytes]) -> None:
    told = arguments("args", b"".join(arg + b"\0" for arg in args))
    assert told == {
        "args": tuple(arg.decode("utf-8", "backslashreplace") for arg in args),
        "args_whole": len(args),
    }


def test_an_argument_without_its_end_is_not_whole() -> None:
    assert arguments("args", b"sh\0-c\0echo lo") == {"args": ("sh", "-c", "echo lo"), "args_whole": 2}


def test_a_sample_of_another_version_is_an_error_that_names_the_ring() -> None:
    alien = RawSample("activity", 1, 0, struct.pack("<I", 4_000) + bytes(200))
    with pytest.raises(KernelError, match="ring activity: sent a sample of unknown kind"):
        DECODER.decode([alien], 0, 0)


def test_capabilities_are_words_and_what_has_no_word_yet_is_a_number() -> None:
    from exporter.probes.names import capabilities

    assert capabilities(1 << 21 | 1 << 0) == ("CAP_CHOWN", "CAP_SYS_ADMIN")
    assert capabilities(1 << 45) == ("45",)
    assert capabilities(0) == ()


def test_secrets_are_blotted_in_texts_and_left_in_arguments_to_the_process_table() -> None:
    sample = exec_sample((b"/srv/token=a", b"/home", b"/pod", b"x\0--token=b\0"))
    decoder = Decoder(probes.KINDS, {"process": TYPES}, "b007", blot=lambda text: text.upper())
    (event,) = decoder.decode([sample], 0, 0)
    assert event.facts is not None
    assert event.facts["process.executable.path"] == "/SRV/TOKEN=A"
    assert event.facts["process.working_directory"] == "/HOME"
    assert event.facts["args"] == ("x", "--token=b")


NEWER = (
    Kind(
        name="process.exit",
        program="process",
        fields=(Field("code", "code"), Field("not_yet", "not.yet"), Field("signal", "signal")),
    ),
    Kind(name="process.rename", program="process"),
    Kind(name="file.open", program="file", ring="activity"),
)


def test_what_an_earlier_build_does_not_tell_is_none_and_its_other_members_keep_their_places() -> None:
    (event,) = Decoder(NEWER, {"process": TYPES}, "b007", strict=False).decode([exit_sample(3, 9, 0)], 0, 0)
    assert event.values == (3, None, "SIGKILL")


@pytest.mark.parametrize("kind", NEWER[:2], ids=lambda kind: kind.name)
def test_of_our_own_build_the_same_is_an_error(kind: Kind) -> None:
    with pytest.raises(KernelError):
        Decoder([kind], {"process": TYPES}, "b007")


def test_a_string_that_no_declaration_names_only_takes_its_place() -> None:
    without = Kind(name="process.exec", program="process", fields=(Field("args", "args", "table"),))
    sample = exec_sample((b"/bin/true", b"/home", b"/pod", b"true\0-x\0"))
    (event,) = Decoder([without], {"process": TYPES}, "b007").decode([sample], 0, 0)
    assert event.facts == {"args": ("true", "-x"), "args_whole": 2}


class TwoGenerations:
    """A source with a ring of an earlier build, 7, whose types are another object's."""

    def __init__(self) -> None:
        self.boot_id, self.types = "b007", {"process": TYPES}

    def types_of(self, ring_id: int) -> Mapping[str, Types]:
        return {"process": process_types()} if ring_id == 7 else self.types


def test_each_ring_is_read_by_the_types_of_those_who_wrote_it() -> None:
    kinds = [probes.PROCESS_EXIT]
    decoders = Decoders(kinds, TwoGenerations())
    old, new = exit_sample(1, 0, 0)._replace(ring_id=7), exit_sample(2, 0, 0)
    assert [event.values[0] for sample in (old, new, old) for event in decoders.decode([sample], 0, 0)] == [1, 2, 1]
    assert decoders.decode([], 0, 0) == []
