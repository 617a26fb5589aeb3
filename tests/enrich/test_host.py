"""The attributes of this machine."""

import os
import re
import socket
from pathlib import Path

import pytest

from exporter.config import Kubernetes
from exporter.enrich.host import host_attributes, node_name

ENUM = {"amd64", "arm32", "arm64", "ia64", "ppc32", "ppc64", "s390x", "x86"}


def test_this_machine_is_described_in_opentelemetrys_words() -> None:
    found = host_attributes()

    assert found["os.type"] == "linux"
    assert found["host.name"]
    if os.uname().machine in ("x86_64", "aarch64"):
        assert found["host.arch"] in ENUM
    assert re.fullmatch("[0-9a-f]{32}", str(found.get("host.id", "0" * 32)))


def host_proc(folder: Path) -> Path:
    """The host's /proc as an agent in a container sees it: its first process is elsewhere."""
    etc = folder / "1/root/etc"
    etc.mkdir(parents=True)
    (folder / "1/ns").mkdir()
    (folder / "1/ns/uts").touch()
    (etc / "hostname").write_text("the-host\n")
    (etc / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    return folder


def test_in_a_container_name_and_id_are_the_hosts(tmp_path: Path) -> None:
    found = host_attributes(host_proc(tmp_path))

    assert found["host.name"] == "the-host"
    assert found["host.id"] == "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("content", ["uninitialized\n", "", "x" * 32, "01"])
def test_what_is_no_machine_id_is_not_told_as_one(tmp_path: Path, content: str) -> None:
    proc = host_proc(tmp_path)
    (proc / "1/root/etc/machine-id").write_text(content)

    assert host_attributes(proc).get("host.id") != content.strip()


def test_where_the_host_cannot_be_seen_the_own_name_is_taken(tmp_path: Path) -> None:
    assert host_attributes(tmp_path)["host.name"] == socket.gethostname()


def test_the_nodes_name_is_the_setting_then_the_environment_then_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_NAME", "from-environment")
    assert node_name(Kubernetes(node_name="set")) == "set"
    assert node_name(Kubernetes()) == "from-environment"
    monkeypatch.delenv("NODE_NAME")
    assert node_name(Kubernetes()) == socket.gethostname()
