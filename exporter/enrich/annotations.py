"""Which labels and annotations of a pod are told.

Nothing is included unless a glob asks for it. Values that hold whole manifests, and keys that look like
secrets, are included by their full name only: `*` is written quickly and must not publish a password.
Resources call `select` once for each version of a pod.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from exporter.config import Globs

MANIFESTS = frozenset(
    (
        "kubectl.kubernetes.io/last-applied-configuration",
        "kapp.k14s.io/original",
        "objectset.rio.cattle.io/applied",
    )
)
"""Annotations with a whole object in them, environment variables and all."""

# Looked for in the key without its punctuation, so that `api-key`, `api.key` and `apiKey` are one. Generous
# on purpose: `token-expiry` and `checksum/secret` count too, and cost their user one line with the full
# name.
SECRETS = re.compile(
    "passw(?:or)?d|passphrase|secret|token|credential|bearer|(?:api|private|access|signing|encryption|ssh|account)key"
)
PARTS = frozenset(("pwd", "pass", "auth", "authorization", "cookie", "jwt", "psk"))
"""Too short to look for inside other words: whole parts of a key only."""


def select(found: Mapping[str, str], globs: Globs) -> dict[str, str]:
    """Those of `found` that `globs` include and do not exclude, with their keys as they are."""
    return {key: value for key, value in found.items() if selected(key, globs)}


def selected(key: str, globs: Globs) -> bool:
    """Whether `key` is told; exclude wins. A `*` goes over dots and slashes."""
    if any(fnmatchcase(key, glob) for glob in globs.exclude):
        return False
    return key in globs.include or (not guarded(key) and any(fnmatchcase(key, glob) for glob in globs.include))


def guarded(key: str) -> bool:
    """Whether no wildcard may include `key`."""
    # A capital starts a part: apiKey, dbPwd.
    parts = re.findall(r"[A-Z]*[a-z0-9]+|[A-Z]+", key)
    lowered = [part.lower() for part in parts]
    return key in MANIFESTS or not PARTS.isdisjoint(lowered) or SECRETS.search("".join(lowered)) is not None
