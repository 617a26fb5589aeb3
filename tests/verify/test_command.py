"""`podwitness verify` as a shell sees it: what comes on stdout, on stderr, and as the exit code."""

import json
from pathlib import Path

import pytest

from tests.terminal import podwitness
from tests.verify.shipped import Node


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{}/none.json"], "none.json: cannot be read: No such file"),
        (["{}"], "is a directory"),
        (["{}/a.json", "--public-key", "{}/none.pem"], "--public-key"),
        (["{}/a.json", "--spool", "{}/none"], "there is no spool.db"),
        (["{}/a.json", "--from", "0"], "--from"),
        (["{}/a.json", "--output", "yaml"], "--output"),
    ],
)
def test_its_own_errors_are_no_part_of_the_report(arguments: list[str], said: str, tmp_path: Path) -> None:
    Node().touch(5).flush().write(tmp_path / "a.json")
    for output in ([], ["--output", "json"]):
        done = podwitness("verify", *output, *(argument.format(tmp_path) for argument in arguments))
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_a_stream_whose_oldest_files_are_gone_is_checked_from_a_number_on(tmp_path: Path) -> None:
    node = Node(batch=1).touch(20).flush()
    del node.lines[:5]
    file = node.write(tmp_path / "a.json")
    assert podwitness("verify", file).returncode == 1
    done = podwitness("verify", "--from", 6, "--output", "json", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["complete"] is True
    assert "--from N" in podwitness("verify", "--help").stdout
