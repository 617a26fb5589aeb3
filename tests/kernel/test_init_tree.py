"""Who descends from a container's first process, and who came in from outside: on real pid namespaces."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.enrich.init_tree import MARK
from exporter.model import Event
from tests.kernel.enriched import enriched, table
from tests.kernel.recorded import Told, args, recording, settings
from tests.waiting import wait_for

pytestmark = pytest.mark.kernel

LIFE = settings("process.exec")


def marks(told: Told, mark: str) -> list[object]:
    """`in_init_tree` of the execs that have this argument."""
    execs = [event for event in told.of("process.exec") if mark in args(event)]
    return [event.process.attributes.get(MARK) for event in execs]


def named(events: list[Event], pid: int) -> object:
    """The mark on the last record of a process."""
    return [event for event in events if event.pid == pid][-1].process.attributes.get(MARK)


@contextmanager
def container() -> Iterator[int]:
    """The first process of a pid namespace, as the host numbers it: a shell that runs what it is told on its stdin."""
    runtime = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", "/bin/sh"], stdin=subprocess.PIPE, text=True, bufsize=1
    )
    children = Path(f"/proc/{runtime.pid}/task/{runtime.pid}/children")
    assert runtime.stdin is not None
    try:
        first = int(wait_for(lambda: children.read_text().split(), "the container has a process")[0])
        yield first
    finally:
        runtime.stdin.close()
        runtime.wait()


def enter(first: int, *command: str) -> None:
    """As `kubectl exec` does it: by the namespace of a process, from outside."""
    subprocess.run(["nsenter", "--target", str(first), "--pid", *command], check=True)


def test_what_a_container_starts_is_of_its_tree_and_who_enters_is_not(tmp_path: Path) -> None:
    with recording(tmp_path, LIFE) as finish:
        script = "/bin/true inside; (/bin/true inside; :)"
        subprocess.run(["unshare", "--pid", "--fork", "/bin/sh", "-c", script], check=True)
        with container() as first:
            enter(first, "/bin/sh", "-c", "/bin/true entered; (/bin/true entered; :)")
        subprocess.run(["/bin/true", "on-the-host"], check=True)
        told = enriched(finish())
    assert marks(told, "inside") == [True, True]
    assert marks(told, "entered") == [False, False]
    assert marks(told, "on-the-host") == [None]


def test_who_entered_and_was_adopted_since_still_came_from_outside(tmp_path: Path) -> None:
    """The one that entered is gone when the program begins: its parent is the container's first process by then."""
    go, done = tmp_path / "go", tmp_path / "done"
    os.mkfifo(go)
    with recording(tmp_path, LIFE) as finish:
        with container() as first:
            enter(first, "/bin/sh", "-c", f"(read line <{go}; /bin/true adopted; : >{done}) & :")
            go.write_text("\n")
            wait_for(done.exists, "the adopted one has run")
        told = enriched(finish())
    (event,) = [event for event in told.of("process.exec") if "adopted" in args(event)]
    assert event.process.attributes[MARK] is False


def test_an_agent_that_begins_later_and_one_that_goes_on_know_it_too(tmp_path: Path) -> None:
    with container() as first:
        inside = tmp_path / "first"
        inside.mkdir()
        with recording(inside, LIFE) as finish:
            stranger = subprocess.Popen(
                ["nsenter", "--target", str(first), "--pid", "/bin/sh", "-c", "read line; /bin/true later; :"],
                stdin=subprocess.PIPE,
            )
            children = Path(f"/proc/{stranger.pid}/task/{stranger.pid}/children")
            entered = int(wait_for(lambda: children.read_text().split(), "it has entered")[0])
            before = table()
            enriched(finish(), before)
        journal, _whole = before.journal(whole=True)
        with recording(tmp_path, LIFE) as finish:
            stranger.communicate(b"\n")
            told = finish()
    after = table()
    after.restore([journal])
    for known in (None, after):
        seen = enriched(told, known)
        assert named(seen.events, entered) is False
        assert marks(seen, "later") == [False]
