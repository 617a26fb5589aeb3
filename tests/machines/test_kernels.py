"""The kernel tests, on Debian's kernels: there kprobes, fentry and BPF LSM work, whatever this machine's kernel has.

Each test of tests/kernel is a subtest here; what came of it is in build/kernels.json too, with what it recorded.
"""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from tests.machines.kernels import SERIES
from tests.machines.machine import Machine, MachineError
from tests.machines.results import KERNELS, Result, add

pytestmark = pytest.mark.machine


@pytest.mark.parametrize("series", SERIES)
def test_on_debians_kernel(series: str, machine: Callable[[str], Machine], subtests: pytest.Subtests) -> None:
    there, results = machine(series), list[Result]()
    try:
        for result in finished(there):
            results.append(result)
            with subtests.test(result.name):
                as_here(result)
    finally:
        add(KERNELS, there.release, results)
    code, failed = there.exit_code(), any(result.outcome == "failed" for result in results)
    assert code == int(failed), f"pytest ended with code {code} there{there.last_words()}"


def finished(machine: Machine) -> Iterator[Result]:
    """The tests of the guest, each when it is done; an error of the machine has the name of the one it was at."""
    result = None
    try:
        for line in machine.results():
            result = msgspec.json.decode(line, type=Result)
            if result.outcome != "begun":
                yield result
        machine.exit_code()
    except MachineError as error:
        error.add_note(f"the last test was {result.name}, {result.outcome}" if result else "no test had begun")
        raise


def as_here(result: Result) -> None:
    """Fail or skip as the test did there."""
    if result.outcome == "failed":
        pytest.fail(result.said, pytrace=False)
    if result.outcome == "skipped":
        pytest.skip(result.said)
