"""Encryption of the spool at rest: AES-256-GCM with a key from a file, or nothing.

Every value is sealed with a random nonce of 12 bytes in front, and bound to its place: a row moved to another id, or
to another sink, does not open. NIST SP 800-38D allows 2**32 values a key with random nonces: at 50 a second, 2.7
years of one key.
"""

import os
import re
import shlex
from typing import TYPE_CHECKING

from exporter.errors import ConfigError
from exporter.private import read_private

if TYPE_CHECKING:  # at run time only where there is a key: it costs 5 MB
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12
_HEX = re.compile(rb"\s*([0-9a-fA-F]{64})\s*")


class Cipher:
    """Seals what is written; without a key it leaves it as it is.

    Args:
        key: 32 bytes, or None.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._aes = None if key is None else _aes(key)

    @property
    def sealing(self) -> bool:
        """Whether there is a key."""
        return self._aes is not None

    @property
    def overhead(self) -> int:
        """Bytes that sealing adds: the nonce and the tag."""
        return _NONCE + 16 if self.sealing else 0

    def plain(self, size: int, values: int) -> int:
        """How many bytes are in so many sealed values of `size` bytes together."""
        return size - values * self.overhead

    def seal(self, data: bytes, bound: str) -> bytes:
        """`data` for the place `bound`."""
        if self._aes is None:
            return data
        nonce = os.urandom(_NONCE)
        return nonce + self._aes.encrypt(nonce, data, bound.encode())

    def unseal(self, data: bytes, bound: str) -> bytes | None:
        """What was sealed for `bound`; None where it was not, or with another key."""
        if self._aes is None:
            return data
        from cryptography.exceptions import InvalidTag

        try:
            return self._aes.decrypt(data[:_NONCE], data[_NONCE:], bound.encode())
        except (InvalidTag, ValueError):
            return None


def _aes(key: bytes) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def read_key(file: str | None) -> bytes | None:
    """The key in `file`: 32 bytes as they are, or in 64 hex digits. Raises ConfigError for anything else.

    Also for a file that every user of this machine may use.
    """
    if file is None:
        return None
    found = read_private(file, where="spool.key_file")
    if len(found) == 32:
        return found
    if digits := _HEX.fullmatch(found):
        return bytes.fromhex(digits[1].decode())
    hint = f"`(umask 077; openssl rand -hex 32 > {shlex.quote(file)})` makes one"
    raise ConfigError(f"{file} holds no key: 32 bytes or 64 hex digits", where="spool.key_file", hint=hint)
