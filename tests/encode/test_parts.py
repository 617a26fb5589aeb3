"""The memory of encoded values is bounded, and makes room for the values of today."""

from exporter.encode.fragments import Encoding, Known
from exporter.encode.parts import Shared


def shared() -> Shared:
    return Shared(
        Encoding(
            attribute=lambda name, _held: lambda value: f"{name}={value}".encode(),
            image=lambda _process, _attributes: b"",
            resource=lambda _attributes: b"",
            text=str.encode,
        )
    )


def test_values_are_remembered_up_to_a_bound_and_afresh_after_a_while() -> None:
    memory = shared()
    known = memory.attribute("file.path", str)
    assert known is memory.attribute("file.path", str)
    for number in range(2 * Known.ENTRIES):
        assert known[f"/{number}"] == f"file.path=/{number}".encode()
    assert len(known) == Known.ENTRIES
    assert "/late" not in known

    memory.count(Shared.FORGET)
    assert known["/late"] == b"file.path=/late"
    assert "/late" in known


def test_what_is_large_or_only_looks_equal_is_not_remembered() -> None:
    memory = shared()
    text, number, array = (memory.attribute("a", held) for held in (str, float, tuple))
    assert text["x" * 4096].endswith(b"x" * 4096)
    assert (number[0.0], number[-0.0]) == (b"a=0.0", b"a=-0.0")
    assert array[(1,)] == b"a=(1,)"
    assert not text
    assert not number
    assert not array
