"""The objects kept of a generation."""

import stat
from pathlib import Path

import pytest

from exporter.errors import KernelError
from exporter.source.kept import Kept, drop_objects, keep_objects, kept_types
from exporter.source.programs import objects_directory

OBJECT = objects_directory() / "process.bpf.o"
MINUTE = 60.0


def test_what_is_kept_has_the_types_and_is_the_agents_own(tmp_path: Path) -> None:
    keep = tmp_path / "objects"
    for name in ("aaa", "bbb"):
        keep_objects(keep, name, [OBJECT])
    assert kept_types(keep, "aaa")["process"].size("process_exit") > 0
    assert stat.S_IMODE((keep / "aaa").stat().st_mode) == 0o700
    drop_objects(keep, ["bbb"])
    assert [path.name for path in keep.iterdir()] == ["bbb"]


@pytest.mark.parametrize("damage", [b"", b"no object", OBJECT.read_bytes()[:5000]])
def test_damaged_objects_are_as_good_as_gone(tmp_path: Path, damage: bytes) -> None:
    keep_objects(tmp_path, "aaa", [OBJECT])
    (tmp_path / "aaa" / OBJECT.name).write_bytes(damage)
    assert kept_types(tmp_path, "aaa") == {}
    assert kept_types(tmp_path, "never") == {}


def test_where_nothing_can_be_kept_the_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("a file")
    with pytest.raises(KernelError, match=f"{tmp_path}/objects/aaa: programs cannot be kept: "):
        keep_objects(tmp_path / "objects", "aaa", [OBJECT])


def test_a_disk_that_takes_nothing_is_said_once_and_tried_again_each_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    kept = Kept(tmp_path / "objects", "aaa", [OBJECT], now=lambda: now)
    (tmp_path / "objects").write_text("a file")
    for now in (0.0, 1.0, MINUTE, 2 * MINUTE):  # noqa: B007
        kept.keep()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    (tmp_path / "objects").unlink()
    kept.keep()
    assert kept_types(tmp_path / "objects", "aaa") == {}  # the minute is not over
    now = 3 * MINUTE
    kept.keep()
    assert "process" in kept.types("aaa")


def test_a_damaged_copy_is_made_anew(tmp_path: Path) -> None:
    keep_objects(tmp_path, "aaa", [OBJECT])
    (tmp_path / "aaa" / OBJECT.name).write_bytes(b"")
    Kept(tmp_path, "aaa", [OBJECT]).keep()
    assert (tmp_path / "aaa" / OBJECT.name).read_bytes() == OBJECT.read_bytes()


def test_a_place_that_cannot_be_looked_at_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match="cannot be tidied up: "):
        drop_objects(tmp_path / ("x" * 300), [])
