"""Generations of a file: by size and age, compressed or not, and what a crash leaves of them."""

import errno
import gzip
import os
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model import Delivery, Payload
from exporter.sink import rotation
from tests.sink.files import contents, lines, mode, no_file_longer_than, opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "events.jsonl"


def test_a_full_file_makes_room_and_the_oldest_goes(path: Path) -> None:
    with opened(path, max_bytes=4, backups=2) as file:
        for text in "abcdefgh":
            assert file.send(lines(text)) == Delivery("accepted")
        file.send(lines("i"))
    found = {one.name: one.read_text() for one in path.parent.iterdir()}
    assert found == {"events.jsonl": "i\n", "events.jsonl.1": "g\nh\n", "events.jsonl.2": "e\nf\n"}


def test_without_backups_the_file_begins_anew(path: Path) -> None:
    with opened(path, max_bytes=4, backups=0) as file:
        for text in "abc":
            file.send(lines(text))
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert path.read_text() == "c\n"


def test_a_payload_larger_than_a_file_may_be_is_written_whole(path: Path) -> None:
    with opened(path, max_bytes=4) as file:
        file.send(lines("a"))
        file.send(lines("bigger than that"))
        file.send(lines("c"))
    assert (path.parent / "events.jsonl.1").read_text() == "bigger than that\n"
    assert path.read_text() == "c\n"


@given(
    texts=st.lists(st.text("ab", max_size=30), max_size=20),
    max_bytes=st.integers(1, 60),
    backups=st.integers(0, 3),
    compress=st.booleans(),
)
def test_files_together_hold_the_newest_lines_whole_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], max_bytes: int, backups: int, compress: bool
) -> None:
    path = tmp_path_factory.mktemp("rotation") / "log"
    with opened(path, max_bytes=max_bytes, backups=backups, compress_backups=compress) as file:
        for text in texts:
            file.send(lines(text))
    found, form = contents(path), ".gz" if compress else ""
    held = [found.pop(name) for name in [f"log.{n}{form}" for n in range(backups, 0, -1)] + ["log"] if name in found]
    assert found == {}
    written = "".join(f"{text}\n" for text in texts)
    assert written.endswith("".join(held))
    for content in held:
        assert len(content) <= max_bytes or content.count("\n") == 1


