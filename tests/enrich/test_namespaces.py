"""Events about namespaces: what an image adds to them, how they change it, and what an escape is."""

from itertools import count

import pytest

from exporter import config, probes
from exporter.enrich import cgroups
from exporter.enrich.pods import PodIndex
from exporter.enrich.processes import ProcessTable
from exporter.enrich.resources import Resources
from exporter.enrich.traces import Traces
from exporter.model import Event, Kind, Value
from exporter.probes.namespace import IMAGE, LEFT, NAMESPACE_ESCAPE, NAMESPACE_SETNS, NAMESPACE_UNSHARE, TYPES
from exporter.telemetry import Ledger

SECOND = 10**9
HOST = {name: 0xEFFFFFF0 + at for at, name in enumerate(TYPES)} | {"pid": 0xEFFFFFFC}
APART = {name: 4026540000 + at for at, name in enumerate(TYPES)}
CONTAINER = f"/kubepods.slice/kubepods-pod{'0' * 8}_0000_0000_0000_{'0' * 12}.slice/cri-containerd-{'a' * 64}.scope"
ON_HOST, IN_CONTAINER = 1, 2


class Tree:
    """A node with one container."""

    def path_of(self, cgroup_id: int) -> str | None:
        return {ON_HOST: "/system.slice/some.service", IN_CONTAINER: CONTAINER}[cgroup_id]

    def learn(self, cgroup_id: int, path: str) -> None:
        """It knows them all."""


class Machine:
    """Gives the events of processes that change their namespaces, through a process table."""

    def __init__(self) -> None:
        tree: cgroups.Tree = Tree()  # type: ignore[assignment]
        resources = Resources({}, PodIndex(), tree, config.Kubernetes(), False)
        self.table = ProcessTable(Traces("n", "boot"), resources, lambda args: args, config.Process(), Ledger())
        self.now = 100 * SECOND
        self.uids = count()

    def _apply(self, kind: Kind, cgroup: int, own: tuple[Value | None, ...], facts: dict[str, Value]) -> Event:
        self.now += 1000
        time = self.now + 10**18
        event = Event(kind, f"uid-{next(self.uids)}", self.now, 10, 5, 1, cgroup, own, facts, time, time)
        self.table.apply(event)
        return event

    def begin(self, cgroup: int, /, **apart: int) -> None:
        """A process in the host's namespaces, but for those of `apart`."""
        where = {IMAGE + name: number for name, number in (HOST | apart).items()}
        self._apply(probes.PROCESS_EXEC, cgroup, (), {"exec_count": 1, "process.executable.path": "/bin/x", **where})

    def change(
        self,
        kind: Kind,
        cgroup: int,
        new: dict[str, int],
        old: dict[str, int] | None = None,
        thread: int = 10,
        error: str | None = None,
        same_call: bool = False,
    ) -> Event:
        """A thread goes into `new`; `old` is what the kernel side knows of before. `same_call`: as the last event."""
        self.now -= 1000 * same_call
        said: dict[str, Value] = {"podwitness.namespace.types": tuple(new)}
        said |= {f"podwitness.namespace.old.{name}": number for name, number in (old or {}).items()}
        if error:
            said["error.type"] = error
        else:
            said |= {f"podwitness.namespace.new.{name}": number for name, number in new.items()}
        taken = {field.name for field in kind.fields if field.to == "process"}
        facts: dict[str, Value] = {"thread": thread}
        if not error:
            facts |= {IMAGE + name: number for name, number in new.items() if IMAGE + name in taken}
        return self._apply(kind, cgroup, tuple(said.get(name) for name in kind.own), facts)


def told(event: Event) -> dict[str, Value]:
    return {name: value for name, value in zip(event.kind.own, event.values, strict=True) if value is not None}


def test_where_the_kernel_side_does_not_know_the_image_says_where_a_thread_came_from() -> None:
    machine = Machine()
    machine.begin(ON_HOST)
    event = machine.change(NAMESPACE_SETNS, ON_HOST, {"net": APART["net"]})
    assert told(event) == {
        "podwitness.namespace.types": ("net",),
        "podwitness.namespace.old.net": HOST["net"],
        "podwitness.namespace.new.net": APART["net"],
    }


def test_what_the_kernel_side_knows_stays() -> None:
    machine = Machine()
    machine.begin(ON_HOST)
    event = machine.change(NAMESPACE_SETNS, ON_HOST, {"net": 5}, old={"net": 4})
    assert told(event)["podwitness.namespace.old.net"] == 4


@pytest.mark.parametrize("kind", [NAMESPACE_SETNS, NAMESPACE_UNSHARE], ids=lambda kind: kind.name)
def test_a_process_is_from_then_on_where_its_first_thread_went(kind: Kind) -> None:
    machine = Machine()
    machine.begin(ON_HOST)
    event = machine.change(kind, ON_HOST, {"net": APART["net"], "pid": APART["pid"]})
    known = event.process.attributes
    assert known[f"{IMAGE}net"] == APART["net"]
    assert known[f"{IMAGE}pid"] == HOST["pid"], "only its children will be in the other one"
    assert known[LEFT] == (f"net:{HOST['net']}",)


