"""Raw and packet sockets, and connections to watched sockets of this machine, as the real probes tell of them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.recorded import attributes, recording, settings
from tests.kernel.test_network import N, inode, netns

pytestmark = pytest.mark.kernel

SOCKETS = settings("network.socket")
UNIX = settings("network.unix_connect")
ETH_P_ALL = 3
RAW = [
    (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP, "AF_INET", "SOCK_RAW|SOCK_CLOEXEC", "IPPROTO_ICMP"),
    (socket.AF_INET6, socket.SOCK_RAW, 58, "AF_INET6", "SOCK_RAW|SOCK_CLOEXEC", "IPPROTO_ICMPV6"),
    (socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL), "AF_PACKET", "SOCK_RAW|SOCK_CLOEXEC", "ETH_P_ALL"),
    (socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x800), "AF_PACKET", "SOCK_DGRAM|SOCK_CLOEXEC", "ETH_P_IP"),
    (socket.AF_INET, 10, socket.htons(ETH_P_ALL), "AF_PACKET", "SOCK_PACKET|SOCK_CLOEXEC", "ETH_P_ALL"),
]
"""The last one is the old way to a packet socket."""


def test_23_raw_sockets_are_told_with_what_they_are_for_and_others_are_not(tmp_path: Path) -> None:
    truth: list[dict[str, str]] = []
    with recording(tmp_path, SOCKETS) as finish:
        for number in range(N):
            socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()
            family, sort, protocol, *words = RAW[number % len(RAW)]
            try:
                one = socket.socket(family, sort, protocol)
            except OSError:  # this kernel has no packet sockets, or loads none
                continue
            with one:
                truth.append(dict(zip(("family", "type", "protocol"), words, strict=True)) | {"inode": str(inode(one))})
        told = finish()
    found = [attributes(event) for event in told.of("network.socket") if event.pid == os.getpid()]
    assert len(truth) >= 2 * (N // len(RAW))
    assert [event for event in found if "error.type" not in event] == [
        {f"podwitness.network.socket.{name}": word for name, word in event.items()}
        | {"podwitness.network.namespace": netns()}
        for event in truth
    ]


REFUSED = """
import os, socket
os.setuid(65534)
for _ in range(23):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    except PermissionError:
        continue
    raise SystemExit(1)
print(os.getpid())
"""


def test_a_raw_socket_that_is_refused_says_why(tmp_path: Path) -> None:
    with recording(tmp_path, SOCKETS) as finish:
        pid = int(subprocess.run([sys.executable, "-c", REFUSED], check=True, capture_output=True).stdout)
        told = finish()
    found = [attributes(event) for event in told.of("network.socket") if event.pid == pid]
    assert [(event["error.type"], event["podwitness.network.socket.protocol"]) for event in found] == [
        ("EPERM", "IPPROTO_TCP")
    ] * N


def test_23_connections_to_a_watched_socket_are_told_by_where_it_is_not_by_how_it_was_reached(tmp_path: Path) -> None:
    place = tmp_path / "run"
    place.mkdir()
    path = place / "docker.sock"
    (tmp_path / "link").symlink_to("run")
    with (
        recording(tmp_path, UNIX) as finish,
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as other,
    ):
        listener.bind(str(path))
        listener.listen(N)
        other.bind(str(place / "other.sock"))
        other.listen(N)
        truth = []
        for _ in range(N):
            with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as unwatched:
                one.connect(f"{tmp_path}/link/../link/docker.sock")
                unwatched.connect(str(place / "other.sock"))
                truth.append(str(inode(one)))
        told = finish()
    found = [attributes(event) for event in told.of("network.unix_connect") if event.pid == os.getpid()]
    assert found == [
        {
            "network.peer.address": str(path),
            "server.address": str(path),
            "network.transport": "unix",
            "podwitness.network.socket.inode": number,
            "podwitness.network.direction": "outbound",
        }
        for number in truth
    ]


def test_23_connections_that_nobody_answers_say_why_and_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with recording(tmp_path, UNIX) as finish:
        for _ in range(N):
            with socket.socket(socket.AF_UNIX) as one, pytest.raises(FileNotFoundError):
                one.connect("containerd.sock")
        told = finish()
    found = [attributes(event) for event in told.of("network.unix_connect") if event.pid == os.getpid()]
    assert [
        (e["network.peer.address"], e["podwitness.network.peer.path_unresolved"], e["error.type"]) for e in found
    ] == [(f"{tmp_path}/containerd.sock", True, "ENOENT")] * N


def test_other_sockets_are_watched_where_the_settings_say_so(tmp_path: Path) -> None:
    name = f"podwitness-{os.getpid()}"
    watching = UNIX.replace('"aggregate"', f'"unix_sockets": ["@{name}", "{tmp_path}/whole", "its/end"], "aggregate"')
    (tmp_path / "its").mkdir()
    paths = [f"\0{name}", f"{tmp_path}/whole", f"{tmp_path}/its/end", f"{tmp_path}/its/whole", f"{tmp_path}/end"]
    with recording(tmp_path, watching) as finish:
        for path in paths:
            with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as one:
                listener.bind(path)
                listener.listen()
                one.connect(path)
        told = finish()
    found = [attributes(event) for event in told.of("network.unix_connect") if event.pid == os.getpid()]
    assert [event["network.peer.address"] for event in found] == [
        f"@{name}", f"{tmp_path}/whole", f"{tmp_path}/its/end",
    ]  # fmt: skip