class TestAge:
    """A file is rotated when its first line is too old, whoever was running when that came."""

    def test_an_old_file_makes_room(self, path: Path) -> None:
        with opened(path, max_age_seconds=3600.0) as file:
            file.send(lines("a"))
            file.send(lines("b"))
        began(path, seconds_ago=3599)
        with opened(path, max_age_seconds=3600.0) as file:
            file.send(lines("c"))
        began(path, seconds_ago=3600)
        with opened(path, max_age_seconds=3600.0) as file:
            file.send(lines("d"))
            file.send(lines("e"))
        assert contents(path) == {"events.jsonl": "d\ne\n", "events.jsonl.1": "a\nb\nc\n"}

    def test_without_that_setting_age_does_not_matter(self, path: Path) -> None:
        with opened(path) as file:
            file.send(lines("a"))
            began(path, seconds_ago=10**9)
            file.send(lines("b"))
        assert contents(path) == {"events.jsonl": "a\nb\n"}

    def test_a_file_without_a_note_is_as_old_as_its_last_line(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_text("old\n")
        os.utime(path, (1, 1))
        with opened(path, max_age_seconds=3600.0) as file:
            file.send(lines("a"))
            assert contents(path) == {"events.jsonl": "a\n", "events.jsonl.1": "old\n"}

    def test_that_goes_for_file_systems_that_take_no_notes_too(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unsupported(*_: object) -> bytes:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

        monkeypatch.setattr(os, "setxattr", unsupported)
        monkeypatch.setattr(os, "getxattr", unsupported)
        with opened(path, max_age_seconds=3600.0) as file:
            file.send(lines("a"))
            file.send(lines("b"))
        os.utime(path, (1, 1))
        with opened(path, max_age_seconds=3600.0) as file:
            file.send(lines("c"))
        assert contents(path) == {"events.jsonl": "c\n", "events.jsonl.1": "a\nb\n"}

    def test_an_empty_file_is_not_rotated_and_begins_with_its_first_line(self, path: Path) -> None:
        with opened(path, max_age_seconds=3600.0):
            pass
        began(path, seconds_ago=10**6)
        with opened(path, max_age_seconds=3600.0) as file:
            file.send(lines("a"))
            file.send(lines("b"))
        assert contents(path) == {"events.jsonl": "a\nb\n"}

    def test_a_file_that_was_emptied_begins_anew(self, path: Path) -> None:
        """As logrotate's `copytruncate` does."""
        with opened(path, max_age_seconds=3600.0) as file:
            file.send(lines("a"))
            began(path, seconds_ago=10**6)
            os.truncate(path, 0)
            file.send(lines("b"))
            file.send(lines("c"))
        assert contents(path) == {"events.jsonl": "b\nc\n"}

    def test_a_clock_that_was_set_back_keeps_no_file_for_ever(self, path: Path) -> None:
        with opened(path, max_age_seconds=3600.0) as file:
            file.send(lines("a"))
        began(path, seconds_ago=-(10**6))
        with opened(path, max_age_seconds=3600.0) as file:
            file.send(lines("b"))
        assert time.time() - int(os.getxattr(path, rotation.BEGUN)) < 3600


LARGE = lines("x" * 3 * rotation.READ_BYTES)


@pytest.fixture
def one_read_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compressing takes as many payloads as it can."""
    monkeypatch.setattr(rotation, "PIECE_BYTES", rotation.READ_BYTES)


class TestCompressedBackups:
    """They hold the same lines, and one form of each is whole at any moment."""

    def test_full_files_are_compressed_private_and_limited_in_number(self, path: Path) -> None:
        with opened(path, max_bytes=4, backups=2, compress_backups=True) as file:
            for text in "abcdefghi":
                assert file.send(lines(text)) == Delivery("accepted")
        assert contents(path) == {"events.jsonl": "i\n", "events.jsonl.1.gz": "g\nh\n", "events.jsonl.2.gz": "e\nf\n"}
        assert {mode(one) for one in path.parent.iterdir()} == {0o600}

    def test_a_large_one_is_compressed_a_piece_with_each_payload(self, path: Path, one_read_each: None) -> None:
        found = []
        with opened(path, max_bytes=100, compress_backups=True) as file:
            file.send(LARGE)
            for _ in range(5):
                file.send(lines("a"))
                found.append(sorted(contents(path).keys() - {path.name}))
        assert found == [*[["events.jsonl.1", "events.jsonl.gz.new"]] * 4, ["events.jsonl.1.gz"]]
        assert contents(path)["events.jsonl.1.gz"].encode() == LARGE.data

    def test_one_that_is_renamed_meanwhile_is_found_again(self, path: Path, one_read_each: None) -> None:
        with opened(path, max_bytes=4, compress_backups=True) as file:
            for payload in (LARGE, lines("abc"), lines("def"), *[lines("")] * 9):
                file.send(payload)
                assert LARGE.data.decode() in contents(path).values()
        held = ["\n", "\n" * 4, "\n" * 4, "def\n", "abc\n", LARGE.data.decode()]
        assert list(dict(sorted(contents(path).items())).values()) == held

    def test_one_that_is_dropped_meanwhile_is_let_go(self, path: Path, one_read_each: None) -> None:
        with opened(path, max_bytes=4, backups=1, compress_backups=True) as file:
            for payload in (LARGE, lines("abc"), lines("d"), lines("e"), *[lines("")] * 4):
                file.send(payload)
        assert contents(path) == {"events.jsonl": "\n" * 4, "events.jsonl.1.gz": "d\ne\n"}

    @pytest.mark.parametrize("compress", [True, False])
    def test_what_a_crash_interrupted_heals_with_the_next_payload(self, compress: bool, path: Path) -> None:
        path.parent.mkdir()
        path.with_name("events.jsonl.1").write_text("plain\n")
        path.with_name("events.jsonl.gz.new").write_bytes(gzip.compress(b"plain\n")[:9])
        with opened(path, compress_backups=compress) as file:
            for text in "ab":
                file.send(lines(text))
        form = ".gz" if compress else ""
        assert contents(path) == {"events.jsonl": "a\nb\n", f"events.jsonl.1{form}": "plain\n"}

    def test_a_crash_between_the_last_two_steps_heals_too(self, path: Path) -> None:
        path.parent.mkdir()
        path.with_name("events.jsonl.1").write_text("plain\n")
        path.with_name("events.jsonl.1.gz").write_bytes(gzip.compress(b"plain\n"))
        with opened(path, compress_backups=True) as file:
            file.send(lines("a"))
        assert contents(path) == {"events.jsonl": "a\n", "events.jsonl.1.gz": "plain\n"}

    def test_both_forms_go_up_together_and_the_oldest_goes_whatever_its_form(self, path: Path) -> None:
        for compress, text in ((True, "abc"), (False, "def"), (True, "ghi")):
            with opened(path, max_bytes=2, backups=3, compress_backups=compress) as file:
                for letter in text:
                    file.send(lines(letter))
        found = {"events.jsonl": "i\n", **{f"events.jsonl.{n}.gz": f"{'ihgf'[n]}\n" for n in (1, 2, 3)}}
        assert contents(path) == found

    def test_a_disk_that_is_full_keeps_the_plain_one_and_takes_the_lines(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        noise = Payload("logs", os.urandom(30_000).hex().encode() + b"\n", 1)
        with opened(path, max_bytes=100, compress_backups=True) as file:
            file.send(noise)
            with no_file_longer_than(1000):
                assert file.send(lines("a")) == Delivery("accepted")
            assert contents(path) == {"events.jsonl": "a\n", "events.jsonl.1": noise.data.decode()}
            file.send(lines("b" * 100))
            file.send(lines("c"))
        assert "backups of" in caplog.text
        assert sorted(contents(path)) == ["events.jsonl", "events.jsonl.1.gz", "events.jsonl.2.gz", "events.jsonl.3.gz"]

    def test_an_agent_that_is_killed_at_any_moment_loses_no_line(self, path: Path) -> None:
        """A real process is killed while it writes, rotates and compresses; what it called accepted is there."""
        for _ in range(5):
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                _write_for_ever(path, writer)
            os.close(writer)
            accepted = 0
            while accepted < 300:
                accepted = int.from_bytes(os.read(reader, 4096)[-4:], "big")
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            while more := os.read(reader, 4096):
                accepted = int.from_bytes(more[-4:], "big")
            os.close(reader)
            with opened(path, max_bytes=5000, backups=1000, compress_backups=True) as file:
                for _ in range(50):
                    file.send(lines("healed"))
            held = contents(path)
            assert {int(line) for text in held.values() for line in text.split() if line.isdigit()} >= set(
                range(accepted + 1)
            )
            assert all(name == path.name or name.endswith(".gz") for name in held)
            for one in path.parent.iterdir():
                one.unlink()


def _write_for_ever(path: Path, told: int) -> None:
    with opened(path, max_bytes=5000, backups=1000, compress_backups=True) as file:
        number = 0
        while file.send(lines(str(number))) == Delivery("accepted"):
            os.write(told, number.to_bytes(4, "big"))
            number += 1
    os._exit(1)


def began(path: Path, *, seconds_ago: int) -> None:
    """Set when the file got its first line, on file systems that keep it."""
    os.setxattr(path, rotation.BEGUN, str(int(time.time()) - seconds_ago).encode())
