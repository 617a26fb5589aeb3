"""BPF programs and perf events, as the real probes tell of them."""

import ctypes
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.probes.words import BPF_COMMAND
from tests.kernel.children import N, as_nobody, call, done, in_child
from tests.kernel.recorded import recording
from tests.kernel.surface import KERNEL, told_of, word

pytestmark = pytest.mark.kernel

IOCTL, PERF_EVENT_OPEN, BPF = 16, 298, 321


def descriptor(fd: int, name: str) -> int:
    """What the kernel says of a descriptor."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines() if ":" in line)
    return int(lines[name])


RETURN_0 = bytes.fromhex("b700000000000000 9500000000000000")
COMMANDS = {name.removeprefix("BPF_"): number for number, name in BPF_COMMAND.items()}
LOAD, ATTACH, DETACH = COMMANDS["PROG_LOAD"], COMMANDS["PROG_ATTACH"], COMMANDS["PROG_DETACH"]
RAW_TRACEPOINT_OPEN = COMMANDS["RAW_TRACEPOINT_OPEN"]
LINK_CREATE, LINK_UPDATE, LINK_DETACH = COMMANDS["LINK_CREATE"], COMMANDS["LINK_UPDATE"], COMMANDS["LINK_DETACH"]
SOCKET_FILTER, PERF_EVENT, CGROUP_SKB, RAW_TRACEPOINT = 1, 7, 8, 17
EGRESS, SET_BPF = 1, 0x40042408
_kept: list[object] = []
"""What the kernel was given the address of."""


def attr(layout: str, *values: int) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(struct.pack(layout, *values).ljust(128, b"\0"), 128)


def address(of: bytes) -> int:
    buffer = ctypes.create_string_buffer(of)
    _kept.append(buffer)
    return ctypes.addressof(buffer)


def program_attr(kind: int, name: bytes, attach_type: int = 0, code: bytes = RETURN_0) -> ctypes.Array[ctypes.c_char]:
    begin = struct.pack("<IIQQ24x", kind, len(code) // 8, address(code), address(b"GPL"))
    return ctypes.create_string_buffer((begin + struct.pack("<16sII", name, 0, attach_type)).ljust(128, b"\0"), 128)


def load(kind: int, name: bytes, attach_type: int = 0) -> int:
    return done(BPF, LOAD, program_attr(kind, name, attach_type), 128)


def test_23_programs_loaded_have_the_kernels_own_id_and_name(tmp_path: Path) -> None:
    def run() -> list[int]:
        return [descriptor(load(SOCKET_FILTER, f"loaded_{number}".encode()), "prog_id") for number in range(N)]

    with recording(tmp_path, KERNEL) as finish:
        child = in_child(run)
        told = told_of(finish(), "kernel.bpf_load", child.pid)
    assert told == [
        {
            "podwitness.bpf.program.type": "BPF_PROG_TYPE_SOCKET_FILTER",
            "podwitness.bpf.program.id": number,
            "podwitness.bpf.program.name": f"loaded_{at}",
            "podwitness.syscall.name": "bpf",
        }
        for at, number in enumerate(child.said)
    ]


def test_23_refused_programs_have_what_was_asked_for(tmp_path: Path) -> None:
    bad = program_attr(CGROUP_SKB, b"refused", EGRESS, code=bytes.fromhex("9500000000000000"))
    with recording(tmp_path, KERNEL) as finish:
        child = in_child(lambda: [call(BPF, LOAD, bad, 128) for _ in range(N)])
        other = in_child(as_nobody(BPF, LOAD, bad, 128))
        told = finish()
    for who, asked in ((child, "EACCES"), (other, "EPERM")):
        assert {word(result) for result in who.said} == {asked}
        assert (
            told_of(told, "kernel.bpf_load", who.pid)
            == [
                {
                    "podwitness.bpf.program.type": "BPF_PROG_TYPE_CGROUP_SKB",
                    "podwitness.bpf.attach_type": "BPF_CGROUP_INET_EGRESS",
                    "podwitness.bpf.program.name": "refused",
                    "podwitness.syscall.name": "bpf",
                    "error.type": asked,
                }
            ]
            * N
        )


def test_23_programs_on_a_tracepoint(tmp_path: Path) -> None:
    def run() -> list[Any]:
        program = load(RAW_TRACEPOINT, b"traced")
        links = []
        for _ in range(N):
            link = done(BPF, RAW_TRACEPOINT_OPEN, attr("<QI", address(b"signal_generate"), program), 128)
            links.append(descriptor(link, "link_id"))
            os.close(link)
        return [descriptor(program, "prog_id"), links]

    with recording(tmp_path, KERNEL) as finish:
        child = in_child(run)
        told = told_of(finish(), "kernel.bpf_attach", child.pid)
    program, links = child.said
    assert told == [
        {
            "podwitness.bpf.command": "BPF_RAW_TRACEPOINT_OPEN",
            "podwitness.bpf.program.type": "BPF_PROG_TYPE_RAW_TRACEPOINT",
            "podwitness.bpf.program.id": program,
            "podwitness.bpf.program.name": "traced",
            "podwitness.bpf.tracepoint": "signal_generate",
            "podwitness.bpf.link.id": link,
            "podwitness.syscall.name": "bpf",
        }
        for link in links
    ]


@pytest.fixture
def cgroup() -> Iterator[int]:
    """A cgroup of our own with nobody in it, for programs that are never to run."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    places = [Path(fields[4]) for fields in mounts if fields[fields.index("-") + 1] == "cgroup2"]
    if not places:
        pytest.skip("cgroup version 2 is not mounted here")
    folder = places[0] / f"podwitness-test-{os.getpid()}"
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY)
    yield fd
    os.close(fd)
    folder.rmdir()


