"""Connections as the real probes tell of them: connect, accept, close, over loopback."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from exporter.model import Value
from tests.kernel.recorded import Told, attributes, recording, settings

pytestmark = pytest.mark.kernel

N = 23
BROADCAST = "255.255.255.255"  # TCP has none
CONNECTIONS = settings("network.connect", "network.accept", "network.close")
Address = tuple[Any, ...]
FAMILIES = [
    (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
    (socket.AF_INET6, "::1", "::1"),
    (socket.AF_INET6, "::ffff:127.0.0.1", "127.0.0.1"),
]
"""The address as the program spells it, and as it is told."""
SPELT = pytest.mark.parametrize(("family", "address", "told_as"), FAMILIES, ids=["IPv4", "IPv6", "IPv4 as IPv6"])


def inode(one: socket.socket) -> int:
    """As /proc has it."""
    return int(str(Path(f"/proc/self/fd/{one.fileno()}").readlink()).removeprefix("socket:[").removesuffix("]"))


def netns() -> int:
    return Path("/proc/self/ns/net").stat().st_ino


def ours(told: Told, kind: str, *, pid: int = 0) -> list[dict[str, Value]]:
    return [attributes(event) for event in told.of(kind) if event.pid == (pid or os.getpid())]


@contextmanager
def listening(family: int, address: str, *, protocol: int = 0, port: int = 0) -> Iterator[socket.socket]:
    with socket.socket(family, socket.SOCK_STREAM, protocol) as listener:
        listener.bind((address, port))
        listener.listen(N)
        yield listener


def ends(kind: str, local: Address, peer: Address, address: str) -> dict[str, Value]:
    """The attributes of both ends; `address` is how both are told."""
    version = "ipv6" if ":" in address else "ipv4"
    mine, theirs = ("client", "server") if kind == "outbound" else ("server", "client")
    return {
        "network.local.address": address, "network.local.port": local[1],
        "network.peer.address": address, "network.peer.port": peer[1],
        f"{mine}.address": address, f"{mine}.port": local[1],
        f"{theirs}.address": address, f"{theirs}.port": peer[1],
        "network.transport": "tcp", "network.type": version,
        "podwitness.network.direction": kind,
        "podwitness.network.protocol": "IPPROTO_TCP",
        "podwitness.network.namespace": netns(),
    }  # fmt: skip


def without(event: dict[str, Value], *names: str) -> dict[str, Value]:
    assert set(names) <= event.keys(), event
    return {name: value for name, value in event.items() if name not in names}


@SPELT
def test_23_connections_are_23_connects_23_accepts_and_46_closes_with_the_bytes_both_ways(
    tmp_path: Path, family: int, address: str, told_as: str
) -> None:
    truth: dict[str, list[dict[str, Value]]] = {"connect": [], "accept": [], "close": []}
    with recording(tmp_path, CONNECTIONS) as finish, listening(family, address) as listener:
        for number in range(N):
            client = socket.create_connection(listener.getsockname()[:2])
            server, _peer = listener.accept()
            here, there = client.getsockname(), server.getsockname()
            out = ends("outbound", here, there, told_as)
            back = ends("inbound", there, here, told_as)
            state = {"network.connection.state": "established"}
            truth["connect"].append(out | state | {"podwitness.network.socket.inode": str(inode(client))})
            truth["accept"].append(back | state | {"podwitness.network.socket.inode": str(inode(server))})
            client.sendall(b"q" * (number + 1))
            assert len(server.recv(100)) == number + 1
            server.sendall(b"a" * (1000 + number))
            assert len(client.recv(2000)) == 1000 + number
            client.close()
            assert server.recv(1) == b""
            server.close()
            for end, sent, received in ((out, number + 1, 1000 + number), (back, 1000 + number, number + 1)):
                truth["close"].append(
                    end
                    | {
                        "network.connection.state": "closed",
                        "podwitness.network.bytes_sent": sent,
                        "podwitness.network.bytes_received": received,
                    }
                )
        told = finish()
    port = listener_port(truth)
    connects = [event for event in ours(told, "network.connect") if event["server.port"] == port]
    assert all(0 < int(str(event["podwitness.network.connect_latency_ns"])) < 10**10 for event in connects)
    assert [without(event, "podwitness.network.connect_latency_ns") for event in connects] == truth["connect"]
    assert [event for event in ours(told, "network.accept") if event["server.port"] == port] == truth["accept"]
    closes = [event for event in ours(told, "network.close") if event["server.port"] == port]
    assert all(int(str(event["podwitness.network.duration_ns"])) > 0 for event in closes)
    plain = [
        {
            k: v
            for k, v in event.items()
            if k not in ("podwitness.network.duration_ns", "podwitness.network.socket.inode")
        }
        for event in closes
    ]
    assert sorted(plain, key=repr) == sorted(truth["close"], key=repr)


def listener_port(truth: dict[str, list[dict[str, Value]]]) -> Value:
    return truth["connect"][0]["server.port"]


def blocking(family: int, address: Address) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.connect(address)


def by_asyncio(_family: int, address: Address) -> None:
    async def connect() -> None:
        _reader, writer = await asyncio.open_connection(*address[:2])
        writer.close()

    asyncio.run(connect())


@pytest.mark.parametrize("connect", [blocking, by_asyncio])
def test_23_refused_connections_are_told_once_each_with_the_reason(
    tmp_path: Path, connect: Callable[[int, Address], None]
) -> None:
    truth = []
    with recording(tmp_path, CONNECTIONS) as finish:
        for number in range(N):
            family, address, told_as = FAMILIES[number % len(FAMILIES)]
            with socket.socket(family, socket.SOCK_STREAM) as nobody:
                nobody.bind((address, 0))  # bound, not listening: nobody else gets the port, and nobody answers
                with pytest.raises(ConnectionRefusedError):
                    connect(family, nobody.getsockname())
                truth.append((told_as, nobody.getsockname()[1], "ECONNREFUSED", "closed"))
        told = finish()
    names = ("server.address", "server.port", "error.type", "network.connection.state")
    assert [tuple(event.get(name) for name in names) for event in ours(told, "network.connect")] == truth
    assert not ours(told, "network.close")


def test_a_connection_that_does_not_wait_is_told_when_its_outcome_is_known(tmp_path: Path) -> None:
    with recording(tmp_path, CONNECTIONS) as finish, listening(socket.AF_INET, "127.0.0.1") as listener:
        for _ in range(N):
            with socket.socket() as one:
                one.setblocking(False)
                assert one.connect_ex(listener.getsockname()) == errno.EINPROGRESS
                listener.accept()[0].close()
                assert one.connect_ex(listener.getsockname()) in (0, errno.EISCONN)
        port = listener.getsockname()[1]
        told = finish()
    found = [event for event in ours(told, "network.connect") if event["server.port"] == port]
    assert [event["network.connection.state"] for event in found] == ["established"] * N
    assert not [event for event in found if "error.type" in event]


def test_what_fails_before_it_has_begun_is_told_with_its_reason_and_what_was_asked_for(tmp_path: Path) -> None:
    with recording(tmp_path, CONNECTIONS) as finish:
        for number in range(N):
            with socket.socket() as one, pytest.raises(OSError, match="unreachable"):
                one.connect((BROADCAST, 4000 + number))
        told = finish()
    found = [event for event in ours(told, "network.connect") if event["server.address"] == BROADCAST]
    assert [(event["server.port"], event["error.type"]) for event in found] == [
        (4000 + number, "ENETUNREACH") for number in range(N)
    ]


def test_a_program_that_closes_before_the_answer_has_given_up(tmp_path: Path) -> None:
    with recording(tmp_path, CONNECTIONS) as finish, ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        stack.enter_context(socket.create_connection(listener.getsockname()))  # fills the queue
        for _ in range(N):
            with socket.socket() as one:
                one.setblocking(False)
                assert one.connect_ex(listener.getsockname()) == errno.EINPROGRESS
        told, port = finish(), listener.getsockname()[1]
    found = [event for event in ours(told, "network.connect") if event["server.port"] == port]
    assert [event.get("error.type") for event in found] == [None, *["ECANCELED"] * N]


def test_a_connection_belongs_to_who_opened_it_also_when_another_closes_it(tmp_path: Path) -> None:
    with recording(tmp_path, CONNECTIONS) as finish, listening(socket.AF_INET, "127.0.0.1") as listener:
        for _ in range(N):
            client = socket.create_connection(listener.getsockname())
            server, _address = listener.accept()
            child = os.fork()
            if not child:
                client.shutdown(socket.SHUT_RDWR)
                os._exit(0)
            client.close()
            os.waitpid(child, 0)
            assert server.recv(1) == b""
            server.close()
        told, port = finish(), listener.getsockname()[1]
    closes = [event for event in ours(told, "network.close") if event["server.port"] == port]
    assert [event["podwitness.network.direction"] for event in closes].count("outbound") == N


def test_a_connection_that_is_reset_says_so_at_its_end(tmp_path: Path) -> None:
    with recording(tmp_path, CONNECTIONS) as finish, listening(socket.AF_INET, "127.0.0.1") as listener:
        for _ in range(N):
            with socket.create_connection(listener.getsockname()) as client:
                server, _address = listener.accept()
                server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                server.close()
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
        told, port = finish(), listener.getsockname()[1]
    closes = [event for event in ours(told, "network.close") if event["server.port"] == port]
    assert [e.get("error.type") for e in closes if e["podwitness.network.direction"] == "outbound"] == [
        "ECONNRESET"
    ] * N


def test_datagram_sockets_are_connected_too(tmp_path: Path) -> None:
    truth = []
    with recording(tmp_path, CONNECTIONS) as finish:
        for number in range(N):
            family, address, told_as = FAMILIES[number % len(FAMILIES)]
            with socket.socket(family, socket.SOCK_DGRAM) as peer, socket.socket(family, socket.SOCK_DGRAM) as one:
                peer.bind((address, 0))
                one.connect(peer.getsockname())
                truth.append(
                    ends("outbound", one.getsockname(), peer.getsockname(), told_as)
                    | {
                        "network.transport": "udp",
                        "podwitness.network.protocol": "IPPROTO_UDP",
                        "podwitness.network.socket.inode": str(inode(one)),
                    }
                )
        told = finish()
    assert ours(told, "network.connect") == truth


def test_tcp_fast_open_is_a_connection_like_others(tmp_path: Path) -> None:
    with recording(tmp_path, CONNECTIONS) as finish, listening(socket.AF_INET, "127.0.0.1") as listener:
        for _ in range(N):
            with socket.socket() as one:
                one.sendto(b"early", socket.MSG_FASTOPEN, listener.getsockname())
                server, _address = listener.accept()
                assert server.recv(9) == b"early"
                server.close()
        told, port = finish(), listener.getsockname()[1]
    found = [event for event in ours(told, "network.connect") if event["server.port"] == port]
    assert [event["network.connection.state"] for event in found] == ["established"] * N


def test_a_connection_of_several_paths_is_one_and_says_what_it_is(tmp_path: Path) -> None:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP).close()
    except OSError:
        pytest.skip("this kernel has no MPTCP")
    with (
        recording(tmp_path, CONNECTIONS) as finish,
        listening(socket.AF_INET, "127.0.0.1", protocol=socket.IPPROTO_MPTCP) as listener,
    ):
        for _ in range(N):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP) as one:
                one.connect(listener.getsockname())
                server, _address = listener.accept()
                server.close()
        told, port = finish(), listener.getsockname()[1]
    for kind in ("network.connect", "network.accept"):
        found = [event for event in ours(told, kind) if event["server.port"] == port]
        assert [
            (event["podwitness.network.protocol"], event["network.transport"], event["server.address"])
            for event in found
        ] == [("IPPROTO_MPTCP", "tcp", "127.0.0.1")] * N
