"""Connections made in ways that other observers miss: by io_uring, and by the system calls of 32-bit programs."""

import ctypes
import mmap
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import uring
from tests.kernel.recorded import recording, settings
from tests.kernel.test_network import N, listening, ours

pytestmark = pytest.mark.kernel

ALL = settings("network.*")
ACCEPT, CONNECT, SOCKET = 13, 16, 45
"""enum io_uring_op."""
SYS_SOCKET, SYS_BIND, SYS_CONNECT, SYS_LISTEN, SYS_ACCEPT, SYS_SENDTO = 1, 2, 3, 4, 5, 11
"""include/uapi/linux/net.h."""
SOCKETCALL, PLAIN_CONNECT = 102, 362
INT80 = bytes.fromhex("53 89f8 89f3 89d1 cd80 5b c3")  # eax, ebx, ecx from the first three arguments; int 0x80
DATA = 1024


@pytest.fixture
def ring() -> Iterator[uring.Uring]:
    try:
        opened = uring.Uring()
    except OSError as error:
        pytest.skip(f"this kernel lets us have no io_uring: {error}")
    with opened:
        yield opened


def sockaddr(address: str, port: int) -> bytes:
    return struct.pack("<H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(address) + bytes(8)


def connect_by(ring: uring.Uring, one: socket.socket, name: bytes) -> int:
    held = ctypes.create_string_buffer(name, len(name))
    return ring.do(CONNECT, one.fileno(), offset=len(name), address=uring.address(held))


def test_23_connections_by_io_uring_are_told_and_accepts_too_where_the_hook_can(
    tmp_path: Path, ring: uring.Uring
) -> None:
    with recording(tmp_path, ALL) as finish, listening(socket.AF_INET, "127.0.0.1") as listener:
        port = listener.getsockname()[1]
        for _ in range(N):
            with socket.socket() as one:
                assert connect_by(ring, one, sockaddr("127.0.0.1", port)) == 0
                fd = ring.do(ACCEPT, listener.fileno())
                assert fd >= 0
                os.close(fd)
        told = finish()
    found = [event for event in ours(told, "network.connect") if event["server.port"] == port]
    assert [event["network.connection.state"] for event in found] == ["established"] * N
    accepts = [event for event in ours(told, "network.accept") if event["server.port"] == port]
    assert len(accepts) == (N if "inet_accept" in told.hooks["network.accept"] else 0)


def test_what_io_uring_cannot_connect_is_told_with_the_reason(tmp_path: Path, ring: uring.Uring) -> None:
    with recording(tmp_path, ALL) as finish, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        for _ in range(N):
            with socket.socket() as one:
                assert connect_by(ring, one, sockaddr("127.0.0.1", port)) < 0
        told = finish()
    found = [event for event in ours(told, "network.connect") if event["server.port"] == port]
    assert [event["error.type"] for event in found] == ["ECONNREFUSED"] * N


def test_other_sockets_by_io_uring_are_told_where_the_hook_can(tmp_path: Path, ring: uring.Uring) -> None:
    path = tmp_path / "docker.sock"
    with recording(tmp_path, ALL) as finish, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(N)
        for number in range(N):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket(socket.AF_UNIX) as one:
                assert connect_by(ring, udp, sockaddr("127.0.0.1", 4000 + number)) == 0
                name = struct.pack("<H", socket.AF_UNIX) + str(path).encode() + b"\0"
                assert connect_by(ring, one, name) == 0
            raw = ring.do(SOCKET, socket.AF_INET, offset=socket.SOCK_RAW, length=socket.IPPROTO_ICMP)
            assert raw >= 0
            os.close(raw)
        told = finish()
    ports = [event["server.port"] for event in ours(told, "network.connect")]
    by_middle = "inet_dgram_connect" in told.hooks["network.connect"]
    assert ports == ([4000 + number for number in range(N)] if by_middle else [])
    paths = [event["network.peer.address"] for event in ours(told, "network.unix_connect")]
    assert paths == ([str(path)] * N if by_middle else [])
    raws = [event["podwitness.network.socket.protocol"] for event in ours(told, "network.socket")]
    assert raws == (["IPPROTO_ICMP"] * N if by_middle else [])


class Narrow:
    """System calls by the 32-bit table, from a page that 32 bits can name."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        low = 0x40  # MAP_32BIT
        protection = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        self._page = libc.mmap(None, 4096, protection, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | low, -1, 0)
        ctypes.memmove(self._page, INT80, len(INT80))
        self._call = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_uint] * 3)(self._page)

    def put(self, data: bytes, at: int) -> int:
        ctypes.memmove(self._page + DATA + at, data, len(data))
        return int(self._page) + DATA + at

    def socketcall(self, number: int, *words: int) -> int:
        return int(self._call(SOCKETCALL, number, self.put(struct.pack(f"<{len(words)}I", *words), 0)))


def test_23_sockets_of_a_32_bit_program_are_told_as_others_are(tmp_path: Path) -> None:
    narrow = Narrow()
    if narrow.socketcall(SYS_SOCKET, 0xFFFF, 0, 0) != -97:  # EAFNOSUPPORT
        pytest.skip("this kernel runs no 32-bit system calls")
    with recording(tmp_path, ALL) as finish:
        bound = []
        for number in range(N):
            raw = narrow.socketcall(SYS_SOCKET, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            server = narrow.socketcall(SYS_SOCKET, socket.AF_INET, socket.SOCK_STREAM, 0)
            name = narrow.put(sockaddr("127.0.0.1", 0), 64)
            assert narrow.socketcall(SYS_BIND, server, name, 16) == 0
            assert narrow.socketcall(SYS_LISTEN, server, number) == 0
            with socket.socket(fileno=os.dup(server)) as same:
                port = same.getsockname()[1]
            client = narrow.socketcall(SYS_SOCKET, socket.AF_INET, socket.SOCK_STREAM, 0)
            assert narrow.socketcall(SYS_CONNECT, client, narrow.put(sockaddr("127.0.0.1", port), 64), 16) == 0
            taken = narrow.socketcall(SYS_ACCEPT, server, 0, 0)
            udp = narrow.socketcall(SYS_SOCKET, socket.AF_INET, socket.SOCK_DGRAM, 0)
            data = narrow.put(b"x", 128)
            assert narrow.socketcall(SYS_SENDTO, udp, data, 1, 0, narrow.put(sockaddr("127.0.0.1", port), 64), 16) == 1
            for fd in (raw, client, taken, server, udp):
                os.close(fd)
            bound.append(port)
        told = finish()
    assert [event["network.local.port"] for event in ours(told, "network.bind")] == bound
    assert [event["podwitness.network.backlog"] for event in ours(told, "network.listen")] == list(range(N))
    assert [event["server.port"] for event in ours(told, "network.connect")] == bound
    assert [event["server.port"] for event in ours(told, "network.accept")] == bound
    assert [event["podwitness.network.socket.protocol"] for event in ours(told, "network.socket")] == [
        "IPPROTO_ICMP"
    ] * N
    assert [event["server.port"] for event in ours(told, "network.datagram")] == bound
