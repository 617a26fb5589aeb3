"""Rights that change while a program runs: each record tells those of its own time."""

from exporter import config, probes
from exporter.enrich.pods import PodIndex
from exporter.enrich.processes import ProcessTable
from exporter.enrich.resources import Resources
from exporter.enrich.traces import Traces
from exporter.model import Event, Kind, Value
from exporter.probes.privilege import PRIVILEGE_SETUID
from exporter.probes.reach import PRIVILEGE_PTRACE
from exporter.telemetry import Ledger
from tests.enrich.test_processes import INIT, Machine, Nowhere

OPEN = next(kind for kind in probes.KINDS if kind.name == "file.open")
OLD = "podwitness.cred.old."


def event(machine: Machine, kind: Kind, process: tuple[int, int, int], facts: dict[str, Value] | None = None) -> Event:
    """An event of which the kernel said nothing but `facts`."""
    told = machine.event(kind, *process, facts, (None,) * (len(kind.own) - len(kind.derived)))
    machine.table.apply(told)
    return told


def setuid(machine: Machine, process: tuple[int, int, int], user: int, thread: int | None = None) -> Event:
    """The process, or one of its threads, becomes `user`."""
    return event(
        machine,
        PRIVILEGE_SETUID,
        process,
        {
            "thread": thread or process[0],
            "process.user.id": user,
            "process.real_user.id": user,
            "podwitness.process.capabilities.effective": ("CAP_KILL",) if user == 0 else (),
        },
    )


def started() -> tuple[Machine, tuple[int, int, int]]:
    """A process that runs as root."""
    machine = Machine()
    _exec, _span, image = machine.exec(machine.fork(10, INIT), "/usr/sbin/sshd")
    setuid(machine, image, 0)
    return machine, image


def user(told: Event) -> Value | None:
    """As whom a record says that its process runs."""
    return told.attributes().get("process.user.id")


def test_after_a_change_all_records_tell_the_new_rights_and_the_same_process() -> None:
    machine, image = started()
    before = event(machine, OPEN, image)
    change = setuid(machine, image, 1000)
    after = event(machine, OPEN, image)
    assert [user(told) for told in (before, change, after)] == [0, 1000, 1000]
    assert after.process.attributes["podwitness.process.capabilities.effective"] == ()
    assert after.process.attributes["process.executable.path"] == "/usr/sbin/sshd"
    assert after.process.entity_id == before.process.entity_id
    assert after.process.fragments is not before.process.fragments


def test_what_happened_before_a_change_and_is_read_after_it_tells_the_old_rights() -> None:
    machine, image = started()
    early = machine.event(OPEN, *image, None, (None,) * len(OPEN.own))
    setuid(machine, image, 1000)
    between = machine.event(OPEN, *image, None, (None,) * len(OPEN.own))
    setuid(machine, image, 2000)
    machine.table.forget()
    for told in (early, between):
        machine.table.apply(told)
    assert [user(early), user(between), user(event(machine, OPEN, image))] == [0, 1000, 2000]


def test_what_was_before_is_forgotten_when_both_rings_are_read_past_it() -> None:
    machine, image = started()
    setuid(machine, image, 1000)
    assert machine.table.pending
    machine.table.forget()
    machine.table.forget()
    assert not machine.table.pending


def test_a_refused_call_leaves_the_image_as_it_is() -> None:
    machine, image = started()
    before = event(machine, OPEN, image).process
    assert setuid(machine, image, 0).process is before


def test_a_thread_that_changes_itself_alone_does_not_change_the_process() -> None:
    machine, image = started()
    assert user(setuid(machine, image, 1000, thread=11)) == 0
    assert user(event(machine, OPEN, image)) == 0


def test_the_image_says_what_the_kernel_side_had_not_seen() -> None:
    machine, image = started()
    told = setuid(machine, image, 1000).attributes()
    assert told[f"{OLD}user.id"] == 0
    assert told[f"{OLD}real_user.id"] == 0
    assert f"{OLD}fs_user.id" not in told  # an image has none


def test_a_restarted_agent_knows_the_rights_of_now() -> None:
    machine, image = started()
    machine.table.journal()
    setuid(machine, image, 1000)
    changed, _whole = machine.table.journal(whole=True)
    resources = Resources({}, PodIndex(), Nowhere(), config.Kubernetes(), False)  # type: ignore[arg-type]
    after = ProcessTable(Traces("node", "boot"), resources, lambda args: args, config.Process(), Ledger())
    after.restore([changed])
    told = machine.event(OPEN, *image, None, (None,) * len(OPEN.own))
    after.apply(told)
    assert user(told) == 1000


def test_the_end_of_a_process_that_changed_leaves_nothing_behind() -> None:
    machine, _image = started()
    held = len(machine.table)
    _exec, _span, other = machine.exec(machine.fork(20, INIT), "/bin/su")
    setuid(machine, other, 1000)
    machine.exit(other)
    for _ in range(3):
        machine.table.forget()
    assert len(machine.table) == held


def test_a_target_is_told_with_its_program_and_its_id() -> None:
    machine, image = started()
    _exec, _span, (pid, start, exec_id) = machine.exec(machine.fork(20, INIT), "/bin/victim")
    victim = event(machine, OPEN, (pid, start, exec_id)).process
    told = event(
        machine,
        PRIVILEGE_PTRACE,
        image,
        {
            "target.pid": pid, "target.start_time": start, "target.exec_id": exec_id, "target.cgroup": 1,
            "target.comm": "victim",
        },
    ).attributes()  # fmt: skip
    assert told["podwitness.target.process.executable.path"] == "/bin/victim"
    assert told["podwitness.target.process.entity_id"] == victim.entity_id
    assert told["podwitness.target.process.creation.time"] == victim.attributes["process.creation.time"]
    assert told["podwitness.target.process.thread.name"] == "victim"


def test_a_target_that_nobody_found_has_no_attributes() -> None:
    machine, image = started()
    told = event(machine, PRIVILEGE_PTRACE, image, {"target.start_time": 0, "target.exec_id": 0, "target.cgroup": 0})
    assert not [name for name in told.attributes() if name.startswith("podwitness.target.")]
