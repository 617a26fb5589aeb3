"""The kernel's keys, as the real probes tell of them: never what is in one."""

import ctypes
from pathlib import Path

import pytest

from tests.kernel.children import N, call, done, in_child
from tests.kernel.recorded import recording
from tests.kernel.surface import KERNEL, told_of, word

pytestmark = pytest.mark.kernel

ADD_KEY, REQUEST_KEY, KEYCTL = 248, 249, 250

SESSION, SECRET = -3, b"what nobody must see"


def test_23_keys_are_told_of_but_not_what_is_in_them(tmp_path: Path) -> None:
    def run() -> list[list[int]]:
        ring = done(KEYCTL, 1, b"podwitness-test", 0, 0, 0)
        serials = []
        for number in range(N):
            description = f"podwitness:{number}".encode()
            serial = done(ADD_KEY, b"user", description, SECRET, len(SECRET), SESSION)
            assert done(REQUEST_KEY, b"user", description, None, SESSION) == serial
            buffer = ctypes.create_string_buffer(64)
            assert done(KEYCTL, 11, serial, buffer, 64, 0) == len(SECRET)
            done(KEYCTL, 3, serial, 0, 0, 0)
            serials.append(serial)
        return [[ring], serials]

    with recording(tmp_path, KERNEL) as finish:
        child = in_child(run)
        told = finish()
    joined, *events = told_of(told, "kernel.keyring", child.pid)
    assert joined == {
        "podwitness.key.operation": "KEYCTL_JOIN_SESSION_KEYRING",
        "podwitness.key.description": "podwitness-test",
        "podwitness.key.serial": str(child.said[0][0]),
        "podwitness.syscall.name": "keyctl",
    }
    assert len(events) == 4 * N
    for number, serial in enumerate(child.said[1]):
        key = {
            "podwitness.key.type": "user",
            "podwitness.key.description": f"podwitness:{number}",
            "podwitness.key.ring": "KEY_SPEC_SESSION_KEYRING",
        }
        asked = {"podwitness.key.serial": str(serial)}
        assert events[4 * number : 4 * number + 4] == [
            {**asked, **key, "podwitness.syscall.name": "add_key"},
            {**asked, **key, "podwitness.syscall.name": "request_key"},
            {**asked, "podwitness.key.operation": "KEYCTL_READ", "podwitness.syscall.name": "keyctl"},
            {**asked, "podwitness.key.operation": "KEYCTL_REVOKE", "podwitness.syscall.name": "keyctl"},
        ]
    assert SECRET.decode() not in (tmp_path / "recording.jsonl").read_text()


def test_23_keys_that_are_not_there(tmp_path: Path) -> None:
    with recording(tmp_path, KERNEL) as finish:
        child = in_child(lambda: [call(REQUEST_KEY, b"user", b"podwitness:absent", None, 0) for _ in range(N)])
        told = told_of(finish(), "kernel.keyring", child.pid)
    assert told == [
        {
            "podwitness.key.type": "user",
            "podwitness.key.description": "podwitness:absent",
            "podwitness.syscall.name": "request_key",
            "error.type": word(result),
        }
        for result in child.said
    ]
