"""What stat says of a file, for the kernel tests to compare with."""

import os
from pathlib import Path

from exporter.model import Value

Attributes = dict[str, Value]


def of_file(path: Path | int) -> Attributes:
    """What stat says of a file, as events have it."""
    truth = os.fstat(path) if isinstance(path, int) else path.stat()
    return {
        "file.inode": str(truth.st_ino),
        "file.mode": f"{truth.st_mode & 0o7777:04o}",
        "file.owner.id": str(truth.st_uid),
        "file.group.id": str(truth.st_gid),
        "podwitness.file.type": "file",
        "podwitness.file.device": f"{os.major(truth.st_dev)}:{os.minor(truth.st_dev)}",
    }
