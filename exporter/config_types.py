"""What every section of the settings is made of: closed structs, and the bounds of numbers and texts."""

from typing import Annotated

import msgspec

# Bounded above too: a thread must not find out that a wait or a size is beyond what the system can take.
Positive = Annotated[int, msgspec.Meta(gt=0, le=1 << 40)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
Age = Annotated[float, msgspec.Meta(gt=0, le=366 * 86400)]
"""Seconds that may be days."""
Text = Annotated[str, msgspec.Meta(min_length=1, pattern=r"\A[^\0]*\Z")]
RingBytes = Annotated[int, msgspec.Meta(ge=4096, le=1 << 30)]


class Closed(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Every section is closed: a key that we do not know is a mistake to be told, not to be ignored."""


class Globs(Closed, frozen=True):
    """Which keys: `include` then `exclude`; exclude wins. No include means none for metadata, all for fields."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
