"""The process table: each record names the right image, parent and trace, whatever the kernel does with pids."""

import gc
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from exporter import config, probes
from exporter.enrich.long_arguments import ARGUMENT_BYTES
from exporter.enrich.pods import PodIndex
from exporter.enrich.processes import ProcessTable
from exporter.enrich.resources import Resources
from exporter.enrich.traces import MAX_PROCESSES, Traces
from exporter.model import Event, Kind, Process, Span, Value
from exporter.telemetry import Ledger

SECOND = 10**9


class Nowhere:
    """A cgroup tree that knows no path: every test here is about processes."""

    def path_of(self, cgroup_id: int) -> str | None:
        """Not known."""
        return None

    def learn(self, cgroup_id: int, path: str) -> None:
        """Nobody asks for it here."""


class Machine:
    """A kernel in miniature: gives the events of processes that fork, exec and exit."""

    def __init__(self, capacity: int = 1000) -> None:
        self.ledger = Ledger()
        resources = Resources({}, PodIndex(), Nowhere(), config.Kubernetes(), False)  # type: ignore[arg-type]
        settings = config.Process(max_processes=capacity)
        self.table = ProcessTable(Traces("node", "boot"), resources, lambda args: args, settings, self.ledger)
        self.now = 100 * SECOND
        self.uids = count()

    def event(
        self,
        kind: Kind,
        pid: int,
        start: int,
        image: int,
        facts: dict[str, Value] | None,
        own: tuple[Value | None, ...] = (),
    ) -> Event:
        self.now += 1000
        return Event(
            kind,
            f"uid-{next(self.uids)}",
            self.now,
            pid,
            start,
            image,
            1,
            own,
            facts,
            self.now + 10**18,
            self.now + 10**18,
        )

    def fork(self, pid: int, parent: tuple[int, int, int], vpid: int = 0) -> tuple[int, int, int]:
        start = self.now + 1000
        facts: dict[str, Value] = {
            "process.parent_pid": parent[0], "parent_start_time": parent[1], "parent_exec_id": parent[2],
            "exec_count": 0, "process.vpid": vpid or pid,
        }  # fmt: skip
        event = self.event(probes.PROCESS_FORK, pid, start, parent[2], facts)
        self.table.apply(event)
        self.last = event
        return pid, start, parent[2]

    def exec(
        self, process: tuple[int, int, int], path: str, execs: int = 1, vpid: int = 0
    ) -> tuple[Event, Span | None, tuple[int, int, int]]:
        pid, start, image = process
        facts: dict[str, Value] = {
            "process.parent_pid": 1, "parent_start_time": 0, "parent_exec_id": 0, "exec_count": execs,
            "process.executable.path": path, "args": (path, "x"), "args_whole": 2, "process.args_count": 2,
            "process.vpid": vpid or pid,
        }  # fmt: skip
        event = self.event(probes.PROCESS_EXEC, pid, start, image + 1, facts)
        return event, self.table.apply(event), (pid, start, image + 1)

    def long_exec(self, process: tuple[int, int, int]) -> Event:
        pid, start, image = process
        args = tuple(["x" * 4000] * 4)
        facts: dict[str, Value] = {"exec_count": 1, "args": args, "args_whole": 4, "process.args_count": 4}
        event = self.event(probes.PROCESS_EXEC, pid, start, image + 1, facts)
        self.table.apply(event)
        self.last = event
        return event

    def exit(
        self, process: tuple[int, int, int], code: int | None = 0, signal: str | None = None
    ) -> tuple[Event, Span | None]:
        event = self.event(probes.PROCESS_EXIT, *process, None, (code, signal, None))
        return event, self.table.apply(event)


INIT = (1, 0, 0)


def test_an_exit_is_given_to_the_program_that_exited() -> None:
    machine = Machine()
    event, _span, image = machine.exec(machine.fork(10, INIT), "/bin/ls")
    end, span = machine.exit(image, 2)
    assert end.process is event.process
    assert end.attributes()["process.executable.path"] == "/bin/ls"
    assert end.attributes()["podwitness.process.duration_ns"] == end.boot_time - event.boot_time
    assert span is not None
    assert (span.name, span.failed, span.attributes["process.exit.code"], span.attributes["error.type"]) == (
        "ls",
        True,
        2,
        "2",
    )
    assert (span.start, span.end) == (event.time, end.time)


