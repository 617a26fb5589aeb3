"""Disks that are full, read-only or late; and a journal that waits for one. Real mounts, in a namespace of a child."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.sink.spool.cipher import Cipher
from exporter.sink.spool.pending import Pending
from tests.sink.spool import disks
from tests.sink.spool.spooling import Numbered, commit, opened

UNSHARED = ["unshare", "--mount", "--propagation", "private"]
ALLOWED = subprocess.run([*UNSHARED, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not ALLOWED, reason="mounts of one's own are not allowed here")
@pytest.mark.parametrize(
    "story",
    [
        disks.a_full_disk_stops_nobody,
        disks.room_on_a_full_disk_is_used,
        disks.a_read_only_disk_stops_nobody,
        disks.a_disk_that_comes_late_is_used,
        disks.what_cannot_be_written_at_the_end_is_counted,
        disks.a_full_disk_forgets_nothing_that_is_unsaved,
        disks.a_partial_success_is_not_sent_again_though_the_disk_is_full,
    ],
    ids=lambda story: story.__name__,
)
def test_on_a_disk_of_its_own(story: Callable[[Path], None], tmp_path: Path) -> None:
    code = f"from tests.sink.spool.disks import *; {story.__name__}(Path({str(tmp_path)!r}))"
    done = subprocess.run([*UNSHARED, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


def test_a_failing_disk_is_asked_once_a_second(tmp_path: Path) -> None:
    (tmp_path / "spool").touch()
    clock, made = [0.0], Numbered()
    with opened(tmp_path / "spool", how={"now": lambda: clock[0]}) as one:
        (tmp_path / "spool").unlink()
        one.queue.put(made.payload())
        clock[0] = 0.9
        assert commit(one.spool, made, position=1) == -1
        assert one.spool.failing
        clock[0] = 1.0
        assert commit(one.spool, made, position=1) == 1
        assert not one.spool.failing


def test_a_journal_that_grows_too_large_meanwhile_waits_for_a_checkpoint() -> None:
    pending = Pending(Cipher())
    for _ in range(17):
        pending.add({}, bytes(1 << 20), checkpoint=False)
    assert pending.wants_checkpoint
    first, end = pending.entries
    assert first == end
    pending.add({}, b"left out", checkpoint=False)
    pending.add({}, b"all", checkpoint=True)
    pending.add({}, b"more", checkpoint=False)
    assert not pending.wants_checkpoint
    first, end = pending.entries
    assert end - first == 2
