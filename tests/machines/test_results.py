"""What came of the kernel tests is kept per kernel, in full, and can be read back."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.machines.results import RESULTS_VARIABLE, Result, add, read

PASSED = Result("test_a", "passed", 0.5, {"hook": "fentry", "runs": 23})

CONFTEST = """
from tests.machines.results import Recorder
recorder = Recorder()
pytest_runtest_setup = recorder.pytest_runtest_setup
pytest_runtest_logstart = recorder.pytest_runtest_logstart
pytest_runtest_logreport = recorder.pytest_runtest_logreport
pytest_sessionfinish = recorder.pytest_sessionfinish
"""
TESTS = """
import os, pytest
def test_passes(record_property): record_property("hook", "kprobe"); record_property("where", os)
def test_fails(): print("x" * 100_000); assert 1 == 2
def test_is_skipped(): pytest.skip("no such hook here")
@pytest.fixture
def broken(): yield; raise OSError("while it is taken down")
def test_ends_badly(broken): pass
@pytest.mark.native_only(reason="it takes hours there")
def test_of_this_machine_only(): pass
@pytest.mark.slow(reason="the CPU is not emulated here")
def test_is_slow(): pass
"""


def test_each_kernel_has_its_own_and_the_newest_of_a_test_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "build/kernels.json"
    add(path, "6.1", [PASSED, Result("test_b", "failed", said="1 is not 2")])
    add(path, "6.12", [PASSED])
    add(path, "6.1", [Result("test_b", "passed"), Result("test_c", "begun")])
    kernels = read(path)
    assert kernels["6.1"] == {"test_a": PASSED, "test_b": Result("test_b", "passed")}
    assert kernels["6.12"] == {"test_a": PASSED}


def test_where_nothing_ran_there_is_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "kernels.json") == {}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Result]]:
    """What a guest's pytest tells of TESTS, by test."""
    folder = tmp_path_factory.mktemp("tests")
    (folder / "test_it.py").write_text(TESTS)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n native_only(reason): x\n slow(reason): x\n")
    port = folder / "port"
    port.touch()
    here = {RESULTS_VARIABLE: str(port), "PODWITNESS_MACHINE": "6.12", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, env=here, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    results = [msgspec.json.decode(line, type=Result) for line in port.read_bytes().splitlines()]
    names = dict.fromkeys(result.name.partition("::")[2] for result in results)
    return {name: [result for result in results if result.name.endswith(name)] for name in names}


def test_a_test_is_told_when_it_begins_and_when_it_is_done(told: dict[str, list[Result]]) -> None:
    assert [result.outcome for result in told["test_passes"]] == ["begun", "passed"]
    assert told["test_passes"][1].properties["hook"] == "kprobe"


def test_what_cannot_be_written_as_it_is_is_written_as_text(told: dict[str, list[Result]]) -> None:
    assert told["test_passes"][1].properties["where"].startswith("<module 'os'")


def test_a_failure_is_told_with_what_was_printed_however_much(told: dict[str, list[Result]]) -> None:
    result = told["test_fails"][1]
    assert result.outcome == "failed"
    assert "assert 1 == 2" in result.said
    assert "x" * 100_000 in result.said


def test_a_failure_after_the_test_is_one(told: dict[str, list[Result]]) -> None:
    assert told["test_ends_badly"][1].outcome == "failed"
    assert "while it is taken down" in told["test_ends_badly"][1].said


def test_a_skip_has_its_reason(told: dict[str, list[Result]]) -> None:
    assert (told["test_is_skipped"][1].outcome, told["test_is_skipped"][1].said) == ("skipped", "no such hook here")
    assert told["test_of_this_machine_only"][1].said == "it takes hours there"
    assert told["test_is_slow"][1].outcome == "passed"
