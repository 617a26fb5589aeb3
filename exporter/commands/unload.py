"""`unload`: everything of ours leaves the kernel."""

import shutil
from pathlib import Path

from exporter.config import Config
from exporter.source import pins


def unload(config: Config) -> list[str]:
    """Remove the pins, and the objects kept for them; what was removed. Raises KernelError while an agent runs."""
    removed = pins.unload(config.kernel.pin_path)
    shutil.rmtree(Path(config.spool.path) / "objects", ignore_errors=True)
    return removed
