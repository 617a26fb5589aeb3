"""By which hooks kinds of event would be seen here, found out without loading what sees them.

For `podwitness probes`, about those that nobody looks at, and for the table in bpf/README.md (bpf/hooks.py). A program
that the verifier refuses is found out by loading it alone, which only `programs.py` does.
"""

from collections.abc import Sequence
from pathlib import Path

from exporter.errors import KernelError
from exporter.model import Kind
from exporter.source.features import Features
from exporter.source.hooks import ON_CALL, Probe, choose, told, unusable
from exporter.source.libbpf import Object

_CALL = ON_CALL.removeprefix("on_")  # the object's name


def survey(kinds: Sequence[Kind], directory: Path) -> tuple[Probe, ...]:
    """What is to be expected of `kinds` on this kernel. Raises KernelError without the right to try."""
    (found, faults), features = places(kinds, directory), Features(directory / "feature.bpf.o")
    return told(choose(kinds, lambda program: faults.get(program) or features.obstacle(found[program])), found)


def sections(kinds: Sequence[Kind], directory: Path) -> dict[str, str]:
    """Where each program of these kinds belongs, by its name, as the objects in `directory` say; touches no kernel.

    Raises KernelError when an object is missing.
    """
    found, faults = places(kinds, directory)
    for name, reason in faults.items():
        raise KernelError(reason, where=f"program {name}")
    return found


def places(kinds: Sequence[Kind], directory: Path) -> tuple[dict[str, str], dict[str, str]]:
    """As `sections`, of what can be read; and why the other programs cannot."""
    found, faults = dict[str, str](), dict[str, str]()
    for name in dict.fromkeys((*(kind.program for kind in kinds), _CALL)):
        try:
            opened = Object(directory / f"{name}.bpf.o")
        except KernelError as error:
            faults |= {ON_CALL: str(error)} if name == _CALL else unusable(kinds, name, str(error))
            continue
        try:
            found |= opened.sections()
        finally:
            opened.close()
    return found, faults
