"""Lines out of whatever a shell hands over: files, compressed files, pipes, stdin."""

import gzip
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from exporter.errors import ConfigError
from exporter.verify.sources import STDIN, check, lines
from tests.verify.shipped import Node

VERIFY = """
import sys
from pathlib import Path
from exporter.verify import verify
verdict = verify([Path("-")], key=None, spool=None, as_json=False)
sys.stdout.write(verdict.text)
sys.exit(verdict.code)
"""


@pytest.mark.parametrize("packed", [False, True])
def test_stdin_is_read_as_a_file_is(packed: bool) -> None:
    data = b"".join(Node().touch(30).flush().lines)
    done = subprocess.run(
        [sys.executable, "-c", VERIFY], input=gzip.compress(data) if packed else data, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"1-30" in done.stdout


def test_a_pipe_is_read_once_and_only_when_its_turn_comes(tmp_path: Path) -> None:
    """The shell's `<(zcat …)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"one\ntwo\n",))
    writer.start()
    check([pipe])
    assert [(str(line.place), line.data) for line in lines([pipe])] == [
        (f"{pipe}:1", b"one\n"),
        (f"{pipe}:2", b"two\n"),
    ]
    writer.join()


def test_several_compressed_parts_in_one_file_are_one(tmp_path: Path) -> None:
    """As the file sink and logrotate append them."""
    path = tmp_path / "whatever it is called"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert [line.data for line in lines([path])] == [b"one\n", b"two\n"]


def test_a_compressed_file_that_is_damaged_is_read_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    data = gzip.compress(b"".join(b"line %d\n" % number for number in range(100_000)))
    path.write_bytes(data[: len(data) // 2] + b"\xff" * 1000 + data[len(data) // 2 + 1000 :])
    *whole, last = lines([path])
    assert whole[0].data == b"line 0\n"
    assert last.why.startswith("cannot be read any further: ")


def test_what_is_not_there_is_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        check([STDIN, tmp_path / "a"])
