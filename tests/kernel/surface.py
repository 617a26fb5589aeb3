"""What the tests of the kernel's own surface share."""

import errno

from exporter.model import Value
from tests.kernel.recorded import Told, attributes, settings

KERNEL = settings("kernel.*")


def told_of(told: Told, kind: str, pid: int) -> list[dict[str, Value]]:
    """What was told of one type about one process."""
    return [attributes(event) for event in told.of(kind) if event.pid == pid]


def word(result: int) -> str:
    """How a refused call ended."""
    assert result < 0
    return errno.errorcode[-result]
