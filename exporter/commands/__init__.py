"""The ways to feed the pipeline: `run` from the kernel, `record` the kernel to a file, `replay` such a file.

`probes` says what can be seen here, `unload` takes everything of ours out of the kernel.

The command line calls these. Each opens what it needs in order, and closes it in the reverse order, whatever happens.
"""

from exporter.commands.node import check_observed
from exporter.commands.probes import probes
from exporter.commands.recordings import record, replay
from exporter.commands.run import run
from exporter.commands.unload import unload

__all__ = ["check_observed", "probes", "record", "replay", "run", "unload"]
