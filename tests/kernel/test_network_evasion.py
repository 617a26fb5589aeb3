"""Connections made in ways that other observers miss: by io_uring, and by the system calls of 32-bit programs."""

import ctypes
import mmap
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import uring
from tests.kernel.programs import compiled
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


SWAPPED = r"""
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
static int fd, faults;
static char *slow, name[4096];
static void *swap(void *unused)
{
	struct uffd_msg fault;
	struct uffdio_copy copy = {.dst = (unsigned long)slow, .src = (unsigned long)name, .len = 4096};
	read(faults, &fault, sizeof(fault));
	dup2(open("/dev/null", O_RDONLY), fd);
	ioctl(faults, UFFDIO_COPY, &copy);
	return unused;
}
int main(int count, char **words)
{
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	struct sockaddr_un *peer = (void *)name;
	pthread_t swapper;
	peer->sun_family = AF_UNIX;
	strcpy(peer->sun_path, words[1]);
	for (int i = 0; i < 23; i++) {
		struct uffdio_api api = {.api = UFFD_API};
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		int kept = dup(fd);
		faults = syscall(SYS_userfaultfd, O_CLOEXEC);
		slow = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		range.range.start = (unsigned long)slow;
		range.range.len = 4096;
		if (ioctl(faults, UFFDIO_API, &api) || ioctl(faults, UFFDIO_REGISTER, &range))
			return 3;
		pthread_create(&swapper, 0, swap, 0);
		if (connect(fd, (void *)slow, sizeof(*peer)) || send(kept, "GET", 3, 0) != 3)
			return 1;
		pthread_join(swapper, 0);
		close(faults);
		close(fd);
		close(kept);
	}
	return 0;
}
"""


def test_23_connections_whose_descriptor_is_another_when_the_call_ends_are_told_where_the_hook_can(
    tmp_path: Path,
) -> None:
    program, path = compiled(tmp_path, SWAPPED), tmp_path / "docker.sock"
    with recording(tmp_path, ALL) as finish, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(N)
        runner = subprocess.Popen([program, str(path)])
        if runner.wait() == 3:
            pytest.skip("this kernel lets us have no userfaultfd")
        told = finish()
    assert runner.returncode == 0
    found = [event for event in told.of("network.unix_connect") if event.pid == runner.pid]
    assert len(found) == (N if "unix_stream_connect" in told.hooks["network.unix_connect"] else 0)


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
