"""The spool: what was committed is there again, in order, whatever happened in between; what is not is counted."""

import os
import stat
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter import config
from exporter.errors import ConfigError
from exporter.model import Payload
from exporter.sink.spool.spool import Commit, Spool
from exporter.telemetry import Ledger
from tests.sink.spool.spooling import ROOMY, Numbered, Opened, commit, content, lost_numbers, opened

TINY = config.Queue(max_bytes=200)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def test_what_is_put_can_be_sent_after_the_commit_and_not_before(folder: Path) -> None:
    made = Numbered()
    with opened(folder) as one:
        assert not one.queue.put(made.payload(3))
        assert one.queue.head() is None
        assert one.queue.waiting == 3
        assert commit(one.spool, made, position=10) == 10
        assert one.drain() == [1, 2, 3]
        assert one.queue.waiting == 0


def test_the_next_run_finds_payloads_positions_state_and_journal(folder: Path) -> None:
    made = Numbered()
    with opened(folder) as one:
        one.queue.put(made.payload(2))
        commit(one.spool, made, position=10, journal=b"one")
        one.queue.put(made.payload(2))
        commit(one.spool, made, position=20, journal=b"two")
        assert one.close() == 4
    with opened(folder) as one:
        assert one.spool.positions == {7: 20}
        assert one.spool.state == made.state
        assert one.spool.journal == [b"one", b"two"]
        assert one.queue.left == 4
        assert one.drain() == [1, 2, 3, 4]
        assert not one.losses()


def test_a_payload_comes_back_as_it_was(folder: Path) -> None:
    payload = Payload("traces", b"\x1f\x8bdata", 4, tag="podwitness.span", gzip=True, size=99, stream="its")
    with opened(folder) as one:
        one.queue.put(payload)
        commit(one.spool)
    with opened(folder) as one:
        found = one.queue.head()
        assert found is not None
        for name in ("signal", "data", "records", "tag", "sequences", "gzip", "size", "stream"):
            assert getattr(found, name) == getattr(payload, name)


def test_ring_ids_and_positions_are_any_64_bits(folder: Path) -> None:
    with opened(folder) as one:
        safe = one.spool.commit(Commit({2**64 - 1: 2**64 - 2}, {}))
        assert safe == {2**64 - 1: 2**64 - 2}
    with opened(folder) as one:
        assert one.spool.positions == {2**64 - 1: 2**64 - 2}


def test_what_was_delivered_is_not_there_for_the_next_run(folder: Path) -> None:
    made = Numbered()
    with opened(folder) as one:
        for _ in range(3):
            one.queue.put(made.payload())
        commit(one.spool, made)
        one.queue.head()
        one.queue.settle()
    with opened(folder) as one:
        assert one.drain() == [2, 3]


def test_a_checkpoint_replaces_the_entries_before_it(folder: Path) -> None:
    with opened(folder) as one:
        commit(one.spool, journal=b"one")
        commit(one.spool, journal=b"two")
        commit(one.spool, journal=b"all", checkpoint=True)
        commit(one.spool, journal=b"three")
    with opened(folder) as one:
        assert one.spool.journal == [b"all", b"three"]
        commit(one.spool, checkpoint=True)
    with opened(folder) as one:
        assert one.spool.journal == []


def test_what_memory_cannot_hold_is_read_back_in_order(folder: Path) -> None:
    made = Numbered()
    with opened(folder, TINY) as one:
        for _ in range(30):
            one.queue.put(made.payload(2))
            commit(one.spool, made)
        first = one.queue.head()
        assert first is one.queue.head()
        for _ in range(200):
            one.queue.put(made.payload())
        commit(one.spool, made)
        assert first is one.queue.head()
        assert one.drain() == list(range(1, 261))
        assert one.queue.waiting == 0