def test_an_event_before_an_exec_is_never_given_to_the_program_after_it() -> None:
    machine = Machine()
    _event, _none, shell = machine.exec(machine.fork(10, INIT), "/bin/sh")
    second, span, top = machine.exec(shell, "/usr/bin/top", execs=2)
    late = machine.event(Kind("file.open", "file", "activity", (), ()), *shell, None)
    machine.table.apply(late)
    assert late.process.attributes["process.executable.path"] == "/bin/sh"
    assert second.process.number == 1
    assert second.process.span_id != late.process.span_id
    assert span is not None
    assert span.process is late.process
    assert span.end == second.time
    _end, last = machine.exit(top)
    assert last is not None
    assert last.start == second.time


def test_a_reused_pid_inherits_nothing() -> None:
    machine = Machine()
    _event, _none, first = machine.exec(machine.fork(10, INIT), "/bin/first")
    machine.exit(first)
    machine.fork(10, INIT)
    assert "process.executable.path" not in machine.last.process.attributes
    assert machine.last.process.entity_id != _event.process.entity_id
    end, _span = machine.exit((10, machine.last.start_time, 0))
    assert end.process is machine.last.process


def test_a_forked_child_runs_its_parents_program_until_it_execs() -> None:
    machine = Machine()
    _event, _none, shell = machine.exec(machine.fork(10, INIT), "/bin/sh")
    child = machine.fork(11, shell)
    assert machine.last.process.attributes["process.executable.path"] == "/bin/sh"
    event, _none2, _image = machine.exec(child, "/bin/ls")
    assert event.process.attributes["process.executable.path"] == "/bin/ls"
    assert event.process.attributes["podwitness.process.ancestors"] == ("/bin/sh",)
    assert event.process.entity_id == machine.last.process.entity_id


def test_the_parent_is_the_image_that_forked_even_when_it_has_gone_on() -> None:
    machine = Machine()
    _event, _none, shell = machine.exec(machine.fork(10, INIT), "/bin/sh")
    child = machine.fork(11, shell)
    machine.exec(shell, "/usr/bin/top", execs=2)
    event, _none2, _image = machine.exec(child, "/bin/ls")
    assert event.attributes()["podwitness.process.parent.executable.path"] == "/bin/sh"


def test_children_share_the_trace_of_a_young_parent_and_link_to_a_daemon() -> None:
    machine = Machine()
    event, _none, shell = machine.exec(machine.fork(10, INIT), "/bin/sh")
    child, _none2, image = machine.exec(machine.fork(11, shell), "/bin/ls")
    assert child.process.trace_id == event.process.trace_id
    _end, span = machine.exit(image)
    assert span is not None
    assert span.parent_span_id == event.process.span_id
    machine.now += 61 * SECOND
    late, _none3, image = machine.exec(machine.fork(12, shell), "/bin/ls")
    assert late.process.trace_id != event.process.trace_id
    assert late.process.links == ((event.process.trace_id, event.process.span_id),)
    _end, root = machine.exit(image)
    assert root is not None
    assert root.parent_span_id == b""


def test_a_containers_first_process_gets_no_span_and_its_children_begin_traces() -> None:
    machine = Machine()
    event, _none, init = machine.exec(machine.fork(10, INIT, vpid=1), "/app", vpid=1)
    child, _none2, image = machine.exec(machine.fork(11, init, vpid=7), "/bin/ls", vpid=7)
    assert event.process.init
    assert child.process.links == ((event.process.trace_id, event.process.span_id),)
    assert machine.exit(image)[1] is not None
    assert machine.exit(init)[1] is None


def test_a_trace_is_cut_after_so_many_processes() -> None:
    machine = Machine(capacity=5000)
    _event, _none, shell = machine.exec(machine.fork(10, INIT), "/bin/sh")
    traces = set()
    for pid in range(11, 11 + MAX_PROCESSES):
        machine.fork(pid, shell)
        traces.add(machine.last.process.trace_id)
    assert len(traces) > 1


