"""What each process did with each remote end, as the real probes count it: nobody has to look meanwhile."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from exporter import probes
from exporter.config import parse
from exporter.enrich.cgroups import choose
from exporter.errors import KernelError
from exporter.source import descriptors
from exporter.source.destinations import Destination, Destinations
from exporter.source.programs import Asked, Cgroups, Kernel
from tests.waiting import SLOWER, wait_for

pytestmark = pytest.mark.kernel

N = 23
QUESTION, ANSWER = b"q" * 1000, b"a" * 30_000
CLIENT = """
import socket, sys
port, times = map(int, sys.argv[1:])
for _ in range(times):
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.sendall(b"q" * 1000)
        while one.recv(65536):
            pass
"""


def settings(**network: Any) -> str:
    """Connections are counted, under these rules."""
    observe = {"network": {"metrics": True} | network}
    return json.dumps({"sinks": {}, "observe": observe, "telemetry": {"metrics_endpoint": "http://127.0.0.1:1"}})


class Counting(NamedTuple):
    """Probes that are attached."""

    destinations: Destinations
    kernel: Kernel

    def of(self, port: int, pid: int = 0) -> list[Destination]:
        """What was counted of connections to a port, of one process."""
        return [one for one in self.destinations.read() if one.port == port and pid in (0, one.pid)]

    def wait_for(self, port: int, ready: Callable[[Destination], bool], pid: int = 0) -> Destination:
        """The one entry of a port, once it is `ready`: a connection may end after its last byte was read."""
        wait_for(lambda: [ready(one) for one in self.of(port, pid)] == [True], f"it is counted: {self.of(port, pid)}")
        (found,) = self.of(port, pid)
        return found


@contextmanager
def counting(text: str = "") -> Iterator[Counting]:
    """This process and its children are observed, unlike an agent and its own."""
    config = parse(text or settings(), where="test")
    tree = choose("auto", Path(config.kernel.cgroup_root))
    kernel = Kernel.open(
        config.kernel,
        Cgroups(tree.name, lambda _path: False, tree.mount),
        Asked((*probes.LIFE,), config.observe),
    )
    try:
        kernel._attached.current.reader.set("agent_tgid", 0)
        yield Counting(kernel.destinations, kernel)
    finally:
        kernel.close()


@contextmanager
def answering() -> Iterator[int]:
    """A server that reads a question and gives a longer answer, until the end of the block; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    one, _peer = listener.accept()
                except OSError:
                    return
                with one:
                    got = 0
                    while got < len(QUESTION):
                        got += len(one.recv(65536))
                    one.sendall(ANSWER)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def client(port: int, times: int = N) -> int:
    """Another process, which connects so often, one after the other; its id."""
    process = subprocess.Popen([sys.executable, "-S", "-c", CLIENT, str(port), str(times)])
    assert process.wait(60 * SLOWER) == 0
    return process.pid


def test_23_connections_are_counted_with_their_latencies_and_the_bytes_both_ways() -> None:
    with counting() as counted, answering() as port:
        pid = client(port)
        found = counted.wait_for(port, lambda one: one.ended == N)
    assert (found.pid, found.established, found.failed, found.begun) == (pid, N, 0, N)
    assert (found.sent, found.received) == (N * len(QUESTION), N * len(ANSWER))
    assert IPv6Address(found.address) == IPv6Address("::ffff:127.0.0.1")
    assert found.protocol == socket.IPPROTO_TCP
    assert sum(found.latencies) == N
    least = sum(count * (2 ** (bits - 1) if bits else 0) for bits, count in enumerate(found.latencies)) * 1000
    most = sum(count * 2**bits for bits, count in enumerate(found.latencies[:-1])) * 1000
    assert least < found.latency <= most


def test_23_refused_connections_are_failures_without_a_latency() -> None:
    with counting() as counted, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        script = f"import socket\nfor _ in range({N}): assert socket.socket().connect_ex(('127.0.0.1', {port}))"
        subprocess.run([sys.executable, "-S", "-c", script], check=True)
        (found,) = counted.of(port)
    assert (found.established, found.failed, found.begun, found.ended) == (0, N, 0, 0)
    assert not any(found.latencies)