def test_squeezed_it_holds_less_in_memory_and_loses_nothing(folder: Path) -> None:
    made = Numbered()
    with opened(folder) as one:
        for _ in range(20):
            one.queue.put(made.payload())
        commit(one.spool, made)
        assert one.queue._tail.bytes == 1000
        one.queue.squeeze(0.0001)
        assert one.queue._tail.bytes <= 104
        one.queue.put(made.payload())
        commit(one.spool, made)
        assert one.queue._tail.bytes <= 104
        one.queue.squeeze(1.0)
        assert one.drain() == list(range(1, 22))


def test_a_sink_that_reads_while_others_write_gets_all_in_order(folder: Path) -> None:
    made, stop = Numbered(), threading.Event()
    sent: list[int] = []
    with opened(folder, config.Queue(max_bytes=20_000)) as one:

        def drain() -> None:
            while not stop.is_set() or one.queue.waiting:
                sent.extend(one.drain())

        thread = threading.Thread(target=drain)
        thread.start()
        for position in range(400):
            one.queue.put(made.payload(2, 3000))
            one.queue.put(made.payload(1, 40))
            commit(one.spool, made, position=position)
        stop.set()
        thread.join(60)
        assert sent == list(range(1, 1201))
        assert not one.dropped


def test_files_are_for_the_agent_alone(folder: Path) -> None:
    before = os.umask(0)
    try:
        with opened(folder) as one:
            one.queue.put(Numbered().payload())
            commit(one.spool)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    finally:
        os.umask(before)
    names = {"spool.db", "spool.db-wal", "spool.db-shm", "spool.lock", "spool.mark", "spool.reserve"}
    assert modes == dict.fromkeys(names, 0o600)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_directory_that_others_use_too_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "something").touch()
    with opened(tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_two_agents_never_share_a_directory(folder: Path) -> None:
    with opened(folder), pytest.raises(ConfigError, match="in use by another agent"):
        Spool.open(config.Spool(path=str(folder)), Ledger())
    with opened(folder) as one:
        assert not one.spool.failing


def test_a_file_where_the_directory_should_be_does_not_stop_the_agent(tmp_path: Path) -> None:
    (tmp_path / "spool").touch()
    with opened(tmp_path / "spool") as one:
        assert one.spool.failing == "File exists"
        one.queue.put(Numbered().payload())
        assert commit(one.spool, position=5) == -1
        assert one.drain() == [1]
        assert commit(one.spool, position=5) == 5


def test_before_anything_is_sent_that_no_commit_holds_the_pipeline_is_called(tmp_path: Path) -> None:
    (tmp_path / "spool").touch()
    clock, made, heads = [0.0], Numbered(), []
    with opened(tmp_path / "spool", how={"now": lambda: clock[0]}) as one:
        one.spool.on_unsaved = lambda: heads.append(one.queue.head())
        commit(one.spool)
        assert not heads, "there is nothing that could be sent"
        for _ in range(3):
            one.queue.put(made.payload())
            commit(one.spool, made)
        assert heads == [None], "once, and before"
        assert one.queue.head()
        (tmp_path / "spool").unlink()
        clock[0] = 1.0
        commit(one.spool, made)
        assert not one.spool.failing
        one.queue.put(made.payload())
        commit(one.spool, made)
        assert len(heads) == 1


def test_a_dead_sink_does_not_starve_another_while_the_disk_fails(tmp_path: Path) -> None:
    (tmp_path / "spool").touch()
    dead, alive, position = Numbered(), Numbered("b"), 0
    bounds = config.Queue(max_bytes=500)
    with opened(tmp_path / "spool", bounds, how={"now": lambda: 0.0}) as one:
        healthy = one.spool.queue("b", "otlp", bounds)
        flight = None
        for position in range(1, 101):
            one.queue.put(dead.payload())
            flight = flight or one.queue.head()
            healthy.put(alive.payload())
            safe = commit(one.spool, dead, alive, position=position)
            assert not one.spool.backlogged
            while healthy.head() is not None:
                healthy.settle()
        assert flight is one.queue.head(), "what is being sent is not dropped"
        (loss,) = one.losses()
        assert (loss.sink, loss.reason, loss.sequences) == ("a", "spool_full", ((2, 1 + (loss.count or 0)),))
        assert one.queue.waiting == 100 - len(lost_numbers([loss]))
        assert safe == -1, "the first is in flight still"
        one.queue.settle()
        assert commit(one.spool, position=position) == 1 + (loss.count or 0)
        assert one.drain()[-1] == 100
        for _ in range(25):
            one.queue.put(dead.payload())
            healthy.put(alive.payload())
            commit(one.spool, dead, alive)
        assert one.spool.backlogged, "nobody takes anything: reading stops, nothing more is dropped"
        assert one.dropped == {"a spool_full": loss.count}


def test_what_is_found_late_was_offered_too(tmp_path: Path) -> None:
    folder, aside, made = tmp_path / "spool", tmp_path / "aside", Numbered()
    with opened(folder) as one:
        other = one.spool.queue("b", "otlp", ROOMY)
        one.queue.put(made.payload(30))
        other.put(Numbered("b").payload(7))
        commit(one.spool, made)
    folder.rename(aside)
    folder.touch()
    clock = [0.0]
    with opened(folder, how={"now": lambda: clock[0]}) as one:
        one.ledger.offer("a", one.queue.left)
        one.queue.put(made.payload(90))
        one.ledger.offer("a", 90)
        commit(one.spool, made)
        folder.unlink()
        aside.rename(folder)
        clock[0] = 1.0
        commit(one.spool, made)
        assert len(one.drain()) == 120
        assert one.ledger.offered == {"a": 120, "b": 7}


class TestLosses:
    """What is dropped, and when it leaves the disk."""

    def test_the_oldest_go_where_there_are_too_many_bytes(self, folder: Path) -> None:
        made = Numbered()
        with opened(folder, config.Queue(max_bytes=100, max_disk_bytes=500)) as one:
            for _ in range(15):
                one.queue.put(made.payload())
                commit(one.spool, made)
            (loss,) = one.losses()
            assert (loss.stage, loss.reason, loss.count, loss.sequences) == ("spool", "queue_full", 5, ((1, 5),))
            assert one.queue.waiting == 10
            assert one.drain() == list(range(6, 16))

    def test_the_head_in_flight_never_goes(self, folder: Path) -> None:
        made = Numbered()
        with opened(folder, config.Queue(max_bytes=100, max_disk_bytes=500)) as one:
            one.queue.put(made.payload())
            commit(one.spool)
            head = one.queue.head()
            for _ in range(15):
                one.queue.put(made.payload())
                commit(one.spool, made)
            (loss,) = one.losses()
            assert loss.sequences == ((2, 7),)
            assert one.queue.head() is head
            assert one.drain() == [1, *range(8, 17)]

    def test_what_is_lost_leaves_the_disk_with_the_record_that_tells_of_it(self, folder: Path) -> None:
        made = Numbered()
        with opened(folder) as one:
            for _ in range(2):
                one.queue.put(made.payload())
            commit(one.spool, made)
            one.queue.head()
            one.queue.settle("refused")
            assert one.dropped == {"a refused": 1}
            commit(one.spool, made)
        with opened(folder) as one:
            assert one.drain() == [2], "the end is no kill"
            (loss,) = one.losses()
            assert (loss.stage, loss.reason, loss.sequences) == ("sink", "refused", ((1, 1),))
            commit(one.spool, made)
        with opened(folder) as one:
            assert one.drain() == []
            assert one.losses() == []
            for _ in range(2):
                one.queue.put(made.payload())
            commit(one.spool, made)
            one.queue.head()
            one.queue.settle("refused")
            (loss,) = one.losses()
            assert (loss.stage, loss.sequences) == ("sink", ((3, 3),))
            commit(one.spool, made)
        with opened(folder) as one:
            assert one.drain() == [4]

    def test_what_was_lost_in_part_leaves_with_its_record_too(self, folder: Path) -> None:
        made = Numbered()
        with opened(folder) as one:
            one.queue.put(made.payload(2))
            commit(one.spool, made)
            one.queue.head()
            one.ledger.drop("a", "sink", "rejected_by_receiver", 1)
            one.queue.settle(partly=True)
            commit(one.spool, made)
            assert one.dropped == {"a rejected_by_receiver": 1}
            one.losses()
            commit(one.spool, made)
        with opened(folder) as one:
            assert one.queue.waiting == 0
            assert one.losses() == []

    def test_what_is_lost_while_the_sinks_drain_at_the_end_is_told_by_the_next_run(self, folder: Path) -> None:
        made = Numbered(id="of-today")
        with opened(folder) as one:
            for _ in range(3):
                one.queue.put(made.payload(2))
            one.losses()
            commit(one.spool, made)
            one.queue.head()  # after the last commit
            one.ledger.drop("a", "sink", "rejected_by_receiver", 1, sequences=((1, 2),), stream="of-today")
            one.queue.settle(partly=True)
            one.queue.head()
            one.queue.settle("refused")
            one.queue.put(made.payload())  # comes too late: its number is given out again
            assert one.close() == 2
        for _ in range(2):
            with opened(folder) as one:  # killed before it told: this one ends as if it had not
                assert one.queue.left == 2, "no row that was settled is there to be sent again"
                commit(one.spool)
        with opened(folder) as one:
            told = {loss.reason: (loss.count, loss.sequences, loss.stream) for loss in one.losses()}
            assert told == {
                "rejected_by_receiver": (1, ((1, 2),), "of-today"),
                "refused": (2, ((3, 4),), "of-today"),
            }
            commit(one.spool)
            assert one.drain() == [5, 6]
        with opened(folder) as one:
            assert one.losses() == []

    def test_what_was_told_in_no_commit_stays(self, folder: Path) -> None:
        made = Numbered()
        with opened(folder) as one:
            one.queue.put(made.payload())
            commit(one.spool, made)
            one.queue.head()
            one.queue.settle("refused")
            assert one.losses()  # and the agent ends by an error, before the commit
        with opened(folder) as one:
            assert one.drain() == [1]

    def test_only_sinks_that_are_told_forget(self, folder: Path) -> None:
        mine, theirs = Numbered(), Numbered("b")
        with opened(folder) as one:
            other = one.spool.queue("b", "otlp", ROOMY)
            for queue, made in ((one.queue, mine), (other, theirs)):
                queue.put(made.payload())
                commit(one.spool, made)
                queue.head()
                queue.settle("refused")
            one.spool.mark_told({"b", "*"})
            (mine_untold, _) = sorted(one.ledger.losses(), key=lambda loss: loss.sink)
            one.ledger.lack(mine_untold)
            commit(one.spool, mine, theirs)
            held = one.spool._writer._statement.queues
            assert {name: holding.tally.records for name, holding in held.items()} == {"a": 1, "b": 0}
            one.spool.mark_told({"a"})
            commit(one.spool, mine, theirs)
            assert one.spool._writer._statement.queues["a"].tally.records == 0

    def test_numbers_of_an_earlier_stream_are_told_as_its_own(self, folder: Path) -> None:
        old, new = Numbered(id="old"), Numbered(id="new")
        with opened(folder, config.Queue(max_bytes=100, max_disk_bytes=500)) as one:
            for made in (old, new):
                for _ in range(5):
                    one.queue.put(made.payload())
                    commit(one.spool, made)
            for _ in range(7):
                one.queue.put(new.payload())
                commit(one.spool, new)
            told = {loss.stream: (loss.count, loss.sequences) for loss in one.losses()}
            assert told == {"old": (5, ((1, 5),)), "new": (2, ((1, 2),))}
            commit(one.spool, new)
        with opened(folder, wire="fluent") as one:
            (loss,) = one.losses()
            assert (loss.reason, loss.count, loss.sequences, loss.stream) == ("sink_changed", 10, ((3, 12),), "new")

    def test_two_streams_that_vanish_together_keep_their_numbers_apart(self, folder: Path) -> None:
        old, new = Numbered(id="old"), Numbered(id="new")
        with opened(folder) as one:
            for made in (old, new):
                one.queue.put(made.payload(3))
                commit(one.spool, made)
            one.queue.put(Payload("traces", b"spans", 4))
            commit(one.spool)
        with opened(folder, wire="fluent") as one:
            told = sorted((loss.stream, loss.count, loss.sequences) for loss in one.losses())
            assert told == [("", 4, ()), ("new", 3, ((1, 3),)), ("old", 3, ((1, 3),))]

    def test_a_sink_with_another_wire_format_begins_anew(self, folder: Path) -> None:
        made = Numbered()
        with opened(folder) as one:
            one.queue.put(made.payload(3))
            commit(one.spool, made)
        with opened(folder, wire="fluent") as one:
            (loss,) = one.losses()
            assert (loss.reason, loss.count, loss.sequences) == ("sink_changed", 3, ((1, 3),))
            one.queue.put(made.payload())
            commit(one.spool, made)
            assert one.queue.waiting == 1
        with opened(folder, wire="fluent") as one:
            assert one.drain() == [4]
            assert not one.losses()

    def test_a_sink_that_is_gone_leaves_nothing(self, folder: Path) -> None:
        with opened(folder) as one:
            other = one.spool.queue("b", "text", ROOMY)
            other.put(Numbered("b").payload(2))
            commit(one.spool)
        for told in ([("b", "sink_removed", 2)], []):
            with opened(folder) as one:
                assert [(loss.sink, loss.reason, loss.count) for loss in one.losses()] == told
                commit(one.spool)

    def test_after_the_end_nothing_is_taken(self, folder: Path) -> None:
        with opened(folder) as one:
            one.queue.put(Numbered().payload(2))
            assert one.queue.close() == 0
            one.queue.put(Numbered().payload(3))
            assert one.dropped == {"a shutdown": 5}
            assert one.queue.head() is None

    def test_sinks_know_nothing_of_each_other(self, folder: Path) -> None:
        with opened(folder, TINY) as one:
            other, mine, theirs = one.spool.queue("b", "fluent", TINY), Numbered(), Numbered("b")
            for _ in range(20):
                one.queue.put(mine.payload())
                other.put(theirs.payload(2))
                commit(one.spool, mine, theirs)
            assert one.drain() == list(range(1, 21))
            assert other.waiting == 40


def test_a_drained_spool_gives_the_disk_back(folder: Path) -> None:
    made = Numbered()
    clock = [0.0]
    with opened(folder, config.Queue(max_bytes=1 << 20), how={"now": lambda: clock[0]}) as one:
        for _ in range(40):
            for _ in range(4):
                one.queue.put(made.payload(size=200_000))
            commit(one.spool, made)
        full = (folder / "spool.db").stat().st_size
        assert full > 25_000_000
        assert len(one.drain()) == 160
        for _ in range(60):
            clock[0] += 1
            commit(one.spool, made)
        assert (folder / "spool.db-wal").stat().st_size <= 16 * 1024 * 1024
    assert (folder / "spool.db").stat().st_size < full / 4


class Model(RuleBasedStateMachine):
    """Puts, commits, settles, kills and ends against plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name) / "spool"

    @initialize(
        memory=st.sampled_from([60, 300, 100_000]),
        disk=st.sampled_from([500, 1_000_000]),
        key=st.booleans(),
    )
    def begin(self, memory: int, disk: int, key: bool) -> None:
        key_file = Path(self.temporary.name) / "key"
        key_file.write_bytes(b"k" * 32)
        key_file.chmod(0o600)
        self.settings = {"key_file": str(key_file)} if key else {}
        self.bounds = config.Queue(max_bytes=memory, max_disk_bytes=disk)
        self.made = Numbered()
        self.told: set[int] = set()
        self.put: list[int] = []  # since the last commit
        self.waiting: list[int] = []  # committed
        self.settled: list[int] = []  # since the last commit
        self.committed = 1  # the stream's next number
        self.commits = 0
        self.open()

    def open(self) -> None:
        self.one = Opened(self.folder, self.bounds, "otlp", self.settings, {})
        self.made.stream.next = self.committed

    @rule(records=st.integers(1, 3), size=st.integers(20, 120))
    def puts(self, records: int, size: int) -> None:
        payload = self.made.payload(records, size)
        self.put += [number for first, last in payload.sequences for number in range(first, last + 1)]
        self.one.queue.put(payload)

    @rule()
    def commits_all(self) -> None:
        self.commits += 1
        assert commit(self.one.spool, self.made, position=self.commits) == self.commits
        self.waiting += self.put
        self.put, self.settled = [], []
        self.committed = self.made.stream.next
        self.count_losses()

    def count_losses(self) -> None:
        for loss in self.one.losses():
            assert loss.reason == "queue_full"
            lost = {number for first, last in loss.sequences for number in range(first, last + 1)}
            assert len(lost) == loss.count
            self.waiting = [number for number in self.waiting if number not in lost]
            # Until the commit that comes after, a kill brings them back: not in this model.
            commit(self.one.spool, self.made, position=self.commits)
            self.waiting += self.put
            self.put = []
            self.committed = self.made.stream.next

    @rule(many=st.integers(1, 5))
    def delivers(self, many: int) -> None:
        for _ in range(many):
            if (payload := self.one.queue.head()) is None:
                assert not self.waiting
                return
            found = [number for first, last in payload.sequences for number in range(first, last + 1)]
            assert self.waiting[: len(found)] == found
            del self.waiting[: len(found)]
            self.settled += found
            self.one.queue.settle()

    @rule()
    def ends(self) -> None:
        kept = self.one.close()
        assert kept == len(self.waiting)
        self.put, self.settled = [], []
        self.open()

    @rule()
    def is_killed(self) -> None:
        # As the kernel does: files are closed, nothing is written.
        spool = self.one.spool
        os.close(spool._writer.folder._lock)
        os.close(spool._writer.folder._mark)
        spool._writer.folder._lock = spool._writer.folder._mark = -1
        copy = self.folder.with_name("copy")
        copy.mkdir()
        for path in self.folder.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
            path.unlink()
        self.one.queue.reader.close()
        spool._writer._disk.connection.close()  # type: ignore[union-attr]
        for path in copy.iterdir():
            path.rename(self.folder / path.name)
        copy.rmdir()
        self.waiting = self.settled + self.waiting
        self.put, self.settled = [], []
        self.open()
        assert self.one.queue.waiting == len(self.waiting)

    @precondition(lambda self: hasattr(self, "one"))
    @invariant()
    def all_that_waits_is_counted(self) -> None:
        assert self.one.queue.waiting == len(self.waiting) + len(self.put)

    def teardown(self) -> None:
        if hasattr(self, "one"):
            self.one.close()
        self.temporary.cleanup()


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=30), st.integers(50, 400))
@settings(max_examples=30, deadline=None)
def test_order_is_that_of_put_with_any_memory(records: list[int], memory: int) -> None:
    with tempfile.TemporaryDirectory() as name, opened(Path(name) / "s", config.Queue(max_bytes=memory)) as one:
        made = Numbered()
        for count in records:
            one.queue.put(made.payload(count))
            commit(one.spool, made)
        assert one.drain() == list(range(1, sum(records) + 1))


def test_content_is_of_its_numbers() -> None:
    assert content(((1, 2),), 20) == b"((1, 2),)..........."
