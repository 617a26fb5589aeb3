"""The mark of a container's own processes: who started them counts, whatever becomes of that one."""

import pytest

from exporter import config, probes
from exporter.enrich.init_tree import HOST, MARK
from exporter.enrich.pods import PodIndex
from exporter.enrich.processes import ProcessTable
from exporter.enrich.resources import Resources
from exporter.enrich.traces import Traces
from exporter.model import Event, Kind, Value
from exporter.telemetry import Ledger
from tests.enrich.test_processes import Nowhere

SECOND = 10**9
SHIM, INIT, CHILD, ENTERED = 10, 20, 21, 30
POD, NESTED = 4026532000, 4026533000


class Node:
    """A node in miniature, seen by an agent: processes begin by a fork, or were there before."""

    def __init__(self, entries: tuple[bytes, ...] = ()) -> None:
        resources = Resources({}, PodIndex(), Nowhere(), config.Kubernetes(), False)  # type: ignore[arg-type]
        self.table = ProcessTable(Traces("node", "boot"), resources, lambda args: args, config.Process(), Ledger())
        if entries:
            self.table.restore(entries)

    def _event(self, kind: Kind, pid: int, exec_id: int, facts: dict[str, Value]) -> Event:
        now = pid * SECOND + exec_id
        values = (0, None, None) if kind is probes.PROCESS_EXIT else ()
        return Event(kind, f"{pid}-{exec_id}", now, pid, pid * SECOND, exec_id, 1, values, facts, now, now)

    def told(self, event: Event) -> bool | None:
        """The mark on a record of the event."""
        mark = event.process.attributes.get(MARK)
        assert mark is None or isinstance(mark, bool)
        return mark

    def facts(self, pid: int, namespace: int, parent: int, vpid: int, session: int = 0) -> dict[str, Value]:
        return {
            "process.parent_pid": parent, "parent_start_time": parent * SECOND, "parent_exec_id": 0,
            "podwitness.process.namespace.pid": namespace, "process.vpid": vpid,
            "process.session_leader.pid": session or pid, "exec_count": 0,
        }  # fmt: skip

    def fork(self, pid: int, namespace: int, parent: int, vpid: int = 7, adopter: int = 0) -> bool | None:
        """The mark of a new process; `adopter` is whom the kernel names as its parent, by CLONE_PARENT."""
        facts = self.facts(pid, namespace, adopter or parent, vpid)
        facts |= {"cloner": parent, "cloner_start_time": parent * SECOND, "cloner_exec_id": 0}
        event = self._event(probes.PROCESS_FORK, pid, 0, facts)
        self.table.apply(event)
        return self.told(event)

    def exec(self, pid: int, namespace: int, parent: int, vpid: int = 7) -> bool | None:
        event = self._event(probes.PROCESS_EXEC, pid, 1, self.facts(pid, namespace, parent, vpid) | {"exec_count": 1})
        self.table.apply(event)
        return self.told(event)

    def seen(self, pid: int, namespace: int, parent: int, vpid: int = 7, session: int = 0) -> None:
        """It was there before the agent."""
        self.table.seed([self._event(probes.SNAPSHOT, pid, 0, self.facts(pid, namespace, parent, vpid, session))])

    def asked(self, pid: int, exec_id: int = 0) -> bool | None:
        """The mark on a later record of a process."""
        event = self._event(probes.PROCESS_EXIT, pid, exec_id, {})
        event.kind = Kind("file.open", "file")
        event.values = ()
        self.table.apply(event)
        return self.told(event)


def pod() -> Node:
    """A container: its first process, started by a runtime on the host, and a child of that."""
    node = Node()
    node.fork(SHIM, HOST, 1)
    node.fork(INIT, POD, SHIM, vpid=1)
    node.fork(CHILD, POD, INIT)
    return node