def test_ids_are_the_same_after_a_restart_of_the_agent() -> None:
    one, two = Traces("node", "boot"), Traces("node", "boot")
    assert one.identify(10, 5, 0, None, 5) == two.identify(10, 5, 0, None, 5)
    assert one.identify(10, 5, 1, None, 5).span_id != one.identify(10, 5, 0, None, 5).span_id
    assert Traces("node", "other boot").identify(10, 5, 0, None, 5).span_id != one.identify(10, 5, 0, None, 5).span_id


def test_tetragon_would_call_the_first_image_the_same() -> None:
    assert Traces("node", "boot").entity_id(10, 5, 0) == "bm9kZTo1OjEw"  # base64 of node:5:10


def test_a_process_nobody_told_of_is_still_an_event_and_counted() -> None:
    machine = Machine()
    event, span = machine.exit((99, 5, 3), None, "SIGKILL")
    assert event.attributes()["process.pid"] == 99
    assert machine.ledger.noted["process.unknown"] == 1
    assert span is not None
    assert span.attributes["error.type"] == "SIGKILL"


def test_ended_images_stay_for_late_events_then_go() -> None:
    machine = Machine()
    _event, _none, image = machine.exec(machine.fork(10, INIT), "/bin/ls")
    machine.exit(image)
    machine.table.forget()
    late = machine.event(Kind("file.open", "file", "activity", (), ()), *image, None)
    machine.table.apply(late)
    assert late.process.attributes["process.executable.path"] == "/bin/ls"
    machine.table.forget()
    assert len(machine.table) == 0


@given(st.lists(st.tuples(st.sampled_from(["fork", "exec", "exit"]), st.integers(0, 5)), max_size=200))
def test_the_table_is_bounded_and_exact_whatever_happens(steps: list[tuple[str, int]]) -> None:
    machine = Machine(capacity=4)
    alive: dict[int, tuple[tuple[int, int, int], int]] = {}
    for step, pid in steps:
        if step == "fork" and pid not in alive:
            alive[pid] = (machine.fork(pid + 10, INIT), 0)
        elif step == "exec" and pid in alive:
            process, execs = alive[pid]
            event, _span, process = machine.exec(process, f"/bin/{pid}-{execs}", execs + 1)
            alive[pid] = (process, execs + 1)
            assert event.process.attributes["process.executable.path"] == f"/bin/{pid}-{execs}"
        elif step == "exit" and pid in alive:
            process, execs = alive.pop(pid)
            event, _span = machine.exit(process)
            assert event.process.attributes.get("process.executable.path") in (
                None,
                f"/bin/{pid}-{execs - 1}",
            )
            machine.table.forget()
        assert len(machine.table) <= 4


def test_the_snapshot_never_replaces_what_the_probes_told() -> None:
    machine = Machine()
    event, _none, image = machine.exec(machine.fork(10, INIT), "/bin/ls")
    seen = machine.event(probes.SNAPSHOT, *image, {"exec_count": 1, "process.executable.path": "/bin/stale"})
    machine.table.seed([seen])
    end, _span = machine.exit(image)
    assert end.process is event.process


def test_the_snapshot_knows_parents_and_what_ran_before_us() -> None:
    machine = Machine()
    root = machine.event(probes.SNAPSHOT, 1, 0, 0, {"exec_count": 1, "process.executable.path": "/sbin/init"})
    shell = machine.event(
        probes.SNAPSHOT, 10, 50, 2,
        {"exec_count": 1, "process.executable.path": "/bin/sh", "process.parent_pid": 1, "parent_start_time": 0,
        "parent_exec_id": 0},
    )  # fmt: skip
    machine.table.seed([shell, root])
    child, _none, _image = machine.exec(machine.fork(11, (10, 50, 2)), "/bin/ls")
    assert child.attributes()["podwitness.process.ancestors"] == ("/bin/sh", "/sbin/init")


def test_a_process_is_the_same_object_to_all_its_records() -> None:
    machine = Machine()
    event, _none, image = machine.exec(machine.fork(10, INIT), "/bin/ls")
    end, _span = machine.exit(image)
    assert isinstance(event.process, Process)
    assert event.process is end.process


