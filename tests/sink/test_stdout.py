"""Lines on a descriptor: the terminal, a pipe, a file."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from exporter.model import Delivery, Payload
from exporter.sink.stdout import Stdout

LINE = Payload("logs", b"process default/xwing /usr/bin/curl\n", 1)


def test_payloads_appear_on_the_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert [Stdout().send(LINE).outcome for _ in range(2)] == ["accepted"] * 2
    assert capfdbinary.readouterr().out == LINE.data * 2


def test_a_reader_that_went_away_is_told() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert Stdout(writing).send(LINE) == Delivery("closed", "stdout is closed")
    finally:
        os.close(writing)
    assert Stdout(writing).send(LINE) == Delivery("closed", "stdout is closed")


def test_a_full_disk_behind_it_is_a_retry() -> None:
    with Path("/dev/full").open("wb") as full:
        assert Stdout(full.fileno()).send(LINE) == Delivery("retry", "No space left on device")


def test_a_slow_reader_gets_each_byte_once_also_from_a_descriptor_that_does_not_block() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    large = Payload("logs", bytes(range(256)) * 4096, 1)
    got: list[bytes] = []

    def read() -> None:
        while data := os.read(reading, 4096):
            got.append(data)

    reader = threading.Thread(target=read)
    stdout = Stdout(writing)
    # Nobody reads yet: the pipe takes its part, then there is no more room.
    assert stdout.send(large).outcome == "retry"
    reader.start()
    while stdout.send(large).outcome == "retry":
        pass
    os.close(writing)
    reader.join()
    os.close(reading)
    assert b"".join(got) == large.data


def test_an_agent_started_without_a_standard_output_does_not_start() -> None:
    program = "from exporter.sink.stdout import Stdout\nStdout()"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "ConfigError: stdout: there is no standard output" in done.stderr
