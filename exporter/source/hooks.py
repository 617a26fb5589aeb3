"""By which hook each kind of event is seen on this kernel: the first of its declaration that the kernel can do.

Pure. `programs.py` asks `choose` what to load, and asks again, with the reason, when something did not load after all.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from msgspec import Struct

from exporter.model import Hook, Kind

ON_CALL = "on_call"
"""The program that calls the handlers of system calls (bpf/call.bpf.c)."""

Obstacle = Callable[[str], str]
"""Why a program cannot run here; empty where nothing is known against it."""


class Refused(NamedTuple):
    """A hook that cannot be had, and why."""

    hook: Hook
    reason: str


class Choice(NamedTuple):
    """How a kind is seen: by `hook`, or not at all (None). `refused` would have been better."""

    kind: Kind
    hook: Hook | None
    refused: tuple[Refused, ...] = ()

    @property
    def reason(self) -> str:
        """Why it is not seen; empty where it is."""
        return "" if self.hook else "; ".join(dict.fromkeys(one.reason for one in self.refused)) or "has no hook"


class Plan(NamedTuple):
    """What is to be loaded for all kinds that are wanted."""

    choices: tuple[Choice, ...]

    @property
    def attached(self) -> frozenset[str]:
        """Programs that stand at a hook of their own."""
        hooks = self._hooks()
        programs = {program for hook in hooks for program in hook.programs}
        return frozenset(programs | ({ON_CALL} if any(hook.handler for hook in hooks) else set()))

    @property
    def handlers(self) -> Mapping[str, str]:
        """The program that takes each system call, by its name."""
        return {call: handler for hook in self._hooks() for call, handler in hook.handled.items()}

    @property
    def programs(self) -> frozenset[str]:
        """All of them."""
        return self.attached | frozenset(self.handlers.values())

    @property
    def unseen(self) -> tuple[Choice, ...]:
        """Kinds that cannot be seen here."""
        return tuple(choice for choice in self.choices if choice.hook is None)

    def _hooks(self) -> list[Hook]:
        return [choice.hook for choice in self.choices if choice.hook]


class Better(NamedTuple):
    """A hook that would be better, in words, and why it cannot be had."""

    hook: str
    reason: str


class Probe(Struct, frozen=True):
    """How an event type is seen on this kernel, in words; what a plan becomes for people.

    `hook` is empty where it is not seen; `reason` says why then, and what to do. `programs` are those that the kernel
    runs for it; the handlers of system calls run as part of `on_call`.
    """

    type: str
    hook: str
    reason: str = ""
    better: tuple[Better, ...] = ()
    programs: tuple[str, ...] = ()


Sections = Mapping[str, str]
"""Where each program belongs, as its object says, by its name."""


def described(hook: Hook, sections: Sections) -> str:
    """A hook as text: `fexit/do_filp_open`, `sys_exit: open openat`; both where it takes both."""
    places = [" ".join(dict.fromkeys(sections.get(name, name) for name in hook.programs))] if hook.programs else []
    calls = [f"sys_exit: {' '.join(hook.handled)}"] if hook.calls else []
    return " + ".join(places + calls)


def told(plan: Plan, sections: Sections) -> tuple[Probe, ...]:
    """What a plan comes to for each event type."""
    return tuple(_probe(choice, sections) for choice in plan.choices)


def _probe(choice: Choice, sections: Sections) -> Probe:
    refused = tuple(Better(described(one.hook, sections), one.reason) for one in choice.refused)
    if choice.hook is None:
        return Probe(choice.kind.name, "", choice.reason, refused)
    programs = (*choice.hook.programs, *((ON_CALL,) if choice.hook.handler else ()))
    return Probe(choice.kind.name, described(choice.hook, sections), "", refused, programs)


def programs_of(hook: Hook) -> tuple[str, ...]:
    """All programs that must run for a hook."""
    return (*hook.programs, *dict.fromkeys(hook.handled.values()), *((ON_CALL,) if hook.handler else ()))


def choose(kinds: Iterable[Kind], obstacle: Obstacle) -> Plan:
    """The first hook of each kind that nothing stands against."""
    return Plan(tuple(_choose(kind, obstacle) for kind in kinds))


def _choose(kind: Kind, obstacle: Obstacle) -> Choice:
    refused: list[Refused] = []
    for hook in kind.hooks:
        reason = next(filter(None, map(obstacle, programs_of(hook))), "")
        if not reason:
            return Choice(kind, hook, tuple(refused))
        refused.append(Refused(hook, reason))
    return Choice(kind, None, tuple(refused))


def unusable(kinds: Iterable[Kind], program: str, reason: str) -> dict[str, str]:
    """Why the programs of these kinds cannot run that are in the file `program`, which cannot be read."""
    hooks = (hook for kind in kinds if kind.program == program for hook in kind.hooks)
    return {name: reason for hook in hooks for name in programs_of(hook) if name != ON_CALL}
