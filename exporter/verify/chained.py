"""The hash chain of a stream, link by link, in any order: what was changed, and how far signatures vouch.

Each record carries its own hash, so a link needs two neighbours and nothing else: record n holds where its hash is that
of its content and the hash that n-1 carries. All links together are the whole chain. Where records are missing the
chain breaks: of the first record behind a gap the hash goes on to vouch for what follows, but nothing vouches for that
record's own content. Hashes and what is signed: `encode/chain.py`.
"""

from array import array
from base64 import b64decode
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from exporter.encode.chain import SIGNATURE, first, linked, signed
from exporter.model import Ranges, joined
from exporter.probes.agent import CHAIN_SIGNED
from exporter.verify.findings import ChainFinding

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNED = CHAIN_SIGNED.event_name


class Link(NamedTuple):
    """A record as the chain sees it; `digest` is the hash it carries (empty: none), `signature` in base64."""

    sequence: int
    canonical: bytes
    digest: bytes
    signature: str | None


def link(sequence: int, canonical: bytes, digest: str, event_name: str, attributes: Mapping[str, Any]) -> Link:
    """The record's link; a hash that is none is as good as a wrong one."""
    try:
        raw = bytes.fromhex(digest)
    except ValueError:
        raw = b"?"
    return Link(sequence, canonical, raw, str(attributes.get(SIGNATURE, "")) if event_name == SIGNED else None)


class Chained:
    """The links of one stream.

    Args:
        stream: its id.
        keys: public keys; a signature is valid if it is by one of them. None: signatures are not checked.
    """

    def __init__(self, stream: str, keys: "Sequence[Ed25519PublicKey] | None") -> None:
        self._stream, self._keys = stream, keys
        self._start = first(stream)
        self._begun = False
        self._records = self._signatures = 0
        self._valid: array[int] = array("Q")
        self._cut: array[int] = array("Q")  # records that do not follow from the one before them

    @property
    def used(self) -> bool:
        """Whether any record carried a hash."""
        return self._records > 0

    def see(self, one: Link) -> None:
        """Count a record, once."""
        self._records += bool(one.digest)
        self._signatures += one.signature is not None

    def check(self, before: Link | None, one: Link) -> str:
        """What is wrong with `one`, which follows `before` (None: it is the stream's first); empty: nothing."""
        carried = before.digest if before else self._start
        fault = self._fault(before, one)
        if fault:
            self._cut.append(one.sequence)
        elif one.signature is not None and self._keys is not None and one.digest:
            if self._is_valid(one.signature, signed(self._stream, one.sequence, carried or self._start)):
                self._valid.append(one.sequence)
            else:
                fault = "its signature is not by the key given"
        return fault

    def _fault(self, before: Link | None, one: Link) -> str:
        if not one.digest:
            return "it has no hash, and the record before it has one" if before and before.digest else ""
        carried = before.digest if before else self._start
        if one.digest == linked(carried or self._start, one.canonical):  # a chain may begin in the midst of a stream
            return ""
        if before and not carried:
            return "it is not the beginning of a chain, and the record before it has no hash"
        return "it does not follow from the record before it: it was changed, or that one was made anew with its hash"

    def _is_valid(self, signature: str, message: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature

        try:
            raw = b64decode(signature, validate=True)
        except ValueError:
            return False
        for key in self._keys or ():
            try:
                key.verify(raw, message)
            except InvalidSignature:
                continue
            return True
        return False

    def finding(self, seen: Ranges) -> ChainFinding | None:
        """All that the chain proves, given the numbers that were seen; None where there is none."""
        if not self.used:
            return None
        unproven = [begin for begin, _end in seen if begin != 1]
        covered = None if self._keys is None else joined(tuple(self._covered(seen)))
        return ChainFinding(self._records, unproven, self._signatures, len(self._valid), covered)

    def _covered(self, seen: Ranges) -> Iterator[tuple[int, int]]:
        """What signatures vouch for: from a break to the last signature before the next one."""
        valid, cuts = sorted(self._valid), sorted(self._cut)
        for begin, end in seen:
            starts = cuts[bisect_left(cuts, begin) : bisect_left(cuts, end + 1)]
            for start, stop in _pieces(begin, end, starts):
                at = bisect_left(valid, stop + 1) - 1
                proven = start if start == 1 and start not in starts else start + 1
                if at >= 0 and valid[at] > proven:
                    yield proven, valid[at] - 1


def _pieces(begin: int, end: int, starts: Iterable[int]) -> Iterator[tuple[int, int]]:
    for start in starts:
        if start > begin:
            yield begin, start - 1
        begin = start
    yield begin, end
