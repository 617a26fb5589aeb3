"""What waits compressed, as it was; transports call it where the wire is to carry it so."""

from typing import cast

from isal import isal_zlib
from isal.igzip_lib import IsalError

from exporter.model import Payload

DAMAGED = cast(type[Exception], IsalError)
"""What isal raises for bytes that are no gzip; its stubs take the class for an exception."""
_GZIP = 31  # zlib's number for the gzip format


def plain(payload: Payload) -> bytes:
    """The payload's bytes without compression; ValueError where they are damaged."""
    if not payload.gzip:
        return payload.data
    try:
        return isal_zlib.decompress(payload.data, _GZIP, payload.size)  # twice as fast with the right size
    except DAMAGED as error:
        raise ValueError(f"what was queued is damaged: {error}") from error
