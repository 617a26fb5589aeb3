"""Rules on ports and addresses: which end of a connection they are about."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.recorded import attributes, recording, settings
from tests.kernel.test_network import N, listening

pytestmark = pytest.mark.kernel

CONNECTIONS = ("network.connect", "network.accept", "network.close")


def told(folder: Path, network: dict[str, Any], port: int) -> dict[str, int]:
    """How often each kind is told of 23 connections to and from this process, to `port`."""
    ruled = json.loads(settings(*CONNECTIONS))
    ruled["observe"]["network"] = network
    with recording(folder, json.dumps(ruled)) as finish, listening(socket.AF_INET, "127.0.0.1", port=port) as listener:
        for _ in range(N):
            with socket.create_connection(listener.getsockname()), listener.accept()[0]:
                pass
        seen = finish()
    found = [attributes(event) | {"kind": event.kind.name} for event in seen.events if event.pid == os.getpid()]
    kinds = [event["kind"] for event in found if event.get("server.port") == port]
    return {kind: kinds.count(kind) for kind in CONNECTIONS}


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_23_connections_to_a_port_that_is_named_are_told_from_both_sides(tmp_path: Path, port: int) -> None:
    expected = {"network.connect": N, "network.accept": N, "network.close": 2 * N}
    assert told(tmp_path, {"ports": {"include": [port]}}, port) == expected


def test_23_connections_to_a_port_that_is_left_out_are_told_from_neither(tmp_path: Path, port: int) -> None:
    assert told(tmp_path, {"ports": {"exclude": [port]}}, port) == dict.fromkeys(CONNECTIONS, 0)


def test_23_connections_by_a_port_that_only_the_client_has_are_told(tmp_path: Path, port: int) -> None:
    """Whoever connects chooses it: a rule on it would let him go unseen."""
    ruled = json.loads(settings("network.accept"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
    ruled["observe"]["network"] = {"ports": {"exclude": [own]}}
    with recording(tmp_path, json.dumps(ruled)) as finish, listening(socket.AF_INET, "127.0.0.1", port=port) as server:
        for _ in range(N):
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.bind(("127.0.0.1", own))
                client.connect(server.getsockname())
                server.accept()[0].close()
        seen = finish()
    found = [attributes(event) for event in seen.of("network.accept") if event.pid == os.getpid()]
    assert [event["client.port"] for event in found] == [own] * N


@pytest.mark.parametrize(("networks", "times"), [(["::/0"], 0), (["::/0", "127.0.0.0/8"], 1)])
def test_all_of_ipv6_is_not_ipv4(tmp_path: Path, port: int, networks: list[str], times: int) -> None:
    expected = {"network.connect": N * times, "network.accept": N * times, "network.close": 2 * N * times}
    assert told(tmp_path, {"addresses": {"include": networks}}, port) == expected
