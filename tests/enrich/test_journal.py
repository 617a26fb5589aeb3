"""The journal: an agent that takes over from a dead one tells the same records and spans as if it had never died."""

from collections.abc import Callable, Iterable, Sequence
from itertools import count

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import config, probes
from exporter.enrich import journal
from exporter.enrich.cgroups import Tree
from exporter.enrich.long_arguments import ARGUMENT_BYTES
from exporter.enrich.pods import Pod, PodIndex
from exporter.enrich.processes import ProcessTable
from exporter.enrich.resources import Resources
from exporter.enrich.traces import MAX_PROCESSES, Traces
from exporter.model import Attributes, Event, Kind, Span, Value
from exporter.shape import redact
from exporter.telemetry import Ledger
from tests.enrich.test_processes import INIT, SECOND, Machine
from tests.enrich.test_resources import APP, OLD, path, pod

OPEN = Kind("file.open", "file", "activity", carries=("process.pid", "process.executable.path"))
READ = "the end of a reading"
HOST = "/system.slice/sshd.service"
PLACES = (path(APP), path(OLD), HOST)
Step = Event | str
Redact = Callable[[tuple[str, ...]], tuple[str, ...]]


class Recorded(Machine):
    """A machine that writes down what happens on it: events, and where a reading of the rings ends."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.alive: dict[int, tuple[int, int, int]] = {}
        self.execs: dict[int, int] = {}
        self.late: list[tuple[int, int, int]] = []  # ended since the last reading
        for pid in (2, 3, 4):  # each place has told its path
            self.begin(pid)
            self.run(pid)
        self.read()

    def event(
        self,
        kind: Kind,
        pid: int,
        start: int,
        image: int,
        facts: dict[str, Value] | None,
        own: tuple[Value | None, ...] = (),
    ) -> Event:
        event = super().event(kind, pid, start, image, facts, own)
        event.cgroup = 100 + pid % 3
        if facts and kind is probes.PROCESS_EXEC:
            facts["process.linux.cgroup"] = PLACES[pid % 3]
        self.steps.append(msgspec.structs.replace(event))
        return event

    def begin(self, pid: int, parent: int | None = None, vpid: int = 0) -> None:
        self.end(pid)
        self.alive[pid] = self.fork(pid, self.alive.get(parent or 0, INIT), vpid)
        self.execs[pid] = 0

    def run(self, pid: int, vpid: int = 0) -> None:
        if pid in self.alive:
            self.late.append(self.alive[pid])
            self.execs[pid] += 1
            program = f"/bin/{pid}-{self.execs[pid]}"
            _event, _span, self.alive[pid] = self.exec(self.alive[pid], program, self.execs[pid], vpid)

    def lose_exec(self, pid: int) -> None:
        if pid in self.alive:
            number, start, image = self.alive[pid]
            self.alive[pid] = number, start, image + 1
            self.execs[pid] += 1

    def touch(self, pid: int) -> None:
        for image in [*filter(None, [self.alive.get(pid)]), *self.late[-1:]]:
            self.event(OPEN, *image, None)

    def end(self, pid: int) -> None:
        if image := self.alive.pop(pid, None):
            self.late.append(image)
            self.exit(image, pid % 2)

    def read(self, _pid: int = 0) -> None:
        self.steps.append(READ)
        self.late.clear()

    def snapshot(self) -> list[Event]:
        """What an iterator over the processes finds now."""
        found = []
        for pid, (_pid, start, image) in self.alive.items():
            facts: dict[str, Value] = {
                "process.parent_pid": 1, "parent_start_time": 0, "parent_exec_id": 0, "exec_count": self.execs[pid],
                "process.executable.path": "/only/the/snapshot/knows",
            }  # fmt: skip
            found.append(Machine.event(self, probes.SNAPSHOT, pid, start, image, facts))
        return found


class Agent:
    """One agent after the other: each has a table of its own."""

    def __init__(self, *pods: Pod, redacting: Redact = lambda args: args, capacity: int = 1000) -> None:
        self.ledger = Ledger()
        index = PodIndex()
        index.replace(pods)
        self.resources = Resources({"host.name": "metal"}, index, Tree(None), config.Kubernetes(), True)
        settings = config.Process(max_processes=capacity)
        self.table = ProcessTable(Traces("node", "boot"), self.resources, redacting, settings, self.ledger)

    def take(self, steps: Iterable[Step]) -> list[object]:
        """The records and spans of `steps`, as comparable things."""
        told: list[object] = []
        for step in steps:
            if isinstance(step, str):
                self.resources.refresh()
                self.table.forget()
                continue
            event = msgspec.structs.replace(step)
            span = self.table.apply(event)
            told += [_record(event), _span(span)]
        return told


def _record(event: Event) -> tuple[object, ...]:
    process = event.process
    ids = (process.trace_id, process.span_id, process.parent_span_id, process.links, process.init, process.number)
    image = process.attributes, process.lineage, process.started, process.entity_id
    return event.kind.name, event.uid, event.attributes(), ids, image, event.resource.attributes


def _span(span: Span | None) -> tuple[object, ...]:
    if span is None:
        return ()
    where = span.resource.attributes
    return span.name, span.start, span.end, span.parent_span_id, span.attributes, span.failed, span.process.links, where


class Journal:
    """The journal as the spool keeps it: a checkpoint replaces what was before."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []

    def commit(self, table: ProcessTable) -> None:
        data, checkpoint = table.journal()
        self.entries = [data] if checkpoint else [*self.entries, data] if data else self.entries