def test_23_programs_on_a_cgroup_by_each_of_two_ways(tmp_path: Path, cgroup: int) -> None:
    def run() -> list[Any]:
        program = load(CGROUP_SKB, b"on_cgroup", EGRESS)
        links = []
        for _ in range(N):
            done(BPF, ATTACH, attr("<IIII", cgroup, program, EGRESS, 2), 128)
            done(BPF, DETACH, attr("<III", cgroup, program, EGRESS), 128)
            link = done(BPF, LINK_CREATE, attr("<III", program, cgroup, EGRESS), 128)
            links.append(descriptor(link, "link_id"))
            os.close(link)
        return [descriptor(program, "prog_id"), links]

    with recording(tmp_path, KERNEL) as finish:
        child = in_child(run)
        told = told_of(finish(), "kernel.bpf_attach", child.pid)
    program, links = child.said
    common = {
        "podwitness.bpf.program.type": "BPF_PROG_TYPE_CGROUP_SKB",
        "podwitness.bpf.attach_type": "BPF_CGROUP_INET_EGRESS",
        "podwitness.bpf.program.id": program,
        "podwitness.bpf.program.name": "on_cgroup",
        "podwitness.syscall.name": "bpf",
    }
    assert told[0::3] == [{"podwitness.bpf.command": "BPF_PROG_ATTACH", **common}] * N
    assert told[1::3] == [{"podwitness.bpf.command": "BPF_PROG_DETACH", **common}] * N
    assert told[2::3] == [
        {"podwitness.bpf.command": "BPF_LINK_CREATE", "podwitness.bpf.link.id": link, **common} for link in links
    ]


def test_23_links_whose_program_is_exchanged_and_taken_away(tmp_path: Path, cgroup: int) -> None:
    def run() -> list[Any]:
        programs = [load(CGROUP_SKB, name, EGRESS) for name in (b"benign", b"malicious")]
        other = load(SOCKET_FILTER, b"other")
        links = []
        for _ in range(N):
            link = done(BPF, LINK_CREATE, attr("<III", programs[0], cgroup, EGRESS), 128)
            links.append(descriptor(link, "link_id"))
            refused = call(BPF, LINK_UPDATE, attr("<II", link, other), 128)
            done(BPF, LINK_UPDATE, attr("<II", link, programs[1]), 128)
            done(BPF, LINK_DETACH, attr("<I", link), 128)
            os.close(link)
        return [*[descriptor(program, "prog_id") for program in programs], links, refused]

    with recording(tmp_path, KERNEL) as finish:
        child = in_child(run)
        told = told_of(finish(), "kernel.bpf_attach", child.pid)
    benign, malicious, links, refused = child.said
    names = ("podwitness.bpf.command", "podwitness.bpf.program.name", "podwitness.bpf.program.id", "error.type")
    said = {"benign": benign, "malicious": malicious}
    assert [[event.get(name) for name in names] for event in told if event[names[1]] != "other"] == [
        ["BPF_LINK_CREATE", "benign", said["benign"], None],
        ["BPF_LINK_UPDATE", "malicious", said["malicious"], None],
        ["BPF_LINK_DETACH", "malicious", said["malicious"], None],
    ] * N
    assert [event["error.type"] for event in told if event[names[1]] == "other"] == [word(refused)] * N
    assert [event["podwitness.bpf.link.id"] for event in told] == [link for link in links for _ in range(4)]


