"""A spool whose file was damaged: the agent goes on, what is whole is sent, what is not is counted exactly."""

import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter import config
from tests.sink.spool.spooling import Numbered, Opened, commit, lost_numbers, opened

TINY = config.Queue(max_bytes=200)
PAYLOADS, EACH, SIZE = 40, 3, 9000
ALL = set(range(1, PAYLOADS * EACH + 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def filled(folder: Path, *, killed: bool = False) -> None:
    """Forty payloads of three records in large rows; a write-ahead log where the agent was killed."""
    made = Numbered()
    one = Opened(folder, TINY, "otlp", {}, {})
    for number in range(PAYLOADS):
        one.queue.put(made.payload(EACH, SIZE))
        commit(one.spool, made, position=number + 1, journal=b"entry %d" % number)
    if not killed:
        one.close()
        return
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    one.close()
    shutil.rmtree(folder)
    copy.rename(folder)


def check(folder: Path, *, exact: bool = True) -> tuple[set[int], set[int]]:
    """Open what is left: (sent, lost), which are all; exactly, or with a loss that says that nobody knows."""
    with opened(folder, TINY) as one:
        made = Numbered(first=len(ALL) + 1)
        commit(one.spool, made)  # a database that turns out to be damaged is mended by a commit
        sent = one.drain()
        while one.queue.waiting:
            commit(one.spool, made)
            assert not one.spool.failing
            sent += one.drain()
        losses = one.losses()
        lost = lost_numbers(losses)
        unknown = any(loss.count is None for loss in losses)
        assert sent == sorted(set(sent)), "in order, none twice"
        assert not lost & set(sent)
        if exact or not unknown:
            assert not unknown
            assert set(sent) | lost == ALL
            assert sum(loss.count or 0 for loss in losses) == len(lost)
        assert {loss.reason for loss in losses} <= {"spool_corrupt"}
        one.queue.put(made.payload())
        commit(one.spool, made)
        assert one.drain() == [len(ALL) + 1]
    with opened(folder, TINY) as one:
        assert one.drain() == []
        assert one.losses() == [], "each loss is told once"
    return set(sent), lost


def asides(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("spool.db.*") if not path.name.endswith(("-wal", "-shm")))


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zeros_in_the_middle(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(bytes(20_000))


def header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"XXXX")


def other_format(path: Path) -> None:
    """The file format's version is of a later SQLite: the database is read-only, the disk is not."""
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\x03")


@pytest.mark.parametrize("damage", [garbage, nothing, half, zeros_in_the_middle, header, other_format, Path.unlink])
def test_damage_is_counted_exactly(folder: Path, damage: Callable[[Path], None]) -> None:
    filled(folder)
    damage(folder / "spool.db")
    sent, lost = check(folder, exact=damage not in (garbage, nothing, header, other_format, half, Path.unlink))
    assert sent | lost == ALL, "the numbers of payloads are known whatever becomes of the database"
    if damage in (half, zeros_in_the_middle):
        assert sent
    if damage is zeros_in_the_middle:
        assert len(lost) < 30


def test_positions_and_streams_outlive_the_database(folder: Path) -> None:
    filled(folder)
    garbage(folder / "spool.db")
    with opened(folder) as one:
        assert one.spool.positions == {7: PAYLOADS}
        assert one.spool.state == Numbered(first=len(ALL) + 1).state


def test_what_is_set_aside_is_kept_for_a_while(folder: Path) -> None:
    filled(folder)
    for _ in range(5):
        garbage(folder / "spool.db")
        with opened(folder) as one:
            one.losses()
            commit(one.spool, Numbered())
    assert len(asides(folder)) == 3
    assert all(name.startswith("spool.db.corrupt-20") for name in asides(folder))
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())


def test_a_log_cut_short_is_noticed(folder: Path) -> None:
    """SQLite goes back to an older transaction and says nothing."""
    filled(folder, killed=True)
    half(folder / "spool.db-wal")
    sent, lost = check(folder, exact=False)
    assert lost
    assert sent | lost == ALL


def test_a_loss_is_found_again_until_it_was_told(folder: Path) -> None:
    filled(folder)
    half(folder / "spool.db")
    with opened(folder) as one:
        first = one.ledger.losses()
        for loss in first:  # told later
            one.ledger.lack(loss)
        commit(one.spool, Numbered(first=len(ALL) + 1))
    with opened(folder) as one:
        again = one.losses()
        assert lost_numbers(again) == lost_numbers(first) != set()
        commit(one.spool, Numbered(first=len(ALL) + 1))
    with opened(folder) as one:
        assert one.losses() == []


def test_without_mark_and_statement_nobody_knows_all(folder: Path) -> None:
    filled(folder)
    (folder / "spool.mark").write_bytes(b"damaged")
    database = sqlite3.connect(folder / "spool.db")
    database.execute("UPDATE about SET sum = 1")
    database.execute("DELETE FROM payload WHERE (id & 0xFF) IN (3, 40)")
    database.commit()
    database.close()
    with opened(folder) as one:
        losses = {(loss.sink, loss.count): loss.sequences for loss in one.losses()}
        assert losses == {("*", None): (), ("a", 6): ((7, 9), (118, 120))}
        assert len(one.drain()) == len(ALL) - 6


def test_one_damaged_row_is_one_loss(folder: Path) -> None:
    filled(folder)
    database = sqlite3.connect(folder / "spool.db")
    database.execute("UPDATE payload SET data = x'00' WHERE (id & 0xFF) = 3")
    database.execute("UPDATE payload SET meta = x'00' WHERE (id & 0xFF) = 7")
    database.commit()
    database.close()
    _, lost = check(folder)
    assert lost == {7, 8, 9, 19, 20, 21}
    assert asides(folder) == []


def test_damage_while_the_agent_runs(folder: Path) -> None:
    """What is in memory too is not lost with the file."""
    made = Numbered()
    with opened(folder, config.Queue(max_bytes=20 * SIZE)) as one:
        for number in range(PAYLOADS):
            one.queue.put(made.payload(EACH, SIZE))
            commit(one.spool, made, position=number)
        one.spool._writer._disk.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
        with (folder / "spool.db").open("r+b") as file:
            file.write(random.Random(2).randbytes((folder / "spool.db").stat().st_size))
        assert commit(one.spool, made, position=99) == 99
        sent: list[int] = []
        for _ in range(10):
            sent += one.drain()
            assert commit(one.spool, made, position=99) == 99
        lost = lost_numbers(one.losses())
        assert one.queue.waiting == 0
        assert set(sent) | lost == ALL
        assert not set(sent) & lost
        assert len(sent) >= 20 * EACH
        assert len(asides(folder)) == 1


def test_a_directory_that_vanishes_while_the_agent_runs(folder: Path) -> None:
    made = Numbered()
    with opened(folder, TINY) as one:
        for number in range(PAYLOADS):
            one.queue.put(made.payload(EACH, SIZE))
            commit(one.spool, made, position=number)
        shutil.rmtree(folder)
        assert commit(one.spool, made, position=99) == 99
        assert not one.spool.failing
        one.close()
    with opened(folder, TINY) as one:
        assert one.spool.positions == {7: 99}
        assert set(one.drain()) == ALL
        assert one.losses() == []


@pytest.mark.parametrize(
    ("was", "now"),
    [
        pytest.param(b"CREATE TABLE journal", b"CREATE TABLE journa\x80", id="an error message that is no text"),
        pytest.param(b"journal (id INTEGER", b"journal (id \x80NTEGER", id="ids that are not there any more"),
    ],
)
def test_a_schema_with_a_changed_byte(folder: Path, was: bytes, now: bytes) -> None:
    filled(folder)
    content = (folder / "spool.db").read_bytes()
    assert was in content
    (folder / "spool.db").write_bytes(content.replace(was, now))
    sent, lost = check(folder, exact=False)
    assert sent | lost == ALL


@pytest.mark.parametrize("where", ["database", "log"])
def test_flipped_bytes_anywhere(where: str, tmp_path: Path) -> None:
    original = tmp_path / "original"
    filled(original, killed=where == "log")
    name = "spool.db" if where == "database" else "spool.db-wal"
    size = (original / name).stat().st_size
    places = st.lists(st.integers(0, size - 1) | st.integers(0, 20_000), min_size=1, max_size=8)

    @given(places, st.binary(min_size=1, max_size=64), st.booleans())
    @settings(max_examples=60, deadline=None)
    def flip(offsets: list[int], what: bytes, mark_too: bool) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "spool"
            shutil.copytree(original, folder)
            with (folder / name).open("r+b") as file:
                for offset in offsets:
                    file.seek(offset)
                    file.write(what)
            if mark_too:
                (folder / "spool.mark").write_bytes(b"damaged" + what)
            check(folder, exact=False)

    flip()