def a_day() -> Recorded:
    """Sessions, containers, double forks, reused pids and late activity: all that a table must get right."""
    day = Recorded()
    day.begin(10, vpid=1)
    day.run(10, vpid=1)
    day.begin(11, parent=10)
    day.run(11)
    day.touch(11)
    day.begin(12, parent=11)
    day.read()
    day.run(12)
    day.run(11)
    day.touch(11)
    day.begin(13, parent=12)
    day.end(12)
    day.run(13)
    day.read()
    day.begin(12, parent=11)
    day.run(12)
    day.now += 61 * SECOND
    day.begin(14, parent=13)
    day.run(14)
    day.read()
    for pid in (14, 13, 12, 11):
        day.end(pid)
        day.touch(pid)
    day.read()
    day.end(10)
    return day


def settled(agent: Agent) -> int:
    """How many images are left when nothing is on its way."""
    agent.table.forget()
    agent.table.forget()
    agent.table.forget()
    return len(agent.table)


def test_wherever_the_agent_dies_the_next_one_tells_the_same() -> None:
    day = a_day()
    whole = Agent(pod())
    expected = whole.take(day.steps)
    alive = {image[:2] for image in day.alive.values()}
    for cut in range(len(day.steps) + 1):
        kept, first, second = Journal(), Agent(pod()), Agent(pod())
        kept.commit(first.table)
        told = first.take(day.steps[:cut])
        kept.commit(first.table)
        second.table.restore(kept.entries)
        second.table.seed(day.snapshot())
        told += second.take(day.steps[cut:])
        second.table.settle(alive)
        assert told == expected, cut
        assert settled(second) == len(alive), cut
    assert settled(whole) == len(alive)


def test_what_a_pod_was_called_is_still_told_of_its_last_moments_when_it_has_gone_meanwhile() -> None:
    """The new agent's watch knows no pod and its tree no cgroup."""
    day = a_day()
    expected = Agent(pod()).take(day.steps)
    for cut in range(7, len(day.steps)):  # by then each place has told its path
        kept, first, second = Journal(), Agent(pod()), Agent()
        told = first.take(day.steps[:cut])
        kept.commit(first.table)
        second.table.restore(kept.entries)
        assert told + second.take(day.steps[cut:]) == expected, cut


steps = st.lists(
    st.tuples(st.sampled_from(["begin", "run", "lose_exec", "touch", "end", "read"]), st.integers(5, 10)), max_size=60
)


@given(steps, st.lists(st.integers(0, 80), max_size=6), st.integers(1, 10))
def test_agents_that_die_all_the_time_tell_what_one_would(
    script: list[tuple[str, int]], deaths: list[int], commit: int
) -> None:
    day = Recorded()
    for number, (what, pid) in enumerate(script):
        if what == "begin":
            day.begin(pid, parent=5 + number % 5)
        else:
            getattr(day, what)(pid)
    expected = Agent(pod()).take(day.steps)
    kept, agent, told = Journal(), Agent(pod()), list[object]()
    for at, step in enumerate(day.steps):
        told += agent.take([step])
        if at % commit == 0 or at in deaths:
            kept.commit(agent.table)
        if at in deaths:
            agent = Agent(pod())
            agent.table.restore(kept.entries)
    assert told == expected


def test_nothing_new_is_no_entry_and_a_life_between_two_commits_is_hardly_one() -> None:
    day = Recorded()
    agent, kept = Agent(pod()), Journal()
    agent.take(day.steps)
    kept.commit(agent.table)
    assert agent.table.journal() == (b"", False)
    day.steps.clear()
    day.touch(2)
    agent.take(day.steps)
    assert agent.table.journal() == (b"", False)
    day.steps.clear()
    day.begin(20)
    day.run(20)
    day.end(20)
    agent.take([*day.steps, READ, READ])
    data, checkpoint = agent.table.journal()
    assert not checkpoint
    assert len(data) < 120  # its trace may still grow
    agent.table.restore([*kept.entries, data])


