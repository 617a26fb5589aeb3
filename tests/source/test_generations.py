"""What makes a generation, and the objects kept of it."""

import shutil
import stat
from pathlib import Path

import pytest

from exporter.errors import KernelError
from exporter.model import Ring
from exporter.source.generations import drop_objects, identity, keep_objects, kept_types
from exporter.source.programs import objects_directory

OBJECT = objects_directory() / "process.bpf.o"
CONSTANTS = {"hierarchy": b"\0"}
SIZES: dict[Ring, int] = {"lifecycle": 4096, "activity": 4096}


def test_the_same_objects_constants_and_sizes_are_the_same_wherever_the_objects_are(tmp_path: Path) -> None:
    copy = tmp_path / OBJECT.name
    shutil.copyfile(OBJECT, copy)
    name = identity([OBJECT], CONSTANTS, SIZES)
    assert len(name) == 12
    assert int(name, 16) >= 0
    assert identity([copy], CONSTANTS, SIZES) == name
    copy.write_bytes(OBJECT.read_bytes() + b"\0")
    others = [
        identity([copy], CONSTANTS, SIZES),
        identity([OBJECT, copy], CONSTANTS, SIZES),
        identity([OBJECT], {"hierarchy": b"\1"}, SIZES),
        identity([OBJECT], CONSTANTS, {**SIZES, "activity": 8192}),
    ]
    assert len({name, *others}) == 5


def test_what_is_kept_has_the_types_and_is_the_agents_own(tmp_path: Path) -> None:
    keep = tmp_path / "objects"
    for name in ("aaa", "bbb"):
        keep_objects(keep, name, [OBJECT])
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
