"""Tamper evidence: the hash chain over the records of one sink's stream, and its signatures.

    hash = SHA-256(hash of the record before || canonical form of this record)

Before a stream's first record stands SHA-256(stream id). Each record carries its own hash as `podwitness.chain.hash`. A
record of kind CHAIN_SIGNED carries, besides, the Ed25519 signature (RFC 8032) of `signed(...)`: it vouches for all
records before it, and is a link of the chain as any other. Encoders call this only where a chain is asked for; the
canonical form is in `canonical.py`; `podwitness verify` uses the pure functions here.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

import msgspec

from exporter.encode.canonical import Canonical, Form
from exporter.errors import ConfigError
from exporter.model import SEQUENCE, Event, Keep, Kind, Stream
from exporter.private import read_private
from exporter.probes.agent import CHAIN_SIGNED

if TYPE_CHECKING:  # at run time only when a chain is asked for: it costs 5 MB
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

CHAIN_HASH = "podwitness.chain.hash"
KEY_ID, SIGNATURE = CHAIN_SIGNED.own

Link = Callable[[Event, int, str], bytes]
"""From an event, its number and its display line to the encoded attribute that holds its hash."""

T = TypeVar("T")


def first(stream: str) -> bytes:
    """What stands before the hash of the first record of the stream of this id."""
    return sha256(stream.encode()).digest()


def linked(before: bytes, canonical: bytes) -> bytes:
    """The hash of a record."""
    return sha256(before + canonical).digest()


def signed(stream: str, sequence: int, before: bytes) -> bytes:
    """What is signed: `sequence` is of the record with the signature, `before` the hash of the record before it."""
    return b"podwitness chain v1\0" + stream.encode() + sequence.to_bytes(8, "big") + before


def key_id(public: bytes) -> str:
    """The short name of a key, from its raw 32 bytes: the first 16 hex digits of their SHA-256."""
    return sha256(public).hexdigest()[:16]


class Signer:
    """The private key that signs; all chains share one.

    Args:
        key_file: PEM of an Ed25519 private key (`openssl genpkey -algorithm ed25519`), not encrypted.
        where: the setting, for errors.

    Raises:
        ConfigError: the file cannot be used, or everybody can.
    """

    def __init__(self, key_file: str, *, where: str = "tamper_evidence.key_file") -> None:
        self._key = _private_key(read_private(key_file, where=where), key_file, where)
        self.public = self._key.public_key().public_bytes_raw()
        self.key_id = key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """64 bytes; for the same message always the same."""
        return self._key.sign(message)


def _private_key(pem: bytes, key_file: str, where: str) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    hint = "openssl genpkey -algorithm ed25519 makes one"
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise ConfigError(f"{key_file} is encrypted; the agent has no password", where=where, hint=hint) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{key_file} is no private key in PEM", where=where, hint=hint) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{key_file} is no Ed25519 key", where=where, hint=hint)
    return key


class Chain:
    """The chain of one sink's stream; its state is `stream.chain`, which the spool keeps."""

    def __init__(self, stream: Stream, signer: Signer) -> None:
        self._stream, self._signer = stream, signer
        self._vouched = stream.chain

    @property
    def unsigned(self) -> bool:
        """Whether records were encoded since the last signature: then encode a CHAIN_SIGNED before the flush."""
        return bool(self._stream.chain) and self._stream.chain != self._vouched

    def link(self, canonical: bytes) -> str:
        """Add a record to the chain; its hash in hex."""
        self._stream.chain = digest = linked(self._last, canonical)
        return digest.hex()

    def signing(self, record: Callable[[Event], T]) -> Callable[[Event], T]:
        """What encodes a CHAIN_SIGNED event, of what encodes any: its values are filled in."""

        def sign(event: Event) -> T:
            stream, signer = self._stream, self._signer
            signature = b64encode(signer.sign(signed(stream.id, stream.next, self._last))).decode()
            # A copy: the same event goes to other sinks.
            done = record(msgspec.structs.replace(event, values=(signer.key_id, signature)))
            self._vouched = stream.chain
            return done

        return sign

    @property
    def _last(self) -> bytes:
        return self._stream.chain or first(self._stream.id)


def provable(keep: Mapping[str, Keep]) -> Mapping[str, Keep]:
    """The same selection, but for what nobody could check a chain without: numbers, key and signature."""
    wanted = {SEQUENCE, KEY_ID, SIGNATURE}

    @cache  # event types that share a selection go on sharing it
    def provably(keep: Keep) -> Keep:
        return lambda name: name in wanted or keep(name)

    return {kind: provably(kept) for kind, kept in keep.items()}


def linker(
    chain: Chain | None,
    kinds: Sequence[Kind],
    keep: Mapping[str, Keep],
    stream: Stream,
    form: Form,
    encode: Callable[[str], bytes],
) -> Link | None:
    """What adds each record to `chain`; `encode` makes the attribute of the hash. None where there is no chain."""
    if chain is None:
        return None
    canonical = Canonical(kinds, keep, stream, form)
    link = chain.link
    return lambda event, number, line: encode(link(canonical(event, number, line)))


def sign_in(chain: Chain | None, record: MutableMapping[Kind, Callable[[Event], T]]) -> None:
    """Let `chain` fill in its signatures, in what encodes the records of each kind."""
    if chain is not None and CHAIN_SIGNED in record:
        record[CHAIN_SIGNED] = chain.signing(record[CHAIN_SIGNED])
