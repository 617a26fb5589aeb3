"""What came of each kernel test on each kernel: build/kernels.json, from which bpf/README.md has its table.

    {"6.12.117+deb12-amd64": {"tests/kernel/test_file.py::test_23_deletions_give_23": {
        "outcome": "passed", "seconds": 3.1, "properties": {"hook": "fentry"}, "said": ""}}}

`Recorder` is a pytest plugin for tests/kernel. In a guest it writes each result as it comes, a JSON line, to where
PODWITNESS_RESULTS says; elsewhere it adds the results to the file. The newest result of a test replaces an older one.
"""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

KERNELS = Path(__file__).parents[2] / "build/kernels.json"
RESULTS_VARIABLE = "PODWITNESS_RESULTS"

Outcome = Literal["begun", "passed", "failed", "skipped"]


class Result(msgspec.Struct):
    """One test on one kernel.

    Attributes:
        name: pytest's node id.
        outcome: `begun` is followed by another one, unless the machine came to its end first.
        properties: what the test told by `record_property`.
        said: why it failed, with what it printed; or why it was skipped.
    """

    name: str
    outcome: Outcome
    seconds: float = 0.0
    properties: dict[str, Any] = {}
    said: str = ""


class Recorder:
    """Makes one Result of the reports of a test: its setup, its call, its teardown.

    In a machine PODWITNESS_MACHINE has its series, and PODWITNESS_EMULATED is set where its CPU is emulated.
    """

    def __init__(self) -> None:
        self._results = dict[str, Result]()
        path = os.environ.get(RESULTS_VARIABLE)
        self._live = os.open(path, os.O_WRONLY | os.O_CLOEXEC) if path else None

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip what the machines leave out, for the reason in its mark."""
        left_out = {"native_only": "PODWITNESS_MACHINE" in os.environ, "slow": "PODWITNESS_EMULATED" in os.environ}
        for mark in item.iter_markers():
            if left_out.get(mark.name):
                pytest.skip(mark.kwargs["reason"])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._results[nodeid] = Result(nodeid, "begun")
        self._tell(self._results[nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        result = self._results[report.nodeid]
        result.seconds += report.duration
        result.properties = dict(report.user_properties)
        if report.outcome != "passed" and result.outcome != "failed":
            result.outcome, result.said = report.outcome, _said(report)
        if report.when == "teardown":
            result.outcome = "passed" if result.outcome == "begun" else result.outcome
            self._tell(result)

    def pytest_sessionfinish(self) -> None:
        if self._live is not None:
            os.close(self._live)
        elif self._results:
            add(KERNELS, os.uname().release, self._results.values())

    def _tell(self, result: Result) -> None:
        if self._live is None:
            return
        line = memoryview(msgspec.json.encode(result, enc_hook=str) + b"\n")
        while line:  # a virtio port takes 32 KiB at a time
            line = line[os.write(self._live, line) :]


def _said(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    printed = "".join(f"\n--- {title}\n{text}" for title, text in report.sections)
    return report.longreprtext + printed


def add(path: Path, release: str, results: Iterable[Result]) -> None:
    """Add what came of tests on the kernel `release`; runs beside each other wait for each other."""
    path.parent.mkdir(exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kernels = read(path)
        of_this = kernels.setdefault(release, {})
        of_this.update((result.name, result) for result in results if result.outcome != "begun")
        new = path.with_suffix(".new")
        text = msgspec.json.encode({name: _without_names(found) for name, found in kernels.items()}, enc_hook=str)
        new.write_bytes(msgspec.json.format(text))
        new.replace(path)


def read(path: Path) -> dict[str, dict[str, Result]]:
    """Kernel release -> test -> what came of it; nothing where there was no run."""
    if not path.exists():
        return {}
    kernels = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, dict[str, Any]]])
    return {
        release: {name: msgspec.convert({"name": name, **told}, Result) for name, told in found.items()}
        for release, found in kernels.items()
    }


def _without_names(results: dict[str, Result]) -> dict[str, dict[str, Any]]:
    return {
        name: {key: value for key, value in msgspec.structs.asdict(result).items() if key != "name"}
        for name, result in sorted(results.items())
    }
