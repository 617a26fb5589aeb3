"""By which hooks kinds of event would be seen here, found out without loading what sees them.

For `podwitness probes`, about those that nobody looks at, and for the table in bpf/README.md (bpf/hooks.py). A program
that the verifier refuses is found out by loading it alone, which only `programs.py` does.
"""

from collections.abc import Sequence
from pathlib import Path

from exporter.model import Kind
from exporter.source.features import Features
from exporter.source.hooks import ON_CALL, Probe, choose, told
from exporter.source.libbpf import Object

_CALL = ON_CALL.removeprefix("on_")  # the object's name


def survey(kinds: Sequence[Kind], directory: Path) -> tuple[Probe, ...]:
    """What is to be expected of `kinds` on this kernel. Raises KernelError without the right to try."""
    places, features = sections(kinds, directory), Features(directory / "feature.bpf.o")
    return told(choose(kinds, lambda program: features.obstacle(places[program])), places)


def sections(kinds: Sequence[Kind], directory: Path) -> dict[str, str]:
    """Where each program of these kinds belongs, by its name, as the objects in `directory` say; touches no kernel.

    Raises KernelError when an object is missing.
    """
    found: dict[str, str] = {}
    for name in dict.fromkeys((*(kind.program for kind in kinds), _CALL)):
        opened = Object(directory / f"{name}.bpf.o")
        try:
            found |= opened.sections()
        finally:
            opened.close()
    return found
