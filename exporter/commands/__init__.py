"""The ways to feed the pipeline: `run` from the kernel, `record` the kernel to a file, `replay` such a file; `unload`.

The command line calls these. Each opens what it needs in order, and closes it in the reverse order, whatever happens.
"""

from exporter.commands.recordings import record, replay
from exporter.commands.run import run
from exporter.commands.unload import unload

__all__ = ["record", "replay", "run", "unload"]
