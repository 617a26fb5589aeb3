"""Which labels and annotations of a pod are told, and which are kept at all.

Nothing is included unless a glob asks for it. Values that hold whole manifests, and keys that look like
secrets, are included by their full name only: `*` is written quickly and must not publish a password.
The watch calls `useful` for each version of a pod, so that nothing else stays in memory; Resources call
`select` on what is left.
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


SERVICE = "resource.opentelemetry.io/"
"""Before an attribute's name: an annotation by which a pod says this of itself."""
OVERRIDES = (
    "service.name",
    "service.namespace",
    "service.version",
    "service.instance.id",
    "deployment.environment.name",
)
"""What a pod says of itself in an annotation `resource.opentelemetry.io/<attribute>`.

These annotations and the `app.kubernetes.io/` labels are read for these attributes whether or not they are
selected. Others are not obeyed: a pod must not call itself another pod, and its free choice of a key could
make Loki refuse a whole request.
"""
STATIC = ("kubernetes.io/config.hash", "kubernetes.io/config.mirror")
"""Annotations of a static pod's mirror: the uid that the kubelet used for its cgroup."""
APP, TEMPLATE_HASH = "app.kubernetes.io/", "pod-template-hash"
"""Labels that name a workload: the service's attributes, and a Deployment, are computed from them."""

NEEDED = frozenset((*STATIC, TEMPLATE_HASH, *(SERVICE + attribute for attribute in OVERRIDES)))

LONGEST = 4096
"""Characters of a label's or annotation's value: Loki has it on every record. The rest is cut."""


def useful(found: Mapping[str, str] | None, globs: Globs) -> dict[str, str] | None:
    """Of a pod's labels or annotations, those that `globs` select and those that attributes are computed from.

    Of a value, one character more than is ever told: that it was cut must still show.
    """
    if not found:
        return None
    kept = {
        key: value[: LONGEST + 1]
        for key, value in found.items()
        if key in NEEDED or key.startswith(APP) or selected(key, globs)
    }
    return kept or None


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