def test_the_first_entry_is_a_checkpoint_and_so_is_one_when_the_others_outgrow_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journal, "LEAST", 2000)
    day, agent = Recorded(), Agent(pod())
    agent.take(day.steps)
    data, checkpoint = agent.table.journal()
    assert checkpoint
    limit, since = max(2000, 2 * len(data)), 0
    for pid in count(20):
        day.steps.clear()
        day.begin(pid)
        day.run(pid)
        agent.take(day.steps)
        data, checkpoint = agent.table.journal()
        assert checkpoint is (since > limit)
        if checkpoint:
            break
        since += len(data)
    restored = Agent(pod())
    restored.table.restore([data])
    assert len(restored.table) == len(agent.table)


def test_a_checkpoint_can_be_asked_for_when_earlier_entries_were_not_written() -> None:
    day, agent = Recorded(), Agent(pod())
    agent.take(day.steps)
    agent.table.journal()
    data, checkpoint = agent.table.journal(whole=True)
    restored = Agent(pod())
    restored.table.restore([data])
    assert (checkpoint, len(restored.table)) == (True, 3)


def test_what_cannot_be_read_is_skipped_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    day, agent, kept = a_day(), Agent(pod()), Journal()
    for step in day.steps[:20]:
        agent.take([step])
        kept.commit(agent.table)
    for entries in ([b"\xc1", *kept.entries], [b"", *kept.entries], [*kept.entries, msgspec.msgpack.encode([2])]):
        restored = Agent(pod())
        restored.table.restore(entries)
        assert restored.ledger.noted["journal.damaged"] == 1
        assert len(restored.table) == len(agent.table)
    assert "cannot be read" in caplog.text


@given(st.data())
def test_no_damage_to_the_journal_is_an_error(data: st.DataObject) -> None:
    kept, agent = Journal(), Agent(pod())
    for step in a_day().steps[:25]:
        agent.take([step])
        kept.commit(agent.table)
    entries = list(kept.entries)
    at = data.draw(st.integers(0, len(entries) - 1))
    damaged = bytearray(entries[at])
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    entries[at] = bytes(damaged)
    del entries[data.draw(st.integers(0, len(entries) - 1))]
    restored = Agent(pod())
    restored.table.restore(entries)
    restored.take(a_day().steps[25:])
    restored.table.settle(set())


def test_a_process_that_ended_unheard_does_not_stay() -> None:
    day, agent, kept = Recorded(), Agent(pod()), Journal()
    agent.take(day.steps)
    kept.commit(agent.table)
    restored = Agent(pod())
    restored.table.restore(kept.entries)
    restored.table.settle({day.alive[2][:2]})
    assert len(restored.table) == 1
    everything = Agent(pod())
    everything.table.restore(kept.entries)
    everything.table.settle(None)  # nobody could see who lives
    assert len(everything.table) == 3


def test_the_snapshot_tells_what_the_rings_have_lost() -> None:
    """An exec and a whole fork that nobody told of, and a line of unknown ancestors."""
    day, agent, kept = Recorded(), Agent(pod()), Journal()
    agent.take(day.steps)
    kept.commit(agent.table)
    day.lose_exec(2)
    for pid in range(20, 3000):
        day.begin(pid)
    seen = day.snapshot()
    for event in seen:
        if event.pid > 20 and event.facts is not None:
            event.facts |= {"process.parent_pid": event.pid - 1, "parent_start_time": day.alive[event.pid - 1][1]}
    restored = Agent(pod(), capacity=5000)
    restored.table.restore(kept.entries)
    restored.table.seed(seen)
    assert len(restored.table) == 3
    day.steps.clear()
    child = day.fork(5000, day.alive[2999])
    day.touch(2)
    told = restored.take(day.steps)
    assert restored.ledger.noted["process.unknown"] == 0
    assert "/only/the/snapshot/knows" in str(told[-2])
    restored.table.settle({event_id[:2] for event_id in (*day.alive.values(), child)})
    assert len(restored.table) == len(day.alive) + 1


def test_processes_that_ended_while_their_rings_were_read_are_not_seeded_again() -> None:
    day, agent, kept = Recorded(), Agent(pod()), Journal()
    agent.take(day.steps)
    kept.commit(agent.table)
    day.steps.clear()
    day.begin(20)
    day.run(20)
    seen, alive = day.snapshot(), {image[:2] for image in day.alive.values()}
    day.end(20)
    restored = Agent(pod())
    restored.table.restore(kept.entries)
    restored.table.seed(seen)
    restored.take(day.steps)
    restored.take([READ, READ])
    restored.table.settle(alive)
    assert len(restored.table) == 3


def long_exec(day: Recorded, pid: int) -> Sequence[Step]:
    day.steps.clear()
    day.alive[pid] = day.fork(pid, INIT)
    day.long_exec(day.alive[pid])
    return day.steps


