"""Every settings file that we ship, and the one in the README, is one that the agent takes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "config").rglob("*.yaml"))


def check(path: Path) -> str:
    """What `podwitness check` says of it."""
    command = [str(Path(sys.executable).with_name("podwitness")), "check", "--config", str(path)]
    environment = os.environ | {"NODE_NAME": "node-1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shipped_file_is_taken(path: Path) -> None:
    assert "ok" in check(path)


def test_the_settings_in_the_readme_are_taken(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "readme.yaml").write_text(block)
    assert "collector, fluent, file, terminal" in check(tmp_path / "readme.yaml")