def test_the_image_after_a_fork_of_a_runtime_is_the_first_whatever_the_kernel_counts() -> None:
    """With CLONE_PARENT a child begins with its cloner's count of execs; the fork tells the true beginning."""
    machine = Machine()
    event, _span, _image = machine.exec(machine.fork(10, INIT), "/bin/first", execs=7)
    assert event.process.number == 0
    assert event.process.entity_id == Traces("node", "boot").entity_id(10, event.start_time, 0)


def test_a_chain_of_processes_that_each_start_one_and_exit_does_not_grow() -> None:
    machine = Machine()
    process = machine.fork(10, INIT)
    for pid in range(11, 200):
        child = machine.fork(pid, process)
        machine.exit(process)
        machine.table.forget()
        process = child
    machine.table.forget()
    last = machine.last.process
    machine.last = machine.event(probes.PROCESS_FORK, 1, 1, 1, None)
    gc.collect()
    alive = [one for one in gc.get_objects() if isinstance(one, Process)]
    assert [one for one in alive if one.pid in range(10, 199)] == []
    assert len(last.lineage["podwitness.process.ancestors"]) == 8  # type: ignore[arg-type]


def test_a_parent_in_use_is_not_evicted_before_those_that_nobody_uses() -> None:
    machine = Machine(capacity=10)
    _event, _none, daemon = machine.exec(machine.fork(10, INIT), "/sbin/daemon")
    for pid in range(11, 100):
        machine.fork(pid, daemon)  # their ends are lost
    machine.fork(100, daemon)
    assert machine.last.attributes().keys() >= {"podwitness.process.parent.entity_id"}
    assert machine.last.process.lineage["podwitness.process.parent.executable.path"] == "/sbin/daemon"


def test_an_exec_that_nobody_told_of_leaves_the_exit_with_what_is_known_and_says_so() -> None:
    """The kernel counts an exec that fails after the point of no return, and one that the ring had no room for."""
    machine = Machine()
    event, _none, (pid, start, image) = machine.exec(machine.fork(10, INIT), "/bin/sh")
    end, span = machine.exit((pid, start, image + 1), None, "SIGSEGV")
    told = end.attributes()
    assert told["process.executable.path"] == "/bin/sh"
    assert told["podwitness.process.exec_missed"] is True
    assert "podwitness.process.exec_missed" not in event.attributes()
    assert span is not None
    assert span.name == "sh"
    machine.table.forget()
    machine.table.forget()
    assert len(machine.table) == 0


def test_a_pid_that_comes_again_ends_the_one_whose_exit_was_lost() -> None:
    machine = Machine()
    machine.exec(machine.fork(10, INIT), "/bin/lost")
    machine.fork(10, INIT)
    assert len(machine.table) == 1


def test_long_arguments_of_many_living_processes_are_shortened_from_the_oldest_on() -> None:
    machine = Machine(capacity=5000)
    oldest = machine.fork(10, INIT)
    pid, start, image = oldest
    first = machine.long_exec(oldest)
    for number in range(11, 11 + ARGUMENT_BYTES // 16_000 + 1):
        machine.long_exec(machine.fork(number, INIT))
    kept = first.process.attributes["process.command_args"]
    assert isinstance(kept, tuple)
    assert sum(len(str(arg)) for arg in kept) == 1024
    assert first.process.attributes["podwitness.process.args.truncated"] is True
    assert machine.last.process.attributes.get("podwitness.process.args.truncated") is None
    assert machine.exit((pid, start, image + 1))[0].process is first.process


def test_after_a_double_fork_the_kernels_parent_and_who_started_it_are_both_told() -> None:
    machine = Machine()
    _event, _none, shell = machine.exec(machine.fork(10, INIT), "/bin/sh")
    orphan = machine.fork(11, shell)
    machine.exit(shell)
    event, _span, _image = machine.exec(orphan, "/sbin/daemon")
    told = event.attributes()
    assert told["process.parent_pid"] == 1
    assert told["podwitness.process.parent.pid"] == 10
    assert told["podwitness.process.parent.executable.path"] == "/bin/sh"
