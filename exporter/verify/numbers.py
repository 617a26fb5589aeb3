"""Which numbers of a stream were seen, and a fingerprint of each record: 17 bytes a record, whatever their order.

Fingerprints are Python's own keyed hashes (SipHash, 64 bits, a new key for each run): whoever wrote the input cannot
make two records look the same.
"""

from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from exporter.model import Ranges

Sight = Literal["new", "again", "changed", "other"]
"""`again`: the same record; `changed`: the same uid says something else; `other`: the number has another uid."""

_BITS = 7
_SIZE = 1 << _BITS
_NO_UID = 1
_MASK = (1 << 64) - 1


class Numbers:
    """The numbers seen so far."""

    def __init__(self) -> None:
        self._blocks: dict[int, array[int]] = {}  # pairs of fingerprints: of the uid (0: not seen), of the content

    def see(self, number: int, uid: str, content: int) -> Sight:
        """Note a record; `content` is a hash of all of it."""
        block = self._blocks.get(number >> _BITS)
        if block is None:
            block = self._blocks[number >> _BITS] = array("Q", bytes(16 * _SIZE))
        at = (number & _SIZE - 1) * 2
        name, content = _print(uid), content & _MASK
        if not block[at]:
            block[at], block[at + 1] = name, content
            return "new"
        if block[at] != name:
            return "other"
        return "again" if block[at + 1] == content else "changed"

    def __contains__(self, number: int) -> bool:
        block = self._blocks.get(number >> _BITS)
        return block is not None and block[(number & _SIZE - 1) * 2] != 0

    def ranges(self) -> Ranges:
        """All that were seen."""
        found: list[tuple[int, int]] = []
        first = last = -1
        for number, _name in self._each():
            if number != last + 1 or first < 0:
                if first >= 0:
                    found.append((first, last))
                first = number
            last = number
        return (*found, (first, last)) if first >= 0 else ()

    def shared(self) -> list[tuple[int, ...]]:
        """Numbers that have one uid between them."""
        parts = [array("Q") for _ in range(256)]  # one after the other: all at once would take ten times the memory
        for _number, name in self._each():
            parts[name & 0xFF].append(name)
        twice: set[int] = set()
        for part in parts:
            twice.update(name for name, following in pairwise(sorted(part)) if name == following)
        twice.discard(_NO_UID)
        if not twice:
            return []
        of: dict[int, list[int]] = {}
        for number, name in self._each():
            if name in twice:
                of.setdefault(name, []).append(number)
        return sorted(tuple(numbers) for numbers in of.values())

    def _each(self) -> Iterator[tuple[int, int]]:
        """Number and fingerprint of the uid, ascending."""
        for number in sorted(self._blocks):
            base = number << _BITS
            for at, name in enumerate(self._blocks[number][::2]):
                if name:
                    yield base + at, name


def _print(uid: str) -> int:
    return max(hash(uid) & _MASK, 2) if uid else _NO_UID
