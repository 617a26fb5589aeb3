"""Which sockets are watched, against what the words of the setting mean."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from exporter.source.watched import constants, watched

WORDS = struct.Struct("<128s128sII")


def matches(pattern: str, path: str) -> bool:
    """As `matches` of bpf/unix.h does it: the last 128 bytes of what is in memory, junk in front of a short path."""
    text, mask, length, used = WORDS.unpack(watched(pattern))
    tail = (b"\xaa" * 128 + path.encode())[-128:]
    same = not any((one ^ other) & bits for one, other, bits in zip(tail, text, mask, strict=True))
    return bool(used) and same and (not length or length == len(path.encode()))


names = st.text(st.characters(codec="ascii", exclude_characters="/@\0"), min_size=1, max_size=9)
paths = st.lists(names, min_size=1, max_size=9).map(lambda parts: "/" + "/".join(parts))


@given(paths, st.integers(1, 9))
def test_the_end_of_a_path_is_any_path_that_ends_so_from_a_slash_on(path: str, count: int) -> None:
    end = "/".join(path[1:].split("/")[-count:])
    assert matches(end, path)
    assert not matches(end, path + "x")
    assert not matches("x" + end, path)


@given(paths, names)
def test_a_whole_path_is_that_one_only(path: str, above: str) -> None:
    assert matches(path, path)
    assert not matches(path, f"/{above}{path}")


@given(names, names)
def test_an_abstract_name_is_that_one_only(name: str, other: str) -> None:
    assert matches(f"@{name}", f"@{name}")
    assert matches(f"@{name}", f"@{other}") == (name == other)


def test_what_is_not_used_matches_nothing() -> None:
    table = constants(["docker.sock"])["watched"]
    assert len(table) == 32 * WORDS.size
    assert not any(table[WORDS.size :])
