"""Where what was read is kept: what the kernel may forget, and when; and what the next agent finds."""

from pathlib import Path
from typing import Any

import pytest

from exporter import config
from exporter.errors import ConfigError
from exporter.keeping import InMemory, OnDisk, check_keeping, open_keeping
from exporter.model import Payload
from exporter.telemetry import Ledger

SINK = config.File(path="/nowhere")
NO_ENTRY = (b"", False)


def on_disk(folder: Path, ledger: Ledger | None = None, **settings: Any) -> OnDisk:
    return OnDisk(config.Spool(path=str(folder / "spool"), **settings), ledger or Ledger())


def test_in_memory_the_kernel_may_forget_all_at_once_and_nothing_is_ever_due() -> None:
    keeping = InMemory(Ledger())
    keeping.took(1000, 5.0)
    assert not keeping.due(1000.0, {})
    assert not keeping.pending
    assert keeping.waits({1: 64}) == keeping.commit({1: 64}, {}, NO_ENTRY) == {1: 64}
    queue, stream = keeping.place("a", SINK)
    assert queue.put(Payload("logs", b"x", 1))
    assert (stream.sink, stream.next) == ("a", 1)
    assert keeping.place("a", SINK)[1].id != stream.id
    assert dict(keeping.state) == {}


def test_on_disk_the_kernel_may_forget_nothing_before_a_commit(tmp_path: Path) -> None:
    keeping = on_disk(tmp_path)
    assert keeping.waits({1: 64}) == {}
    assert keeping.commit({1: 64}, {}, NO_ENTRY) == {1: 64}
    keeping.close()


def test_a_commit_is_due_when_the_oldest_event_is_old_or_there_are_many(tmp_path: Path) -> None:
    keeping = on_disk(tmp_path, commit_events=10, commit_milliseconds=100)
    keeping.commit({}, {}, NO_ENTRY)
    keeping.took(4, 50.0)
    keeping.took(5, 50.09)
    assert keeping.pending
    assert not keeping.due(50.099, {})
    assert keeping.due(50.1, {})
    keeping.commit({}, {}, NO_ENTRY)
    assert not keeping.pending
    keeping.took(9, 51.0)
    assert not keeping.due(51.0, {})
    keeping.took(1, 51.0)
    assert keeping.due(51.0, {})
    keeping.close()


def test_where_nothing_is_read_a_commit_is_due_when_something_was_delivered(tmp_path: Path) -> None:
    """It must leave the disk; but a quiet node must not write all the time."""
    ledger = Ledger()
    keeping = on_disk(tmp_path, ledger)
    due = []
    for second in range(1, 101):
        if 40 <= second < 44:
            ledger.send("it", 1)
        if keeping.due(1000 + second, {}):
            due.append(second)
            keeping.commit({}, {}, NO_ENTRY)
    assert due == [1, 31, 40, 41, 42, 43, 73]


def test_the_next_agent_finds_positions_state_journal_and_streams(tmp_path: Path) -> None:
    keeping = on_disk(tmp_path)
    assert (dict(keeping.positions), dict(keeping.state), list(keeping.journal)) == ({}, {}, [])
    queue, stream = keeping.place("a", SINK)
    keeping.opened()
    queue.put(Payload("logs", b"one", 3, sequences=((1, 3),)))
    stream.next, stream.chain = 4, b"hash"
    keeping.commit({7: 4096}, {"boot": b"b007"}, (b"checkpoint", True))
    keeping.commit({7: 8192}, {"boot": b"b007"}, (b"entry", False))
    queue.close()
    keeping.close()

    ledger = Ledger()
    after = OnDisk(config.Spool(path=str(tmp_path / "spool")), ledger)
    assert after.positions == {7: 8192}
    assert after.state["boot"] == b"b007"
    assert list(after.journal) == [b"checkpoint", b"entry"]
    queue, again = after.place("a", SINK)
    assert again == stream
    head = queue.head()
    assert head is not None
    assert (head.data, head.sequences) == (b"one", ((1, 3),))
    assert ledger.offered["a"] == 3
    assert after.place("b", SINK)[1].id != stream.id
    queue.close()
    after.close()


def test_a_renumbered_stream_is_a_new_one_for_all_who_have_it(tmp_path: Path) -> None:
    keeping = on_disk(tmp_path)
    _, stream = keeping.place("a", SINK)
    before, stream.next, stream.chain = stream.id, 40, b"hash"
    keeping.renumber()
    assert stream.id != before
    assert (stream.sink, stream.next, stream.chain) == ("a", 1, b"")
    keeping.close()


def test_one_agent_a_directory(tmp_path: Path) -> None:
    settings = config.Spool(path=str(tmp_path / "spool"))
    first = open_keeping(settings, Ledger(), where="c.yaml")
    with pytest.raises(ConfigError, match=r"^c.yaml: spool.path: .* in use by another agent"):
        open_keeping(settings, Ledger(), where="c.yaml")
    first.close()
    open_keeping(settings, Ledger(), where="c.yaml").close()


def test_memory_is_said_aloud_and_makes_no_directory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = config.Spool(mode="memory", path=str(tmp_path / "spool"))
    assert isinstance(open_keeping(settings, Ledger(), where="c.yaml"), InMemory)
    assert "lost when the agent ends" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_none_is_refused_at_its_setting_and_without_a_disk_nobody_asks_for_it(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"short")
    key.chmod(0o600)
    bad = config.Spool(path=str(tmp_path / "spool"), key_file=str(key))
    for refuse in (check_keeping, lambda settings, where: open_keeping(settings, Ledger(), where=where)):
        with pytest.raises(ConfigError, match=r"^c.yaml: spool.key_file: .* holds no key"):
            refuse(bad, where="c.yaml")
    assert list(tmp_path.iterdir()) == [key]
    check_keeping(config.Spool(mode="memory", key_file=str(key)), where="c.yaml")


def test_a_commit_is_due_before_what_was_read_fills_half_a_ring(tmp_path: Path) -> None:
    """However many events and however much time the settings allow: the kernel has no more room than that."""
    settings = config.Spool(path=str(tmp_path / "spool"), commit_events=1_000_000, commit_milliseconds=10_000)
    keeping = OnDisk(settings, Ledger(), ring_bytes=4096)
    keeping.took(1, 1000.0)
    assert [keeping.due(1000.0, {7: at}) for at in (0, 2048, 2049)] == [False, False, True]
    keeping.commit({7: 2049}, {}, NO_ENTRY)
    keeping.took(1, 1000.0)
    assert [keeping.due(1000.0, {7: at}) for at in (2100, 4098)] == [False, True]
