"""The public keys by which signatures are checked."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_BLOCK = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)
_WHERE = "--public-key"
_HINT = "openssl pkey -in key.pem -pubout -out public.pem makes it of the private key"


def read_keys(path: Path) -> "list[Ed25519PublicKey]":
    """The Ed25519 public keys in the PEM file at `path`, one or, where keys were changed, several.

    Raises ConfigError where there are none.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        blocks = _BLOCK.findall(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", where=_WHERE) from error
    if not blocks:
        raise ConfigError(f"{path} holds no public key in PEM", where=_WHERE, hint=_HINT)
    try:
        keys = [load_pem_public_key(block) for block in blocks]
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} holds a public key that cannot be read", where=_WHERE, hint=_HINT) from error
    found = [key for key in keys if isinstance(key, Ed25519PublicKey)]
    if len(found) < len(keys):
        raise ConfigError(f"{path} holds a key that is not Ed25519", where=_WHERE, hint=_HINT)
    return found
