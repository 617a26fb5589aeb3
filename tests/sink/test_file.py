"""Lines on disk: whole, private, rotated, and found again by whoever moves files."""

import gzip
import os
from pathlib import Path

import pytest

from exporter import config
from exporter.errors import ConfigError
from exporter.model import Delivery, Payload
from exporter.sink.file import File, check_shared
from tests.sink.files import lines, mode, no_file_longer_than, opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "events.jsonl"


def test_payloads_are_appended_in_order(path: Path) -> None:
    with opened(path) as file:
        assert file.send(lines("a", "b")) == file.send(lines("c")) == Delivery("accepted")
    with opened(path) as file:
        file.send(lines("d"))
    assert path.read_text() == "a\nb\nc\nd\n"


def test_spans_have_a_file_of_their_own(path: Path) -> None:
    spans = path.with_name("spans.jsonl")
    with opened(path, spans_path=str(spans)) as file:
        file.send(lines("log"))
        file.send(Payload("traces", b"span\n", 1))
    assert (path.read_text(), spans.read_text()) == ("log\n", "span\n")


def test_spans_without_a_file_are_refused(path: Path) -> None:
    with opened(path) as file:
        assert file.send(Payload("traces", b"span\n", 1)) == Delivery("refused", "no spans_path is set")
    assert path.read_text() == ""


def test_nobody_else_can_read_the_file_or_look_into_its_folder(path: Path) -> None:
    before = os.umask(0)
    try:
        with opened(path, max_bytes=1) as file:
            file.send(lines("a"))
            file.send(lines("b"))
    finally:
        os.umask(before)
    assert mode(path.parent) == 0o700
    assert {mode(one) for one in path.parent.iterdir()} == {0o600}
    assert len(list(path.parent.iterdir())) == 2


def test_a_file_that_was_there_becomes_private_and_keeps_its_lines(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    path.write_text("old\n")
    path.chmod(0o666)
    with opened(path) as file:
        file.send(lines("new"))
    assert (path.read_text(), mode(path), mode(path.parent)) == ("old\nnew\n", 0o600, 0o755)


def test_half_a_line_of_a_crash_does_not_take_the_next_with_it(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("whole\nhal")
    with opened(path) as file:
        file.send(lines("new"))
    assert path.read_text() == "whole\nhal\nnew\n"


def test_a_link_is_never_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    target = tmp_path / "shadow"
    target.write_text("precious")
    path.symlink_to(target)
    with pytest.raises(ConfigError, match=r"^path: .*events\.jsonl cannot be written: it is a symbolic link.*target"):
        File(config.File(path=str(path)))
    assert target.read_text() == "precious"


def test_two_settings_that_mean_one_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    first = config.File(path=f"{tmp_path}/events")
    for other, told in {
        f"{tmp_path}/events": f"{tmp_path}/events with sinks.a.path",
        f"{tmp_path}/link/events": f"{tmp_path}/events with sinks.a.path",
        f"{tmp_path}/events.5": f"{tmp_path}/events.5 with sinks.a.path",
        f"{tmp_path}/events.2.gz": f"{tmp_path}/events.2.gz with sinks.a.path",
    }.items():
        with pytest.raises(ConfigError) as caught:
            check_shared({"a": first, "b": config.File(path="/b", spans_path=other)})
        assert str(caught.value).startswith(f"b.spans_path: {other} would share {told}")
    apart = config.File(path=f"{tmp_path}/events.6", spans_path=f"{tmp_path}/other/events")
    check_shared({"a": first, "b": apart, "c": config.Stdout(), "d": config.Stdout()})


def test_a_link_put_there_later_is_not_followed_either(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "shadow"
    target.write_text("precious")
    with opened(path) as file:
        path.unlink()
        path.symlink_to(target)
        assert file.send(lines("a")).outcome == "retry"
        path.unlink()
        assert file.send(lines("a")).outcome == "accepted"
    assert (target.read_text(), path.read_text()) == ("precious", "a\n")


@pytest.mark.parametrize("kind", ["folder", "fifo", "below a file", "spans below a file"])
def test_a_path_that_can_be_no_file_stops_the_start(kind: str, path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    plain = tmp_path / "plain"
    plain.write_text("")
    settings = config.File(path=str(path))
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "below a file":
        settings = config.File(path=str(plain / "events.jsonl"))
    else:
        settings = config.File(path=str(path), spans_path=str(plain / "spans.jsonl"))
    where = "spans_path" if kind.startswith("spans") else "path"
    with pytest.raises(ConfigError, match=f"^{where}: .* cannot be written: "):
        File(settings)


def test_a_file_that_logrotate_moved_is_begun_anew(path: Path) -> None:
    with opened(path) as file:
        file.send(lines("a"))
        moved = path.rename(path.with_name("moved"))
        file.send(lines("b"))
        path.unlink()
        file.send(lines("c"))
        path.rename(path.with_name("other"))
        path.write_text("not ours\n")
        file.send(lines("d"))
    assert (moved.read_text(), path.read_text()) == ("a\n", "not ours\nd\n")
    assert mode(path) == 0o600


def test_a_folder_that_was_deleted_comes_back(path: Path) -> None:
    with opened(path) as file:
        path.unlink()
        path.parent.rmdir()
        assert file.send(lines("a")) == Delivery("accepted")
    assert path.read_text() == "a\n"


def test_a_disk_that_is_full_halfway_leaves_no_torn_line(path: Path) -> None:
    long = lines("x" * 5000)
    with opened(path) as file:
        file.send(lines("a"))
        with no_file_longer_than(1000):
            delivery = file.send(long)
            assert (delivery.outcome, path.read_text()) == ("retry", "a\n")
            assert delivery.reason == f"{path}: File too large"
        assert file.send(long) == Delivery("accepted")
    assert path.read_text() == "a\n" + "x" * 5000 + "\n"


def test_a_folder_nobody_can_make_is_a_retry_until_it_can(path: Path) -> None:
    with opened(path) as file:
        path.unlink()
        path.parent.rmdir()
        path.parent.write_text("in the way")
        assert file.send(lines("a")).outcome == "retry"
        path.parent.unlink()
        assert file.send(lines("a")).outcome == "accepted"
    assert path.read_text() == "a\n"


def test_what_was_compressed_for_another_transport_is_readable(path: Path) -> None:
    payload = Payload("logs", gzip.compress(b"a\nb\n"), 2, gzip=True, size=4)
    with opened(path) as file:
        assert not file.gzip
        assert file.send(payload) == Delivery("accepted")
        assert file.send(Payload("logs", b"damaged", 1, gzip=True)).outcome == "refused"
    assert path.read_text() == "a\nb\n"