def test_a_descriptor_that_is_no_program_is_not_read_as_one(tmp_path: Path) -> None:
    def run() -> list[int]:
        null = os.open("/dev/null", os.O_RDONLY)
        return [call(BPF, LINK_CREATE, attr("<III", null, null, 999), 128) for _ in range(N)]

    with recording(tmp_path, KERNEL) as finish:
        child = in_child(run)
        told = told_of(finish(), "kernel.bpf_attach", child.pid)
    assert told == [
        {
            "podwitness.bpf.command": "BPF_LINK_CREATE",
            "podwitness.bpf.attach_type": "999",
            "podwitness.syscall.name": "bpf",
            "error.type": word(result),
        }
        for result in child.said
    ]


SOFTWARE, CPU_CLOCK, TASK_CLOCK, CONTEXT_SWITCHES = 1, 0, 1, 3


def perf_attr(kind: int, config: int) -> ctypes.Array[ctypes.c_char]:
    return attr("<IIQQ", kind, 128, config, 1_000_000)


def test_23_perf_events_and_a_program_on_each(tmp_path: Path) -> None:
    def run() -> int:
        program = load(PERF_EVENT, b"sampled")
        for _ in range(N):
            event = done(PERF_EVENT_OPEN, perf_attr(SOFTWARE, CONTEXT_SWITCHES), 0, -1, -1, 8)
            done(IOCTL, event, SET_BPF, program)
            call(IOCTL, event, 0x2400, 0)
            os.close(event)
        return descriptor(program, "prog_id")

    with recording(tmp_path, KERNEL) as finish:
        child = in_child(run)
        told = finish()
    assert (
        told_of(told, "kernel.perf_event_open", child.pid)
        == [
            {
                "podwitness.perf.type": "PERF_TYPE_SOFTWARE",
                "podwitness.perf.pmu": "software",
                "podwitness.perf.config": CONTEXT_SWITCHES,
                "podwitness.perf.pid": 0,
                "podwitness.perf.cpu": -1,
                "podwitness.syscall.name": "perf_event_open",
            }
        ]
        * N
    )
    assert (
        told_of(told, "kernel.bpf_attach", child.pid)
        == [
            {
                "podwitness.bpf.program.type": "BPF_PROG_TYPE_PERF_EVENT",
                "podwitness.bpf.program.id": child.said,
                "podwitness.bpf.program.name": "sampled",
                "podwitness.syscall.name": "ioctl",
            }
        ]
        * N
    )


def test_clocks_are_software_although_the_kernel_has_devices_for_them(tmp_path: Path) -> None:
    def run() -> list[int]:
        return [
            done(PERF_EVENT_OPEN, perf_attr(SOFTWARE, clock), 0, -1, -1, 8)
            for _ in range(N)
            for clock in (CPU_CLOCK, TASK_CLOCK)
        ]

    with recording(tmp_path, KERNEL) as finish:
        child = in_child(run)
        told = told_of(finish(), "kernel.perf_event_open", child.pid)
    names = ("podwitness.perf.type", "podwitness.perf.config", "podwitness.perf.pmu")
    assert [[event[name] for name in names] for event in told] == [
        ["PERF_TYPE_SOFTWARE", CPU_CLOCK, "cpu_clock"],
        ["PERF_TYPE_SOFTWARE", TASK_CLOCK, "task_clock"],
    ] * N


def test_23_refused_perf_events(tmp_path: Path) -> None:
    with recording(tmp_path, KERNEL) as finish:
        child = in_child(lambda: [call(PERF_EVENT_OPEN, perf_attr(4242, 7), -1, 0, -1, 0) for _ in range(N)])
        told = told_of(finish(), "kernel.perf_event_open", child.pid)
    assert told == [
        {
            "podwitness.perf.type": "4242",
            "podwitness.perf.config": 7,
            "podwitness.perf.pid": -1,
            "podwitness.perf.cpu": 0,
            "podwitness.syscall.name": "perf_event_open",
            "error.type": word(result),
        }
        for result in child.said
    ]
