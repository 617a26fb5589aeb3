"""Hooks as they are declared, and the programs and dispatchers in bpf/ that they name."""

import pytest

from exporter import probes
from exporter.model import Kind
from exporter.probes.words import SYSCALLS
from exporter.source.btf import Types
from exporter.source.hooks import ON_CALL
from exporter.source.libbpf import Object
from exporter.source.programs import objects_directory

PROGRAMS = sorted({kind.program for kind in probes.KINDS})
UNPINNED = ("kprobe", "kretprobe")
"""Hooks by a perf event: with pins the next best is taken."""


def sections(name: str) -> dict[str, str]:
    opened = Object(objects_directory() / f"{name}.bpf.o")
    try:
        return opened.sections()
    finally:
        opened.close()


SECTIONS = {program: section for name in (*PROGRAMS, "call") for program, section in sections(name).items()}
ATTACHED = {program for kind in probes.KINDS for hook in kind.hooks for program in hook.programs} | {ON_CALL}
HANDLERS = {handler for kind in probes.KINDS for hook in kind.hooks for handler in hook.handled.values()}


def test_every_attached_program_has_a_dispatcher_at_its_hook_and_no_other_has() -> None:
    pinned = {program: SECTIONS[program] for program in ATTACHED if SECTIONS[program].partition("/")[0] not in UNPINNED}
    assert sections("dispatch") == pinned


def test_every_program_is_somebodys() -> None:
    assert SECTIONS.keys() == ATTACHED | HANDLERS
    assert not ATTACHED & HANDLERS


def test_handlers_of_system_calls_are_what_a_tail_call_from_there_can_reach() -> None:
    assert {SECTIONS[handler] for handler in HANDLERS} <= {SECTIONS[ON_CALL]}


@pytest.mark.parametrize("kind", probes.KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_hooks_that_name_calls_the_kernel_has(kind: Kind) -> None:
    assert kind.hooks
    for hook in kind.hooks:
        assert bool(hook.handler) == bool(hook.calls)
        assert hook.handled.keys() <= SYSCALLS.keys()


def test_a_system_call_has_one_handler() -> None:
    handlers: dict[str, set[str]] = {}
    for kind in probes.KINDS:
        for hook in kind.hooks:
            for call, handler in hook.handled.items():
                handlers.setdefault(call, set()).add(handler)
    assert {call: names for call, names in handlers.items() if len(names) > 1} == {}


@pytest.mark.parametrize("name", [*PROGRAMS, "snapshot"])
def test_every_object_has_the_structs_that_the_reader_shares(name: str) -> None:
    opened = Object(objects_directory() / f"{name}.bpf.o")
    types = Types(opened.btf())
    opened.close()
    loss = {f"{which}.{part}" for which in ("lost", "unread", "shed") for part in ("count", "since", "until")}
    assert {member.name for member in types.members("ring_counts")} == {"produced", *loss}
    assert {member.name for member in types.members("reader")} == {
        *("asleep", "agent_tgid", "agent_start", "agent_cgroup", "lease_until", "shed", "looked", "unsaved", "bursts")
    }
