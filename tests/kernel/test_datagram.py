"""Flows of UDP as the real probes tell of them: the first datagram each way, whichever call it is."""

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.model import Value
from tests.kernel.programs import compiled
from tests.kernel.recorded import Told, attributes, recording, settings
from tests.kernel.test_network import BROADCAST, FAMILIES, N, inode, netns

pytestmark = pytest.mark.kernel

DATAGRAMS = settings("network.datagram")
DNS = 53
Send = Callable[[socket.socket, bytes, tuple[str, int]], object]
WAYS: dict[str, Send] = {
    "sendto": lambda one, data, peer: one.sendto(data, peer),
    "sendmsg": lambda one, data, peer: one.sendmsg([data], [], 0, peer),
}


def ours(told: Told, direction: str) -> list[dict[str, Value]]:
    found = [attributes(event) for event in told.of("network.datagram") if event.pid == os.getpid()]
    return [event for event in found if event["podwitness.network.direction"] == direction]


def is_asked_for(told: Told) -> bool:
    return "udp_sendmsg" not in told.hooks["network.datagram"]


@pytest.mark.parametrize("send", WAYS.values(), ids=WAYS)
def test_23_flows_are_told_once_each_way_however_many_datagrams_they_have(tmp_path: Path, send: Send) -> None:
    sent: list[dict[str, Value]] = []
    received: list[dict[str, Value]] = []
    with recording(tmp_path, DATAGRAMS) as finish:
        for number in range(N):
            family, address, told_as = FAMILIES[number % len(FAMILIES)]
            with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as client:
                server.bind((address, 0))
                client.bind((address, 0))
                here, there = client.getsockname(), server.getsockname()
                for _ in range(3):
                    send(client, b"q", there[:2])
                    assert server.recvfrom(9) == (b"q", here)
                    send(server, b"a", here[:2])
                    assert client.recvfrom(9) == (b"a", there)
                both: dict[str, Value] = {
                    "client.address": told_as, "client.port": here[1],
                    "server.address": told_as, "server.port": there[1],
                    "network.transport": "udp", "network.type": "ipv6" if ":" in str(told_as) else "ipv4",
                    "podwitness.network.protocol": "IPPROTO_UDP", "podwitness.network.namespace": netns(),
                }  # fmt: skip
                for one, local, peer, way in (
                    (client, here, there, sent), (server, there, here, received),
                    (server, there, here, sent), (client, here, there, received),
                ):  # fmt: skip
                    ends = {
                        "network.local.address": told_as, "network.local.port": local[1],
                        "network.peer.address": told_as, "network.peer.port": peer[1],
                        "podwitness.network.socket.inode": str(inode(one)),
                    }  # fmt: skip
                    direction = "outbound" if way is sent else "inbound"
                    way.append(both | ends | {"podwitness.network.direction": direction})
        told = finish()
    # Who calls without trampolines says where to, in memory of its own.
    unresolved: dict[str, Value] = {"podwitness.network.peer.unresolved": True} if is_asked_for(told) else {}
    assert ours(told, "outbound") == [flow | unresolved for flow in sent]
    assert ours(told, "inbound") == [flow | unresolved for flow in received]


def test_a_connected_socket_that_only_reads_and_writes_is_seen(tmp_path: Path) -> None:
    """As resolvers do it: a socket for each question, connected, to the same server; each is a flow."""
    with recording(tmp_path, DATAGRAMS) as finish, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.23", 0))
        truth = []
        for _ in range(N):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.connect(server.getsockname())
                os.write(client.fileno(), b"question")
                server.sendto(b"answer", server.recvfrom(9)[1])
                assert os.read(client.fileno(), 9) == b"answer"
                truth.append(client.getsockname()[1])
        told, port = finish(), server.getsockname()[1]
    for direction in ("outbound", "inbound"):
        found = [event for event in ours(told, direction) if event["network.peer.port"] == port]
        assert [event["network.local.port"] for event in found] == truth


def test_a_question_to_dns_is_a_flow_to_its_port_also_where_nobody_answers(tmp_path: Path) -> None:
    with recording(tmp_path, DATAGRAMS) as finish:
        for number in range(N):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"question", (f"127.9.9.{number}", DNS))
        told = finish()
    found = [event for event in ours(told, "outbound") if event["server.port"] == DNS]
    assert [event["server.address"] for event in found if str(event["server.address"]).startswith("127.9.9.")] == [
        f"127.9.9.{number}" for number in range(N)
    ]


def test_a_datagram_that_cannot_be_sent_says_why_once(tmp_path: Path) -> None:
    with recording(tmp_path, DATAGRAMS) as finish, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        for number in range(N):
            for _ in range(3):
                with pytest.raises(PermissionError):  # without SO_BROADCAST
                    one.sendto(b"x", (BROADCAST, 4000 + number))
        told = finish()
    found = [event for event in ours(told, "outbound") if event["server.address"] == BROADCAST]
    assert [(event["server.port"], event["error.type"]) for event in found] == [
        (4000 + number, "EACCES") for number in range(N)
    ]


FORGED = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
int main(int count, char **words)
{
	char data[] = "0123456789";
	for (int i = 0; i < 23; i++) {
		struct iovec bytes = {data, 10};
		struct sockaddr_in to = {AF_INET, htons(atoi(words[1])), {htonl(INADDR_LOOPBACK)}};
		char room[sizeof(struct mmsghdr) + sizeof(to)] = {0};
		struct mmsghdr *message = (void *)room;
		char *name = (char *)&message->msg_len - offsetof(struct sockaddr_in, sin_addr);
		message->msg_hdr = (struct msghdr){name, sizeof(to), &bytes, 1};
		memcpy(name, &to, 8);
		if (sendmmsg(socket(AF_INET, SOCK_DGRAM, 0), message, 1, 0) != 1)
			return 1;
	}
}
"""


def test_23_datagrams_whose_address_the_call_itself_overwrites_are_told_and_marked(tmp_path: Path) -> None:
    """The kernel writes the length that it has sent, 10, where the address was: 10.0.0.0."""
    program = compiled(tmp_path, "#include <stddef.h>\n" + FORGED)
    ruled = DATAGRAMS.replace('"aggregate"', '"network": {"addresses": {"exclude": ["10.0.0.0/8"]}}, "aggregate"')
    with recording(tmp_path, ruled) as finish, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        runner = subprocess.Popen([program, str(server.getsockname()[1])])
        assert runner.wait() == 0
        told = finish()
    found = [attributes(event) for event in told.of("network.datagram") if event.pid == runner.pid]
    forged = is_asked_for(told)
    assert [(one["network.peer.address"], one.get("podwitness.network.peer.unresolved", False)) for one in found] == [
        ("10.0.0.0" if forged else "127.0.0.1", forged)
    ] * N
