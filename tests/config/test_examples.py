"""Every settings file that we ship, and the one in the README, is one that the agent takes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exporter import config

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "config").rglob("*.yaml"))
VARIABLES = {"NODE_NAME": "node-1", "FLUENT_SHARED_KEY": "a shared key", "FLUENT_PASSWORD": "a password"}


def check(path: Path) -> str:
    """What `podwitness check` says of it."""
    command = [str(Path(sys.executable).with_name("podwitness")), "check", "--config", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | VARIABLES)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def etc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands in for /etc/podwitness: with the keys and certificates that the examples name."""
    folder = tmp_path_factory.mktemp("etc")
    for name in ("keys", "tls"):
        (folder / name).mkdir(mode=0o700)
    new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=podwitness"
    openssl(folder, f"{new} -keyout tls/agent.key -out tls/agent.pem")
    shutil.copy(folder / "tls" / "agent.pem", folder / "tls" / "ca.pem")
    openssl(folder, "genpkey -algorithm ed25519 -out keys/chain.pem")
    openssl(folder, "rand -out keys/spool.key 32")
    for key in (*(folder / "keys").iterdir(), folder / "tls" / "agent.key"):
        key.chmod(0o600)
    return folder


def openssl(folder: Path, arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments.split()], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shipped_file_is_taken(path: Path, etc: Path, tmp_path: Path) -> None:
    (tmp_path / path.name).write_text(path.read_text().replace("/etc/podwitness", str(etc)))
    assert "ok" in check(tmp_path / path.name)


def test_the_first_look_leaves_nothing_outside_of_build() -> None:
    settings = config.load(ROOT / "config" / "default.yaml")
    assert settings.spool.mode == "memory"
    assert not settings.kernel.persist
    files = [
        path
        for sink in settings.sinks.values()
        if isinstance(sink, config.File)
        for path in (sink.path, sink.spans_path)
    ]
    assert all(path and path.startswith("build/") for path in files)


def test_the_settings_in_the_readme_are_taken(etc: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    said = []
    for block in blocks:
        (tmp_path / "readme.yaml").write_text(block.replace("/etc/podwitness", str(etc)))
        said.append(check(tmp_path / "readme.yaml").partition("sinks: ")[2].strip())
    assert said == ["collector, fluent, file, terminal", "terminal", "collector"]
