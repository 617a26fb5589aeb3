"""What `test_disks` runs on a disk of its own: a tmpfs that only this process sees, gone with it."""

import contextlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter import config
from exporter.sink.spool.rows import numbers
from exporter.sink.spool.spool import Spool
from exporter.telemetry import Ledger
from tests.sink.spool.spooling import Numbered, Opened, commit, opened

SMALL = config.Queue(max_bytes=200_000)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


class Clock:
    """Seconds; each look at the disk is a second after the last."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def a_full_disk_stops_nobody(disk: Path) -> None:
    """Full: sent from memory, in order, and safe once delivered; then committed again when there is room."""
    mount("-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk))
    made = Numbered()
    with opened(disk / "spool", SMALL, how={"now": Clock()}) as one:
        safe, position = 0, 0
        while not one.spool.failing:
            position += 1
            one.queue.put(made.payload(2, 60_000))
            safe = commit(one.spool, made, position=position)
        assert one.spool.failing == "database or disk is full"
        assert safe == position - 1
        while not one.spool.backlogged:
            position += 1
            one.queue.put(made.payload(2, 60_000))
            assert commit(one.spool, made, position=position) == safe
        sent = one.drain()
        assert sent == list(range(1, made.stream.next)), "what is on disk, then what is in memory"
        assert one.queue.waiting == 0
        assert commit(one.spool, made, position=position) == position
        assert not one.spool.failing, one.spool.failing
        assert not one.spool.backlogged
        one.queue.put(made.payload(2, 60_000))
        commit(one.spool, made, position=position + 1)  # finds it full of what is free by now
        assert commit(one.spool, made, position=position + 1) == position + 1
        assert not one.spool.failing
        assert not one.dropped
    with opened(disk / "spool", SMALL) as one:
        assert one.spool.positions == {7: position + 1}
        assert one.drain() == [made.stream.next - 2, made.stream.next - 1]


def room_on_a_full_disk_is_used(disk: Path) -> None:
    """Somebody else fills the disk, and makes room again: nothing is lost, nothing sent meanwhile."""
    mount("-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk))
    made = Numbered()
    with opened(disk / "spool", SMALL, how={"now": Clock()}) as one:
        one.queue.put(made.payload(1, 60_000))
        commit(one.spool, made, position=1)
        filler = disk / "filler"
        with contextlib.suppress(OSError):
            filler.write_bytes(bytes(8 << 20))
        position = 1
        while not one.spool.backlogged:
            position += 1
            one.queue.put(made.payload(1, 60_000))
            commit(one.spool, made, position=position, journal=b"%d" % position)
        assert one.spool.failing
        filler.unlink()
        assert commit(one.spool, made, position=position) == position
        assert not one.spool.failing
    with opened(disk / "spool", SMALL) as one:
        assert [int(entry) for entry in one.spool.journal] == list(range(2, position + 1))
        assert one.drain() == list(range(1, made.stream.next))


def a_read_only_disk_stops_nobody(disk: Path) -> None:
    """Remounted read-only under the agent, and back."""
    mount("-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk))
    made = Numbered()
    with opened(disk / "spool", SMALL, how={"now": Clock()}) as one:
        for position in range(1, 11):
            one.queue.put(made.payload(1, 60_000))
            commit(one.spool, made, position=position)
    # SQLite's own files are closed now, else the kernel refuses.
    mount("-o", "remount,ro", str(disk))
    with opened(disk / "spool", SMALL, how={"now": Clock()}) as one:
        assert one.spool.failing == "Read-only file system"
        assert one.spool.positions == {}
        late = Numbered(first=100)
        for position in range(11, 14):
            one.queue.put(late.payload())
            assert commit(one.spool, late, position=position) == -1
        assert one.drain() == [100, 101, 102]
        assert commit(one.spool, late, position=13) == 13
        one.queue.put(late.payload())
        assert commit(one.spool, late, position=14) == 13
        mount("-o", "remount,rw", str(disk))
        assert commit(one.spool, late, position=14) == 14
        assert not one.spool.failing
        assert one.queue.left == 10
        assert one.queue.waiting == 11
        assert one.drain() == [*range(1, 11), 103], "what the last run left goes first"
        assert commit(one.spool, late, position=15) == 15
    with opened(disk / "spool", SMALL) as one:
        assert one.spool.positions[7] == 15
        assert one.spool.state == late.state
        assert one.drain() == []
        assert one.losses() == []


def a_disk_that_comes_late_is_used(disk: Path) -> None:
    """No room even for an empty spool at the start."""
    mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk))
    with contextlib.suppress(OSError):
        (disk / "filler").write_bytes(bytes(1 << 20))
    made = Numbered()
    with opened(disk / "spool", SMALL, how={"now": Clock()}) as one:
        assert one.spool.failing
        one.queue.put(made.payload(3))
        assert commit(one.spool, made, position=1) == -1
        mount("-o", "remount,size=8m", str(disk))
        assert commit(one.spool, made, position=2) == 2
        assert not one.spool.failing
    with opened(disk / "spool", SMALL) as one:
        assert one.drain() == [1, 2, 3]


@contextmanager
def full(disk: Path) -> Iterator[Opened]:
    """A spool whose disk has just become full, and stays so."""
    mount("-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk))
    made = Numbered()
    with opened(disk / "spool", SMALL, how={"now": Clock()}) as one:
        while not one.spool.failing:
            one.queue.put(made.payload(2, 60_000))
            commit(one.spool, made)
        yield one


def what_cannot_be_written_at_the_end_is_counted(disk: Path) -> None:
    """Full until the end: what is on disk stays there, what is in memory is lost."""
    with full(disk) as one:
        waiting = one.queue.waiting
        kept = one.close()
        assert one.dropped == {"a shutdown": waiting - kept}
        assert kept < waiting
    with opened(disk / "spool", SMALL) as one:
        assert one.drain() == list(range(1, kept + 1))


def a_full_disk_forgets_nothing_that_is_unsaved(disk: Path) -> None:
    """One sink takes all at once, another nothing: making room by what was delivered does not make the rest safe."""
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk))
    mine, theirs = Numbered(), Numbered("b")
    with opened(disk / "spool", SMALL, how={"now": Clock()}) as one:
        dead = one.spool.queue("b", "otlp", SMALL)
        position = safe = 0
        while not one.spool.failing:
            position += 1
            one.queue.put(mine.payload(1, 60_000))
            dead.put(theirs.payload(1, 60_000))
            safe = commit(one.spool, mine, theirs, position=position)
            if not one.spool.failing:
                assert one.drain() == [position]
        assert safe < position, "what came with the commit that failed is nowhere but in memory"
        assert dead.place == (position, safe)
        kept = dead.close()
        assert dead.waiting == kept == safe
    again = Spool.open(config.Spool(path=str(disk / "spool")), Ledger())
    found, sent = again.queue("b", "otlp", SMALL), list[int]()
    while (payload := found.head()) is not None:
        sent += numbers(payload.sequences)
        found.settle()
    assert sent == list(range(1, safe + 1))
    again.close()


def a_partial_success_is_not_sent_again_though_the_disk_is_full(disk: Path) -> None:
    """Full at the end: rows that were settled go all the same, and what was lost of them is told."""
    with full(disk) as one:
        one.queue.head()
        one.ledger.drop("a", "sink", "rejected_by_receiver", 1, sequences=((1, 2),))
        one.queue.settle(partly=True)
    with opened(disk / "spool", SMALL) as one:
        (loss,) = one.losses()
        assert (loss.reason, loss.count, loss.sequences) == ("rejected_by_receiver", 1, ((1, 2),))
        assert one.drain()[0] == 3
