"""`podwitness` as it is, with one more probe, the synthetic one; in a process of its own.

PODWITNESS_TEST_OBJECTS is the folder of the compiled programs, PODWITNESS_TEST_CLOCK a file with nanoseconds by which
the wall clock is off. Everything else is the real agent.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from exporter import probes
from exporter.model import Field, Hook, Kind
from exporter.source import programs

SYNTHETIC = Kind(
    name="synthetic.activity",
    program="activity",
    ring="activity",
    hooks=(Hook(("on_synthetic",)),),
    fields=(Field("number", "podwitness.synthetic.number"),),
    carries=("process.pid",),
    unused=("pad",),
)

probes.KINDS = (*probes.KINDS, SYNTHETIC)
probes.TOLD = (*probes.TOLD, SYNTHETIC)
programs.objects_directory = lambda: Path(os.environ["PODWITNESS_TEST_OBJECTS"])

_time_ns, _clock = time.time_ns, Path(os.environ["PODWITNESS_TEST_CLOCK"])


def _moved() -> int:
    """The wall clock, off by what the test says."""
    return _time_ns() + (int(_clock.read_text()) if _clock.exists() else 0)


time.time_ns = _moved
time.time = lambda: _moved() / 1e9

if __name__ == "__main__":
    from exporter.cli import main

    main()
