"""The dispatchers and the programs they stand for: same names, same hooks."""

import pytest

from exporter import probes
from exporter.source.btf import Types
from exporter.source.libbpf import Object
from exporter.source.programs import objects_directory

PROGRAMS = sorted({kind.program for kind in probes.KINDS})


def sections(name: str) -> dict[str, str]:
    opened = Object(objects_directory() / f"{name}.bpf.o")
    try:
        return opened.sections()
    finally:
        opened.close()


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_has_a_dispatcher_at_its_hook(name: str) -> None:
    dispatchers = sections("dispatch")
    assert sections(name).items() <= dispatchers.items()


def test_every_dispatcher_is_some_programs() -> None:
    assert sections("dispatch").keys() == {hook for name in PROGRAMS for hook in sections(name)}


@pytest.mark.parametrize("name", [*PROGRAMS, "snapshot"])
def test_every_object_has_the_structs_that_the_reader_shares(name: str) -> None:
    opened = Object(objects_directory() / f"{name}.bpf.o")
    types = Types(opened.btf())
    opened.close()
    loss = {f"{which}.{part}" for which in ("lost", "unread", "shed") for part in ("count", "since", "until")}
    assert {member.name for member in types.members("ring_counts")} == {"produced", *loss}
    assert {member.name for member in types.members("reader")} == {
        *("asleep", "agent_tgid", "agent_start", "agent_cgroup", "lease_until", "shed", "looked", "unsaved")
    }