def test_what_a_containers_first_process_starts_is_of_its_tree_and_the_host_has_none() -> None:
    node = pod()
    assert [node.asked(pid) for pid in (SHIM, INIT, CHILD)] == [None, True, True]
    assert node.fork(22, POD, CHILD) is True
    assert node.exec(22, POD, CHILD) is True


def test_who_enters_from_outside_is_not_and_nothing_beneath_is() -> None:
    node = pod()
    assert node.fork(ENTERED, POD, SHIM) is False
    assert node.exec(ENTERED, POD, SHIM) is False
    assert node.fork(31, POD, ENTERED) is False


def test_who_started_it_counts_not_who_adopted_it() -> None:
    """A double fork: the kernel says the container's first process is the parent, when the program begins."""
    node = pod()
    node.fork(ENTERED, POD, SHIM)
    node.fork(31, POD, ENTERED)
    node.fork(32, POD, 31)
    assert node.exec(32, POD, INIT) is False
    assert node.fork(33, POD, 32, adopter=INIT) is False


def test_a_namespace_within_the_container_hides_nobody() -> None:
    node = pod()
    node.fork(ENTERED, POD, SHIM)
    assert node.fork(31, NESTED, ENTERED, vpid=1) is False
    assert node.fork(32, NESTED, 31) is False
    assert node.fork(23, NESTED, CHILD, vpid=1) is True
    assert node.fork(24, NESTED, 23) is True
    assert node.fork(25, NESTED, CHILD) is False  # it went into that namespace by setns()


def test_a_process_that_goes_to_the_hosts_namespace_has_no_mark_any_more() -> None:
    assert pod().fork(22, HOST, CHILD) is None


def test_an_agent_that_begins_later_knows_by_the_kernels_parents() -> None:
    node = Node()
    node.seen(SHIM, HOST, 1)
    node.seen(INIT, POD, SHIM, vpid=1)
    node.seen(CHILD, POD, INIT)
    node.seen(ENTERED, POD, SHIM)
    node.seen(31, POD, ENTERED)
    assert [node.asked(pid) for pid in (SHIM, INIT, CHILD, ENTERED, 31)] == [None, True, True, False, False]


def test_an_adopted_process_that_was_there_before_is_known_by_its_session() -> None:
    """Without an agent that saw the fork: `kubectl exec` leads a session, and its orphans are still in it."""
    node = Node()
    node.seen(SHIM, HOST, 1)
    node.seen(INIT, POD, SHIM, vpid=1)
    node.seen(ENTERED, POD, SHIM)
    node.seen(31, POD, INIT, session=ENTERED)
    node.seen(32, POD, INIT, session=INIT)
    assert (node.asked(31), node.asked(32)) == (False, True)


def test_where_nobody_knows_there_is_no_mark() -> None:
    node = Node()
    node.seen(CHILD, POD, 5)
    node.seen(INIT, POD, 5, vpid=1)
    assert (node.asked(CHILD), node.asked(INIT)) == (None, True)
    assert node.fork(22, POD, CHILD) is None


@pytest.mark.parametrize("restarts", [1, 3])
def test_a_restarted_agent_knows_what_the_one_before_knew(restarts: int) -> None:
    node = pod()
    node.fork(ENTERED, POD, SHIM)
    node.fork(31, POD, ENTERED)
    for _ in range(restarts):
        entry, _whole = node.table.journal(whole=True)
        node = Node((entry,))
        node.seen(31, POD, INIT)  # adopted meanwhile
        node.seen(CHILD, POD, INIT)
    assert [node.asked(pid) for pid in (SHIM, INIT, CHILD, ENTERED, 31)] == [None, True, True, False, False]
    assert node.exec(31, POD, INIT) is False


def test_an_image_whose_exec_was_lost_keeps_its_mark() -> None:
    node = pod()
    node.fork(ENTERED, POD, SHIM)
    assert node.asked(ENTERED, exec_id=3) is False


def test_every_record_of_a_process_can_carry_the_mark() -> None:
    assert all(MARK in kind.carries for kind in probes.KINDS)
