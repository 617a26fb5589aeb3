"""By which hook this kernel sees a kind of event: what tests may ask of it depends on that."""

from functools import cache

from exporter import probes
from exporter.source.features import Features
from exporter.source.hooks import choose
from exporter.source.libbpf import Object
from exporter.source.programs import objects_directory


@cache
def is_noted(name: str) -> bool:
    """Whether programs in the middle of the call note what it changes, not only the one at its end."""
    (kind,) = (kind for kind in probes.KINDS if kind.name == name)
    features, sections = Features(objects_directory() / "feature.bpf.o"), dict[str, str]()
    for program in (kind.program, "call"):
        opened = Object(objects_directory() / f"{program}.bpf.o")
        sections |= opened.sections()
        opened.close()
    (choice,) = choose([kind], lambda program: features.obstacle(sections[program])).choices
    return bool(choice.hook and choice.hook.programs)
