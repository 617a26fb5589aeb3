"""kill -9 at any moment: payloads, positions, values and journal are those of one and the same transaction."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from exporter import config
from exporter.model import Stream
from tests.sink.spool.spooling import Numbered, commit, opened
from tests.waiting import wait_for

ROUNDS = 12


def story(folder: Path, log: Path, seed: int) -> None:
    """Put, commit, deliver, for ever: what is delivered is noted before it is settled. Runs in a child."""
    draw = random.Random(seed)
    with opened(folder, config.Queue(max_bytes=20_000)) as one, log.open("ab", buffering=0) as delivered:
        made = Numbered()
        if stored := one.spool.state.get("stream.a"):
            made.stream = msgspec.msgpack.decode(stored, type=Stream)
        position = one.spool.positions.get(7, 0)
        while True:
            for _ in range(draw.randrange(4)):
                one.queue.put(made.payload(draw.randint(1, 9), draw.randint(50, 6000)))
            position += 1
            commit(one.spool, made, position=position, journal=b"%d" % position, checkpoint=not position % 7)
            for _ in range(draw.randrange(5)):
                if (payload := one.queue.head()) is not None:
                    first, last = payload.sequences[0]
                    delivered.write(b"%d %d\n" % (first, last))
                    one.queue.settle()


@pytest.mark.parametrize("seed", range(2))
def test_a_kill_loses_nothing(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    folder, log = tmp_path / "spool", tmp_path / "log"
    log.touch()
    position = 0
    for number in range(ROUNDS):
        before = log.stat().st_size
        code = f"from tests.sink.spool.test_kill import *; story(Path({str(folder)!r}), Path({str(log)!r}), {number})"
        child = subprocess.Popen([sys.executable, "-c", code])
        wanted = before + draw.randrange(2000)
        wait_for(lambda at=wanted: log.stat().st_size > at, "deliveries")  # type: ignore[misc]
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        position = check(folder, log, position)
    assert position > ROUNDS


def check(folder: Path, log: Path, before: int) -> int:
    lines = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    delivered = {number for first, last in lines for number in range(first, last + 1)}
    with opened(folder) as one:
        position = one.spool.positions[7]
        assert position >= before
        entries = list(map(int, one.spool.journal))
        assert entries == list(range(position - position % 7 or 1, position + 1))
        stream = msgspec.msgpack.decode(one.spool.state["stream.a"], type=Stream)
        head = one.queue.head()
        waiting = set(range(head.sequences[0][0], stream.next)) if head else set()
        assert one.queue.waiting == len(waiting)
        assert delivered | waiting == set(range(1, stream.next)), "all was delivered or waits"
        assert one.losses() == []
    return position
