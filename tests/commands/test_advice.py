"""Rules on paths that match less than they seem to, on the files of a machine that the test makes."""

from pathlib import Path

import pytest

from exporter.commands.advice import advice
from exporter.config import Observe
from exporter.config_observe import Files, Places


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "usr" / "bin").mkdir(parents=True)
    (tmp_path / "usr" / "bin" / "cat").touch()
    (tmp_path / "bin").symlink_to("usr/bin")
    return tmp_path


@pytest.mark.parametrize("path", ["bin/cat", "bin/", "bin/c*"])
def test_a_path_through_a_link_is_told_with_the_one_that_the_kernel_tells(folder: Path, path: str) -> None:
    assert list(advice(Observe(binaries=Places(exclude=(f"{folder}/{path}",))))) == [
        (
            f"observe.binaries.exclude: {folder}/{path} leads to {folder}/usr/{path} here, and that is the path "
            "which the kernel tells"
        )
    ]


def test_a_directory_without_its_slash_is_told_with_it(folder: Path) -> None:
    (line,) = advice(Observe(files=Files(paths=Places(include=(f"{folder}/usr",)))))
    assert line == (
        f"observe.files.paths.include: {folder}/usr is a directory here, and only itself is meant: write {folder}/usr/ "
        "for all beneath it"
    )


@pytest.mark.parametrize("path", ["usr/", "usr/bin/cat", "usr/bin/c*", "none", "none/", "none/a*"])
def test_of_the_rest_nothing_is_said(folder: Path, path: str) -> None:
    assert list(advice(Observe(binaries=Places(include=("/", "/*", f"{folder}/{path}"))))) == []


def test_a_path_that_leads_round_in_a_circle_is_no_end_of_the_agent(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    assert list(advice(Observe(binaries=Places(include=(f"{tmp_path}/circle", f"{tmp_path}/circle/file"))))) == []
