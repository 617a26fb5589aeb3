"""One run of the agent after another: where it goes on, and what it says that nobody saw."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exporter import config
from exporter.agent import Pipeline
from exporter.commands.duties import Duties
from exporter.commands.run import _resume, _Run
from exporter.config import Config
from exporter.keeping import OnDisk
from exporter.model import RawSample
from exporter.notify import Notifier
from exporter.source.hooks import Probe
from exporter.telemetry import Ledger
from exporter.vitals import Vitals
from tests.commands.kernels import Scripted
from tests.test_agent import file, life, pipeline, records

LOST = "podwitness.agent.lost."
AMPLE = config.Memory(limit_bytes=1 << 40)  # the tests themselves take more than an agent may


def ring(lives: int) -> list[RawSample]:
    data = [sample for pid in range(11, lives + 11) for sample in life(pid, 1_000_000 * pid)]
    return [RawSample("lifecycle", Scripted.RING, at, sample) for at, sample in enumerate(data)]


class Ran:
    """One run: its ledger, where it began to read, the id of its stream."""

    def __init__(self, keeping: OnDisk, ledger: Ledger) -> None:
        self.keeping, self.ledger = keeping, ledger
        self.began = 0

    @property
    def stream(self) -> str:
        return self.keeping._streams["it"].id


@contextmanager
def opened(folder: Path, kernel: Scripted) -> Iterator[tuple[Pipeline, Ran]]:
    ledger = Ledger()
    keeping = OnDisk(config.Spool(path=str(folder / "spool")), ledger)
    try:
        with pipeline({"it": file(folder)}, ledger, keeping) as it:
            _resume(kernel.kernel, it, keeping)
            ran = Ran(keeping, ledger)
            ran.began = kernel.cursor
            yield it, ran
    finally:
        keeping.close()


class _KilledRun(_Run):
    """Has no end of its own."""

    def _finish(self) -> None:
        """Killed before it."""


def run(folder: Path, kernel: Scripted, *, killed: bool = False) -> Ran:
    """From start to stop, or to just before the end."""
    with opened(folder, kernel) as (it, ran):
        duties = Duties(Config(sinks={"it": file(folder)}, memory=AMPLE), kernel.kernel, it, Vitals(), Notifier(""))
        stop = threading.Event()
        if killed:
            _KilledRun(kernel.kernel, it, duties).follow(stop, 0.3)
        else:
            stop.set()
            _Run(kernel.kernel, it, duties).follow(stop, None)
    return ran


def told(folder: Path) -> list[dict[str, Any]]:
    return [record | {"name": record["eventName"].removeprefix("podwitness.")} for record in records(path(folder))]


def path(folder: Path) -> Path:
    return folder / "events.jsonl"


def losses(folder: Path) -> list[str]:
    return [record[LOST + "reason"] for record in told(folder) if record["name"] == "agent.events_lost"]


def test_a_run_begins_and_ends_with_a_record_and_lets_the_kernel_forget_all(tmp_path: Path) -> None:
    kernel = Scripted(ring(4))
    ran = run(tmp_path, kernel)
    names = [record["name"] for record in told(tmp_path)]
    assert names == ["agent.started", *["process.fork", "process.exec", "process.exit"] * 4, "agent.stopped"]
    assert [int(record["podwitness.event.sequence"]) for record in told(tmp_path)] == list(range(1, 15))
    assert told(tmp_path)[0]["podwitness.agent.resumed"] is False
    assert kernel.acknowledged == 12
    assert ran.ledger.summary() == "seen 14; it: sent 18, dropped 0"  # four spans more


def test_behind_the_beginning_stands_what_can_be_seen_and_what_cannot(tmp_path: Path) -> None:
    kernel = Scripted(ring(1))
    kernel.probes = (Probe("process.exec", "tp_btf/sched_process_exec"), Probe("file.open", "", "no such hook"))
    run(tmp_path, kernel)
    _started, seen, unseen, *_rest = told(tmp_path)
    probe = "podwitness.agent.probe."
    assert (seen["name"], seen[probe + "type"], seen[probe + "hook"]) == (
        "agent.probe_attached",
        "process.exec",
        "tp_btf/sched_process_exec",
    )
    assert (unseen["name"], unseen[probe + "type"], unseen[probe + "reason"]) == (
        "agent.probe_failed",
        "file.open",
        "no such hook",
    )


def test_with_pinned_probes_the_next_run_goes_on_where_the_last_was_safe_and_nothing_is_missing(tmp_path: Path) -> None:
    before, samples = Scripted(ring(4)), ring(6)
    first = run(tmp_path, before)
    after = Scripted(samples, resumed=True)
    second = run(tmp_path, after)
    assert (second.began, after.acknowledged, after.restored) == (12, 18, b"told")
    assert second.stream == first.stream
    assert losses(tmp_path) == []
    numbers = [int(record["podwitness.event.sequence"]) for record in told(tmp_path)]
    assert numbers == list(range(1, len(numbers) + 1))
    started = [r["podwitness.agent.resumed"] for r in told(tmp_path) if r["name"] == "agent.started"]
    assert started == [False, True]
    assert [int(r["process.pid"]) for r in told(tmp_path) if r["name"] == "process.exit"] == [11, 12, 13, 14, 15, 16]


def test_after_a_kill_nothing_is_read_again_that_was_safe(tmp_path: Path) -> None:
    first = run(tmp_path, Scripted(ring(4)), killed=True)
    second = run(tmp_path, Scripted(ring(5), resumed=True))
    assert first.began < second.began <= 12
    uids = {record["log.record.uid"]: int(record["podwitness.event.sequence"]) for record in told(tmp_path)}
    assert sorted(uids.values()) == list(range(1, len(uids) + 1))
    assert losses(tmp_path) == []


def test_without_pins_it_says_since_when_nobody_saw(tmp_path: Path) -> None:
    run(tmp_path, Scripted(ring(1)))
    second = run(tmp_path, Scripted(ring(1)))
    assert losses(tmp_path) == ["not_observed"]
    (loss,) = [record for record in told(tmp_path) if record["name"] == "agent.events_lost"]
    assert LOST + "count" not in loss
    assert "1970" not in loss[LOST + "from"] <= loss[LOST + "to"]
    assert second.began == 0


def test_after_a_reboot_positions_and_losses_of_the_boot_before_mean_nothing(tmp_path: Path) -> None:
    run(tmp_path, Scripted(ring(4)))
    kernel = Scripted(ring(4), boot_id="b008")
    second = run(tmp_path, kernel)
    assert (second.began, kernel.restored) == (0, b"")
    assert losses(tmp_path) == ["reboot"]


def test_where_numbers_were_sent_that_the_spool_does_not_know_a_new_stream_begins(tmp_path: Path) -> None:
    """The kernel has forgotten what the spool never saw: its disk failed, and the sinks had it from memory."""
    first = run(tmp_path, Scripted(ring(4)))
    kernel = Scripted(ring(6), resumed=True)
    kernel.cursor = 15
    second = run(tmp_path, kernel)
    assert second.stream != first.stream
    numbers = [int(record["podwitness.event.sequence"]) for record in told(tmp_path)]
    assert numbers[14:] == list(range(1, len(numbers) - 13))


def test_what_was_sent_while_the_disk_failed_is_known_by_a_word_in_the_kernel(tmp_path: Path) -> None:
    """The sinks had it from memory, and one of them had not all: so the kernel has forgotten nothing."""
    first = run(tmp_path, Scripted(ring(4)), killed=True)
    kernel = Scripted(ring(6), resumed=True)
    kernel.unsaved = True
    second = run(tmp_path, kernel)
    assert second.stream != first.stream
    assert not kernel.unsaved


def test_without_pins_only_a_clean_end_says_that_no_number_is_taken(tmp_path: Path) -> None:
    first = run(tmp_path, Scripted(ring(4)))
    second = run(tmp_path, Scripted(ring(4)), killed=True)
    third = run(tmp_path, Scripted(ring(4)))
    assert second.stream == first.stream
    assert third.stream != second.stream


def test_pinned_rings_of_an_agent_that_kept_nothing_are_read_on_and_that_is_said(tmp_path: Path) -> None:
    kernel = Scripted(ring(4), resumed=True)
    run(tmp_path, kernel)
    assert kernel.adopted == 1
    assert losses(tmp_path) == ["not_kept"]
