"""`unload` where there is nothing to take out of the kernel; where there is: tests/kernel/test_pins.py."""

from pathlib import Path

from tests.terminal import TO_STDOUT, podwitness, written


def test_a_directory_that_does_not_exist_is_named_and_no_error(tmp_path: Path) -> None:
    pins = tmp_path / "pins"
    path = written(tmp_path, f"{TO_STDOUT}\nkernel: {{pin_path: {pins}}}")
    for _ in range(2):
        done = podwitness("unload", "--config", path)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == f"podwitness: nothing is pinned: the directory {pins} does not exist\n"
