"""Sockets that bind and listen, as the real probes tell of them."""

import socket
from pathlib import Path

import pytest

from exporter.model import Value
from tests.kernel.recorded import recording, settings
from tests.kernel.test_network import FAMILIES, N, inode, netns, ours

pytestmark = pytest.mark.kernel


def test_23_sockets_that_bind_and_listen_have_the_port_that_the_kernel_chose(tmp_path: Path) -> None:
    bound: list[dict[str, Value]] = []
    listening: list[dict[str, Value]] = []
    with recording(tmp_path, settings("network.bind", "network.listen")) as finish:
        for backlog in range(N):
            family, address, told_as = FAMILIES[backlog % len(FAMILIES)]
            with socket.socket(family, socket.SOCK_STREAM) as one:
                one.bind((address, 0))
                one.listen(backlog)
                event: dict[str, Value] = {
                    "network.local.address": told_as,
                    "network.local.port": one.getsockname()[1],
                    "network.type": "ipv6" if ":" in told_as else "ipv4",
                    "network.transport": "tcp",
                    "podwitness.network.protocol": "IPPROTO_TCP",
                    "podwitness.network.namespace": netns(),
                    "podwitness.network.socket.inode": str(inode(one)),
                }
                bound.append(event)
                listening.append(event | {"network.connection.state": "listen", "podwitness.network.backlog": backlog})
        told = finish()
    assert ours(told, "network.bind") == bound
    assert ours(told, "network.listen") == listening


def test_a_bind_that_is_refused_says_why_and_what_was_asked_for(tmp_path: Path) -> None:
    with recording(tmp_path, settings("network.bind")) as finish, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        for _ in range(N):
            with socket.socket() as one, pytest.raises(OSError, match="in use"):
                one.bind(taken.getsockname())
        told, port = finish(), taken.getsockname()[1]
    found = [event for event in ours(told, "network.bind") if "error.type" in event]
    assert [(event["network.local.address"], event["network.local.port"], event["error.type"]) for event in found] == [
        ("127.0.0.1", port, "EADDRINUSE")
    ] * N


def test_the_device_that_a_socket_is_bound_to_is_told_by_its_name(tmp_path: Path) -> None:
    with recording(tmp_path, settings("network.bind")) as finish:
        for _ in range(N):
            with socket.socket() as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
                one.bind(("127.0.0.1", 0))
        told = finish()
    assert [event["network.interface.name"] for event in ours(told, "network.bind")] == ["lo"] * N
