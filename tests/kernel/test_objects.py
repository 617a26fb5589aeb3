"""Objects that a disk or an upgrade has spoiled: what needs them is not seen, all else is."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from exporter import config, probes
from exporter.errors import KernelError
from exporter.model import Kind
from exporter.source.objects import objects_directory
from exporter.source.programs import Asked, Cgroups, Kernel
from exporter.source.survey import survey

pytestmark = pytest.mark.kernel

KINDS: tuple[Kind, ...] = (*probes.LIFE, *(kind for kind in probes.KINDS if kind.name in ("file.memfd", "file.open")))
WHAT_TO_DO = "build it again with `make setup`, or install podwitness again"


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    for path in objects_directory().glob("*.bpf.o"):
        shutil.copy(path, tmp_path)
    return tmp_path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


def opened(objects: Path, *, strict: bool = False) -> Kernel:
    settings = config.Kernel(strict=strict, activity_ring_bytes=65536, lifecycle_ring_bytes=65536)
    return Kernel.open(settings, Cgroups("v2", lambda _path: False), Asked(KINDS), objects)


@pytest.mark.parametrize("spoil", [cut, Path.unlink], ids=["cut", "gone"])
def test_a_type_whose_object_is_spoiled_is_not_seen_and_all_others_are(objects: Path, spoil: object) -> None:
    assert callable(spoil)
    spoil(objects / "memfd.bpf.o")
    with closing(opened(objects)) as kernel:
        reasons = {probe.type: probe.reason for probe in kernel.probes}
    assert [name for name, reason in reasons.items() if reason] == ["file.memfd"]
    assert reasons["file.memfd"].startswith(f"{objects}/memfd.bpf.o: ")
    assert WHAT_TO_DO in reasons["file.memfd"]
    assert {one.type: one.reason for one in survey(KINDS, objects)} == reasons


@pytest.mark.parametrize("name", ["process", "snapshot", "call"])
def test_without_what_all_need_nothing_begins_and_it_says_what_to_do(objects: Path, name: str) -> None:
    cut(objects / f"{name}.bpf.o")
    with pytest.raises(KernelError, match=f"{name}.bpf.o: cannot be opened: .*{WHAT_TO_DO}"):
        opened(objects)


def test_who_is_strict_is_refused(objects: Path) -> None:
    cut(objects / "memfd.bpf.o")
    with pytest.raises(KernelError, match=r"file.memfd: cannot be seen here: .*observe.types.exclude"):
        opened(objects, strict=True)