def test_another_thread_goes_alone() -> None:
    machine = Machine()
    machine.begin(ON_HOST)
    event = machine.change(NAMESPACE_SETNS, ON_HOST, {"net": APART["net"]}, thread=11)
    assert event.process.attributes[f"{IMAGE}net"] == HOST["net"]
    assert LEFT not in event.process.attributes


def test_a_refused_call_changes_nothing() -> None:
    machine = Machine()
    machine.begin(ON_HOST)
    event = machine.change(NAMESPACE_UNSHARE, ON_HOST, {"uts": 1}, old={"uts": HOST["uts"]}, error="EPERM")
    assert event.process.attributes[f"{IMAGE}uts"] == HOST["uts"]
    assert told(event)["error.type"] == "EPERM"


def test_a_containers_process_that_enters_the_hosts_namespaces_has_escaped() -> None:
    machine = Machine()
    machine.begin(IN_CONTAINER, **APART)
    event = machine.change(NAMESPACE_ESCAPE, IN_CONTAINER, {"mnt": HOST["mnt"], "net": HOST["net"]})
    assert not event.untold
    assert told(event) == {
        "podwitness.namespace.types": ("mnt", "net"),
        "podwitness.namespace.old.mnt": APART["mnt"],
        "podwitness.namespace.old.net": APART["net"],
        "podwitness.namespace.new.mnt": HOST["mnt"],
        "podwitness.namespace.new.net": HOST["net"],
    }


def test_an_escape_and_the_entry_that_it_was_by_say_the_same_of_before() -> None:
    machine = Machine()
    machine.begin(IN_CONTAINER, **APART)
    escape = machine.change(NAMESPACE_ESCAPE, IN_CONTAINER, {"net": HOST["net"]})
    entry = machine.change(NAMESPACE_SETNS, IN_CONTAINER, {"net": HOST["net"]}, same_call=True)
    assert [told(event)["podwitness.namespace.old.net"] for event in (escape, entry)] == [APART["net"]] * 2
    assert [event.process.attributes[LEFT] for event in (escape, entry)] == [(f"net:{APART['net']}",)] * 2
    later = machine.change(NAMESPACE_SETNS, IN_CONTAINER, {"net": APART["net"]})
    assert told(later)["podwitness.namespace.old.net"] == HOST["net"]


def test_of_a_privileged_container_with_the_hosts_pids_the_others_are_told() -> None:
    """By `nsenter --target 1 --all`: it is with the host's processes anyway."""
    machine = Machine()
    machine.begin(IN_CONTAINER, mnt=APART["mnt"], net=APART["net"])
    everything = {name: HOST[name] for name in TYPES}
    event = machine.change(NAMESPACE_ESCAPE, IN_CONTAINER, everything)
    assert not event.untold
    assert told(event)["podwitness.namespace.types"] == ("mnt", "net")
    assert [name for name in told(event) if name.endswith(".pid")] == []


def test_who_moves_to_another_cgroup_first_has_escaped_too() -> None:
    machine = Machine()
    machine.begin(IN_CONTAINER, mnt=APART["mnt"])
    assert not machine.change(NAMESPACE_ESCAPE, ON_HOST, {"mnt": HOST["mnt"]}).untold


def test_who_has_process_ids_of_its_own_is_contained_without_a_cgroup_of_its_own() -> None:
    machine = Machine()
    machine.begin(ON_HOST, pid=APART["pid"], uts=APART["uts"])
    assert not machine.change(NAMESPACE_ESCAPE, ON_HOST, {"uts": HOST["uts"]}).untold


def test_a_service_of_the_host_that_comes_back_has_not_escaped() -> None:
    machine = Machine()
    machine.begin(ON_HOST, mnt=APART["mnt"])
    assert machine.change(NAMESPACE_ESCAPE, ON_HOST, {"mnt": HOST["mnt"]}).untold == "no escape"


def test_a_container_on_the_hosts_network_that_looks_into_a_pods_and_comes_back_has_not_escaped() -> None:
    machine = Machine()
    machine.begin(IN_CONTAINER, mnt=APART["mnt"])
    machine.change(NAMESPACE_SETNS, IN_CONTAINER, {"net": APART["net"]})
    back = machine.change(NAMESPACE_ESCAPE, IN_CONTAINER, {"net": HOST["net"]}, old={"net": APART["net"]})
    assert back.untold == "no escape"


def test_nor_has_one_of_its_threads() -> None:
    machine = Machine()
    machine.begin(IN_CONTAINER, mnt=APART["mnt"])
    machine.change(NAMESPACE_SETNS, IN_CONTAINER, {"net": APART["net"]}, thread=11)
    back = machine.change(NAMESPACE_ESCAPE, IN_CONTAINER, {"net": HOST["net"]}, old={"net": APART["net"]}, thread=11)
    assert back.untold == "no escape"


def test_a_thread_that_escapes_is_told_of_whatever_its_process_does() -> None:
    machine = Machine()
    machine.begin(IN_CONTAINER, **APART)
    event = machine.change(NAMESPACE_ESCAPE, IN_CONTAINER, {"net": HOST["net"]}, thread=11)
    assert not event.untold
    assert event.process.attributes[f"{IMAGE}net"] == APART["net"]
