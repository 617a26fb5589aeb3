"""The unit of deploy/systemd: one that systemd takes, and that gives the agent what it asks for."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exporter import config, resident

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "podwitness.service"
MIB = 1 << 20


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    return unit["Service"]


def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path, service: configparser.SectionProxy) -> None:
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is not installed")
    program = service["ExecStart"].split()[0]  # not installed there
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(program, str(Path(sys.executable).with_name("podwitness"))))

    done = subprocess.run([analyze, "verify", str(unit)], check=False, capture_output=True, text=True)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_its_directories_are_those_of_the_settings(service: configparser.SectionProxy) -> None:
    assert config.Spool().path == f"/var/lib/{service['StateDirectory']}"
    assert Path(config.File().path).parent.as_posix() == f"/var/log/{service['LogsDirectory']}"
    assert Path(config.Kernel().pin_path).parent.as_posix() in service["ReadWritePaths"]
    assert "ProtectKernelTunables" not in service, "it makes bpffs read-only: seen on systemd 252"
    assert service["StateDirectoryMode"] == service["LogsDirectoryMode"] == "0700"


def test_it_waits_for_the_end_and_has_memory_above_the_ceiling(service: configparser.SectionProxy) -> None:
    allowed, limit = int(service["MemoryMax"].removesuffix("M")) * MIB, config.Memory().limit_bytes

    assert int(service["TimeoutStopSec"]) > 2 * config.Queue().shutdown_seconds
    assert resident.ceiling(limit, allowed) == limit