def test_what_fails_before_it_has_begun_counts_too_and_a_datagram_socket_waits_for_nothing() -> None:
    script = f"""
import socket
for _ in range({N}):
    assert socket.socket().connect_ex(("255.255.255.255", 4007))
    socket.socket(type=socket.SOCK_DGRAM).connect(("127.0.0.1", 4009))
"""
    with counting() as counted:
        process = subprocess.Popen([sys.executable, "-S", "-c", script])
        assert process.wait(60 * SLOWER) == 0
        (unreachable,) = counted.of(4007, process.pid)
        (datagrams,) = counted.of(4009, process.pid)
    assert (unreachable.established, unreachable.failed) == (0, N)
    assert (datagrams.established, datagrams.failed, datagrams.begun) == (N, 0, 0)
    assert datagrams.protocol == socket.IPPROTO_UDP
    assert not any(datagrams.latencies)


def test_two_processes_have_numbers_of_their_own() -> None:
    with counting() as counted, answering() as port:
        pids = [client(port, times) for times in (N, 2 * N)]
        for pid, times in zip(pids, (N, 2 * N), strict=True):
            found = counted.wait_for(port, lambda one, times=times: one.ended == times, pid)  # type: ignore[misc]
            assert (found.established, found.received) == (times, times * len(ANSWER))


def test_a_port_that_a_rule_leaves_out_is_not_counted() -> None:
    with answering() as port, answering() as other, counting(settings(ports={"exclude": [port]})) as counted:
        client(port)
        client(other)
        counted.wait_for(other, lambda one: one.ended == N)
        assert counted.of(port) == []


def test_what_finds_no_room_is_counted_with_the_rest_and_sums_stay_right() -> None:
    with counting() as counted, answering() as port:
        filled = fill(counted.destinations)
        pid = client(port)
        (rest,) = wait_for(
            lambda: [one for one in counted.destinations.read() if one.is_rest and one.ended >= N], "the rest"
        )
        assert counted.of(port, pid) == []
        assert rest.established >= N
        assert rest.received >= N * len(ANSWER)
        assert len(counted.destinations.read()) > filled


def test_a_process_with_thousands_of_destinations_takes_its_share_and_no_more() -> None:
    share, more = 512, 100  # a sixteenth of the room
    greedy = f"""
import socket, sys
for number in range({share + more}):
    with socket.socket() as one:
        one.connect_ex((f"127.9.{{number // 250}}.{{number % 250 + 1}}", int(sys.argv[1])))
sys.stdin.read()
"""
    with counting() as counted, answering() as port, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        process = subprocess.Popen([sys.executable, "-c", greedy, str(nobody.getsockname()[1])], stdin=subprocess.PIPE)
        (rest,) = wait_for(
            lambda: [one for one in counted.destinations.read() if one.pid == process.pid and one.is_overflow
                     and one.failed == more],
            "what is beyond its share",
        )  # fmt: skip
        own = [one for one in counted.destinations.read() if one.pid == process.pid and not one.is_overflow]
        pid = client(port)
        counted.wait_for(port, lambda one: one.ended == N, pid)
        process.communicate()
    assert not rest.is_rest
    assert [one.failed for one in own] == [1] * share


def fill(destinations: Destinations) -> int:
    """Take all the room that is left; how many entries that made."""
    (rest,) = [one for one in destinations.read() if one.is_rest]
    value = destinations._value.pack(*[1] * 9, bytes(8 * len(rest.latencies)))
    for number in range(1, 100_000):
        key = number.to_bytes(8, "little").ljust(destinations._key.size, b"\xff")
        try:
            descriptors.put_new(destinations._fd, key, value)
        except KernelError:
            return number - 1
    raise AssertionError("there is no end of room")


def test_an_entry_that_is_taken_out_begins_again() -> None:
    with counting() as counted, answering() as port:
        pid = client(port)
        found = counted.wait_for(port, lambda one: one.ended == N)
        assert counted.destinations.take(found.key) == found
        assert counted.destinations.take(found.key) is None
        assert counted.of(port, pid) == []


def test_the_agent_s_own_connections_do_not_count() -> None:
    with counting() as counted, answering() as port:
        counted.kernel._attached.current.reader.set("agent_tgid", os.getpid())
        with socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall(QUESTION)
            while one.recv(65536):
                pass
        assert counted.of(port) == []


def test_what_is_only_counted_is_no_event_type_that_is_seen() -> None:
    with counting() as counted:
        assert {probe.type for probe in counted.kernel.probes} == {kind.name for kind in probes.LIFE}