def test_arguments_of_all_images_stay_within_their_budget_also_when_restored() -> None:
    day, agent, kept = Recorded(), Agent(pod(), capacity=5000), Journal()
    kept.commit(agent.table)
    for pid in range(10, 10 + ARGUMENT_BYTES // 16_000 + 1):
        agent.take(long_exec(day, pid))
        kept.commit(agent.table)
    restored = Agent(pod(), capacity=5000)
    restored.table.restore(kept.entries)
    assert restored.ledger.noted["process.arguments_shortened"] == 0
    restored.take(long_exec(day, 5))
    assert restored.ledger.noted["process.arguments_shortened"] == 1


def test_fewer_processes_than_before_may_be_allowed() -> None:
    day, agent, kept = a_day(), Agent(pod()), Journal()
    agent.take(day.steps[:20])
    kept.commit(agent.table)
    restored = Agent(pod(), capacity=2)
    restored.table.restore(kept.entries)
    restored.take(day.steps[20:])
    assert len(restored.table) <= 2


def test_a_trace_goes_on_being_counted_and_is_cut_where_it_would_have_been() -> None:
    day, agent, kept = Recorded(), Agent(pod(), capacity=5000), Journal()
    day.begin(10)
    day.run(10)
    for pid in range(11, 11 + MAX_PROCESSES):
        day.begin(pid, parent=10)
    expected = Agent(pod(), capacity=5000).take(day.steps)
    told = agent.take(day.steps[:1500])
    kept.commit(agent.table)
    second = Agent(pod(), capacity=5000)
    second.table.restore(kept.entries)
    told += second.take(day.steps[1500:])
    assert told == expected


def test_a_rule_of_redaction_that_is_new_holds_for_what_an_earlier_agent_knew() -> None:
    day, agent, kept = Recorded(), Agent(pod()), Journal()
    agent.take(day.steps)
    kept.commit(agent.table)
    rule = redact.compile(config.Redaction(patterns=(r"bin/([0-9]+)-",)))
    restored = Agent(pod(), redacting=rule)
    restored.table.restore(kept.entries)
    day.steps.clear()
    day.end(2)
    told = restored.take(day.steps)
    assert "/bin/*****-1" in str(told[0][4])  # type: ignore[index]
    assert "/bin/2-1" in str(told[0][4][0]["process.executable.path"])  # type: ignore[index]


@pytest.mark.parametrize(
    "args",
    [
        ("curl", "-u", "me:secret", "https://me:secret@host/"),
        ("mysql", "-psecret", "--password=secret", "PGPASSWORD=secret"),
        ("curl", "-H", "Authorization: Bearer abc.def", "--token", "secret"),
    ],
)
def test_what_is_redacted_already_stays_as_it_is(args: tuple[str, ...]) -> None:
    rule = redact.compile(config.Redaction())
    once = rule(args)
    assert "secret" not in "".join(once)
    assert rule(once) == once


def test_text_that_is_no_utf_8_costs_its_image_and_nothing_else() -> None:
    day, agent = Recorded(), Agent(pod())
    day.event(probes.PROCESS_EXEC, 9, 9, 9, {"process.executable.path": "/bin/\udc80", "exec_count": 1})
    agent.take(day.steps)
    data, _checkpoint = agent.table.journal()
    restored = Agent(pod())
    restored.table.restore([data])
    assert len(restored.table) == 3


def attributes_of(agent: Agent, cgroup: int) -> Attributes:
    return agent.resources.of(cgroup).attributes


def test_a_pods_change_reaches_the_journal_and_the_live_pod_comes_before_it() -> None:
    settings = config.Kubernetes(labels=config.Globs(include=("*",)))
    index = PodIndex()
    index.replace([pod()])
    agent, kept = Agent(), Journal()
    agent.resources = Resources({}, index, Tree(None), settings, True)
    agent.table = ProcessTable(Traces("n", "b"), agent.resources, lambda args: args, config.Process(), agent.ledger)
    agent.take(Recorded().steps)
    kept.commit(agent.table)
    index.apply(pod(labels={"app": "renamed"}))
    agent.take([READ])
    kept.commit(agent.table)
    for others, label in (((), "renamed"), ((pod(labels={"app": "newest"}),), "newest")):
        live = PodIndex()
        live.replace(others)
        second = Agent()
        second.resources = Resources({}, live, Tree(None), settings, True)
        second.table = ProcessTable(Traces("n", "b"), second.resources, lambda a: a, config.Process(), second.ledger)
        second.table.restore(kept.entries)
        assert attributes_of(second, 100)["k8s.pod.label.app"] == "renamed"  # without a path
        second.resources.of(100, PLACES[0])
        assert attributes_of(second, 100)["k8s.pod.label.app"] == label
