"""`probes`: every event type, by which hook it is seen on this kernel, or why it is not; events, losses, run times.

Where an agent runs with these settings, all of it is the agent's own (`status.py`). Else the command attaches what the
settings ask for, says what came of it, and takes it away again: at once, or after `duration`.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from exporter import probes as declared
from exporter.commands.node import attach, hierarchy, looked_at
from exporter.config import Config
from exporter.errors import KernelError
from exporter.model import Kind, Ring
from exporter.source.descriptors import Runs, run_statistics, runs
from exporter.source.hooks import Better, Probe
from exporter.source.programs import Kernel, objects_directory
from exporter.source.survey import places, survey
from exporter.status import Status, agents


class RunTime(Struct, frozen=True):
    """A program at a hook: how often it ran and for how long in all, as far as the kernel has counted.

    `types` are the event types that it runs for; where it is several, nobody knows whose share is what.
    """

    program: str
    hook: str
    runs: int
    run_time_ns: int
    types: tuple[str, ...] = ()


class EventType(Struct, frozen=True):
    """An event type here: by `hook`, or by which it would be were it `observed`; `reason` says why it cannot be seen.

    `better` are hooks that this kernel cannot do, `events` those seen so far (None: nobody has counted). `programs` are
    what the kernel runs for it alone. What the agent tells of itself is in no `ring`.
    """

    type: str
    by_default: bool
    observed: bool
    attached: bool
    hook: str
    reason: str
    better: tuple[Better, ...]
    ring: Ring | None
    events: int | None
    programs: tuple[RunTime, ...]


class Report(Struct, frozen=True):
    """What was found out. `agent` is the one asked (None: none runs), `others` are agents with other settings.

    `programs` are all at the hooks. `lost` is by ring, of whichever type: the kernel knows no more.
    `doubted` says in words which processes say that they are agents and are not believed.
    """

    types: tuple[EventType, ...]
    programs: tuple[RunTime, ...]
    lost: dict[str, int] | None
    agent: Status | None
    others: tuple[Status, ...]
    doubted: tuple[str, ...] = ()


class _Found(Struct):
    """Of the agent, or of the command's own probes."""

    probes: Sequence[Probe]
    programs: Mapping[str, Runs]
    events: Mapping[str, int] | None = None
    lost: dict[str, int] | None = None


def probes(config: Config, stop: threading.Event, *, where: str, duration: float | None = None) -> Report:
    """Ask the agent that runs with the settings at `where`, or this kernel. Run times are counted for `duration`.

    Raises KernelError where nothing can be attached, or the right to look is missing.
    """
    running = agents(Path(config.kernel.proc_root))
    path = str(Path(where).resolve())
    mine = [status for status in running.agents if status.settings == path]
    found = _of_agent(mine[-1], stop, duration) if mine else _of_kernel_alone(config, stop, duration, running.closed)
    others = tuple(status for status in running.agents if status.settings != path)
    return replace(_report(found, mine[-1] if mine else None, others), doubted=running.doubted)


def _of_agent(status: Status, stop: threading.Event, duration: float | None) -> _Found:
    with _counted(status.programs, duration) as programs:
        stop.wait(duration or 0)
    running = agents(Path("/proc")).agents
    now = next((one for one in running if (one.pid, one.since) == (status.pid, status.since)), status)
    return _Found(status.probes, programs, now.events, now.lost)


def _of_kernel_alone(config: Config, stop: threading.Event, duration: float | None, closed: Sequence[int]) -> _Found:
    """As `_of_kernel`; where that fails beside agents that are `closed` to us, it is they that should be asked."""
    try:
        return _of_kernel(config, stop, duration)
    except KernelError as error:
        if not closed:
            raise
        pids = ", ".join(map(str, closed))
        what = f"an agent seems to run (pid {pids}), which root may ask, and we may not"
        raise KernelError(what, hint="run as root") from error


def _of_kernel(config: Config, stop: threading.Event, duration: float | None) -> _Found:
    settings = replace(config, kernel=replace(config.kernel, strict=False))  # what cannot be seen is told, not refused
    with closing(attach(settings, hierarchy(config))) as kernel:
        with _counted(kernel.program_ids(), duration) as programs:
            events = _count(kernel, looked_at(config), stop, duration) if duration else None
        lost = Counter[str]()
        for news in kernel.losses():
            lost[news.ring] += news.samples
        return _Found(kernel.probes, programs, events, dict(lost) if duration else None)


@contextmanager
def _counted(ids: Mapping[str, int], duration: float | None) -> Iterator[dict[str, Runs]]:
    """Runs of these programs: those within the block where there is a `duration`, else what was counted before."""
    found: dict[str, Runs] = {}
    if not duration:
        found |= {name: runs(program) for name, program in ids.items()}
        yield found
        return
    with run_statistics():
        before = {name: runs(program) for name, program in ids.items()}
        yield found
        for name, program in ids.items():
            after, old = runs(program), before[name]
            found[name] = Runs(after.number - old.number, after.nanoseconds - old.nanoseconds)


def _count(kernel: Kernel, kinds: Sequence[Kind], stop: threading.Event, duration: float) -> dict[str, int]:
    """Events by type, read and thrown away."""
    names = {
        kernel.types[kind.program].enumerator(f"{kind.name.replace('.', '_')}_kind"): kind.name
        for kind in kinds
        if kind.program in kernel.types  # else its object cannot be read
    }
    counts, end = Counter[str](), time.monotonic() + duration
    while not stop.is_set() and time.monotonic() < end:
        kernel.wait()
        counts.update(names[int.from_bytes(sample.data[:4], "little")] for sample in kernel.read())
        kernel.acknowledge()
    return counts


def _report(found: _Found, agent: Status | None, others: tuple[Status, ...]) -> Report:
    directory = objects_directory()
    sections, _faults = places(declared.KINDS, directory)
    attached = {probe.type: probe for probe in found.probes}
    programs = {
        name: RunTime(
            name, sections.get(name, ""), *ran, tuple(one for one in attached if name in attached[one].programs)
        )
        for name, ran in found.programs.items()
    }
    rest = survey([kind for kind in declared.KINDS if kind.name not in attached], directory)
    known = attached | {probe.type: probe for probe in rest}
    types = [
        _event_type(kind, known[kind.name], found, programs, observed=kind.name in attached) for kind in declared.KINDS
    ]
    types += [_of_itself(kind, runs=agent is not None) for kind in declared.AGENT_KINDS]
    return Report(tuple(types), tuple(programs.values()), found.lost, agent, others)


def _of_itself(kind: Kind, *, runs: bool) -> EventType:
    return EventType(kind.name, kind.by_default, runs, runs, "the agent itself", "", (), None, None, ())


def _event_type(
    kind: Kind, probe: Probe, found: _Found, programs: Mapping[str, RunTime], *, observed: bool
) -> EventType:
    is_counted = observed and found.events is not None
    return EventType(
        type=kind.name,
        by_default=kind.by_default,
        observed=observed,
        attached=observed and bool(probe.hook),
        hook=probe.hook,
        reason=probe.reason,
        better=probe.better if probe.hook else (),
        ring=kind.ring,
        events=found.events.get(kind.name, 0) if is_counted and found.events is not None else None,
        programs=tuple(one for one in programs.values() if one.types == (kind.name,)),
    )
