"""The directory of the pins where there is no bpffs; with one: tests/kernel/test_pins.py."""

from pathlib import Path

import pytest

from exporter.errors import KernelError
from exporter.source.pins import Pins, unload


def test_a_directory_elsewhere_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=r"is in no bpffs \(mount -t bpf bpf /sys/fs/bpf\)"):
        Pins(tmp_path / "pins")
    assert not (tmp_path / "pins").exists()


def test_what_is_not_there_needs_no_unloading(tmp_path: Path) -> None:
    assert unload(tmp_path / "pins") == []


def test_unload_touches_nothing_outside_a_bpffs(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("somebody's")
    with pytest.raises(KernelError, match="is in no bpffs"):
        unload(tmp_path)
    assert (tmp_path / "word").exists()
