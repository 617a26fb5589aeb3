"""What makes a generation."""

import shutil
from pathlib import Path

from exporter.model import Ring
from exporter.source.generations import identity
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
