"""What the agent does once a second: losses become records, memory that is short becomes less work."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from exporter import probes
from exporter.agent import Pipeline
from exporter.commands import duties
from exporter.commands.duties import Duties
from exporter.config import Config, Globs, Kernel, Observe
from exporter.notify import Notifier
from exporter.source.programs import Lost
from exporter.telemetry import Ledger
from exporter.vitals import Vitals
from tests.commands.kernels import Scripted
from tests.test_agent import OFFSET, file, life, pipeline, records, samples
from tests.waiting import wait_for

MIB = 1 << 20
LIMIT = 128 * MIB
STEP = "podwitness.agent.degradation."
SEEN = {"file.open", "network.connect"}
TYPES = Globs(
    include=tuple(SEEN),
    exclude=tuple(kind.name for kind in probes.KINDS if kind not in probes.LIFE and kind.name not in SEEN),
)


class Case:
    """Duties with a pipeline of their own; `memory` and `clock` are what the test says they are."""

    def __init__(self, folder: Path, it: Pipeline, ledger: Ledger) -> None:
        self.folder, self.it, self.ledger, self.kernel = folder, it, ledger, Scripted()
        self.memory, self.clock = 0, 1000.0

    def begin(self) -> None:
        kernel = Kernel(persist=True, pin_path=str(self.folder / "pins"))
        (self.folder / "pins").mkdir(exist_ok=True)
        (self.folder / "pins" / "word").touch()
        config = Config(sinks={"it": file(self.folder)}, kernel=kernel, observe=Observe(types=TYPES))
        self.vitals = Vitals()
        self.duties = Duties(config, self.kernel.kernel, self.it, self.vitals, Notifier(""))

    def look(self, memory: int = 0, seconds: float = 1.0) -> None:
        self.memory, self.clock = memory, self.clock + seconds
        self.duties.look()

    def told(self, name: str, count: int) -> list[dict[str, Any]]:
        """The records of this event type, once so many have come."""

        def found() -> list[dict[str, Any]]:
            self.it.process([], OFFSET, OFFSET)
            lines = records(self.folder / "events.jsonl")
            return [one for one in lines if one["eventName"] == f"podwitness.{name}"]

        wait_for(lambda: len(found()) >= count, f"{count} of {name}")
        return found()


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    ledger = Ledger()
    (tmp_path / "events.jsonl").touch(0o600)
    with pipeline({"it": file(tmp_path)}, ledger) as it:
        made = Case(tmp_path, it, ledger)
        monkeypatch.setattr(duties, "time", SimpleNamespace(monotonic=lambda: made.clock, time_ns=time.time_ns))
        monkeypatch.setattr(duties, "resident", lambda _exact: made.memory)
        monkeypatch.setattr(duties, "cgroup_limit", lambda: None)
        made.begin()
        yield made


def test_what_the_kernel_lost_is_in_the_account_and_in_the_stream_by_the_time_of_the_next_commit(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    case.kernel.news = [Lost("lifecycle", "ring_full", 23, 10**9, 2 * 10**9), Lost("*", "recursion", 2, 5, 6)]
    case.look()
    assert case.ledger.lost == {"lifecycle": 23, "*": 2}
    assert case.ledger.losses() == []  # told, not waiting
    assert "raise kernel.lifecycle_ring_bytes" in caplog.text
    full, recursion = case.told("agent.events_lost", 2)
    lost = "podwitness.agent.lost."
    assert (full[lost + "stage"], full[lost + "reason"], full[lost + "count"]) == ("ring lifecycle", "ring_full", "23")
    assert full[lost + "from"] == "2026-11-18T11:06:41.000Z"
    assert (recursion[lost + "reason"], recursion[lost + "count"]) == ("recursion", "2")


def test_it_looks_once_a_second_and_at_once_when_told_to(case: Case) -> None:
    case.look()
    before = case.kernel.renewed
    for _ in range(9):
        case.look(seconds=0.1)
    assert case.kernel.renewed == before
    case.look(seconds=0.11)
    assert case.kernel.renewed == before + 1
    case.duties.look(now=True)
    assert case.kernel.renewed == before + 2


def test_as_memory_runs_short_it_does_less_step_by_step_and_undoes_it_in_the_opposite_order(case: Case) -> None:
    case.it.process(samples(*life(11)[:2], *life(12)[:2]), OFFSET, OFFSET)
    wait_for(lambda: case.ledger.sent["it"] == 4, "the encoders have made their fragments")
    processes = [case.it.table._images[key] for key in case.it.table._images]
    assert all(process.resource.fragments for process in processes)
    case.look(int(0.81 * LIMIT))
    assert not any(process.resource.fragments for process in processes)
    case.look(int(0.98 * LIMIT))
    assert case.kernel.left_out == [{"file.open"}, {"file.open", "network.connect"}]
    for _ in range(40 * 8):
        case.look(10 * MIB)
    assert case.kernel.left_out[2:] == [{"file.open"}, set()]
    steps = ["caches", "activity:file.open", "activity:network.connect", "arguments", "queues", "processes"]
    told = case.told("agent.degradation", 12)
    assert [(one[STEP + "step"], one[STEP + "state"]) for one in told] == [
        *((step, "begun") for step in steps),
        *((step, "undone") for step in reversed(steps)),
    ]
    assert {one[STEP + "limit_bytes"] for one in told} == {str(LIMIT)}
    assert case.ledger.noted["degradation.processes.begun"] == case.ledger.noted["degradation.processes.undone"] == 1


def test_with_little_memory_new_arguments_are_kept_short_and_old_processes_go(case: Case) -> None:
    case.look(int(0.98 * LIMIT))
    table = case.it.table
    assert (table._arguments._longest, table._capacity) == (256, int(0.1 * table._most))
    for _ in range(40 * 8):
        case.look(10 * MIB)
    assert (table._arguments._longest, table._capacity) == (None, table._most)


def test_a_disk_that_fails_is_told_when_it_begins_and_when_it_ends(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.look(50 * MIB)
    keeping: Any = case.it._keeping
    monkeypatch.setattr(keeping, "failing", "No space left on device", raising=False)
    case.look(50 * MIB)
    case.look(50 * MIB)
    monkeypatch.setattr(keeping, "failing", "")
    case.look(50 * MIB)
    told = case.told("agent.degradation", 2)
    assert [(one[STEP + "step"], one[STEP + "state"]) for one in told] == [("spool", "begun"), ("spool", "undone")]
    assert {one[STEP + "memory_bytes"] for one in told} == {str(50 * MIB)}


def test_a_cgroup_that_allows_less_than_the_settings_decides(
    case: Case, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(duties, "cgroup_limit", lambda: 80 * MIB)
    case.begin()
    assert "memory: 70 MiB, not the 128 of the settings" in caplog.text
    case.look(int(0.81 * 70 * MIB))
    (told,) = case.told("agent.degradation", 1)
    assert (told[STEP + "step"], told[STEP + "limit_bytes"]) == ("caches", str(70 * MIB))


def test_pins_that_are_removed_under_the_agent_make_it_neither_ready_nor_alive(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing comes any more then, as on a quiet node."""
    case.look()
    assert "were removed" not in caplog.text
    (case.folder / "pins" / "word").unlink()
    for _ in range(3):
        case.look()
    assert caplog.text.count("were removed") == 1
    assert "the probes were removed" in case.vitals.unready()
    case.it.tell_losses()
    (loss,) = case.told("agent.events_lost", 1)
    assert loss["podwitness.agent.lost.reason"] == "pins_removed"
