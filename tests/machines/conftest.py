"""The machines, all started when the first is asked for: they run beside each other."""

import compileall
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

import exporter
from tests.absent import absent
from tests.kernel.builds import BUILDS, MADE
from tests.machines.kernels import SERIES, KernelUnavailableError, kernel
from tests.machines.machine import RESULTS, Machine, accelerator
from tests.machines.results import RESULTS_VARIABLE

PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short")


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The builds that kernel tests want; of one that does not compile the tests there tell."""
    folder = tmp_path_factory.mktemp("builds")
    for name, build in BUILDS.items():
        with suppress(subprocess.CalledProcessError, AssertionError):
            build(folder / f"new-{name}").rename(folder / name)
    return folder


@pytest.fixture(scope="session")
def machine(builds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Machine]]:
    """Gives the machine of a series, with the kernel tests under way; KERNEL_TESTS may have pytest's arguments."""
    asked = shlex.split(os.environ.get("KERNEL_TESTS", "")) or ["tests/kernel"]
    started, missing = dict[str, Machine](), dict[str, str]()
    # What is not compiled here would be compiled there, slowly, in each machine.
    compileall.compile_dir(exporter.__path__[0], quiet=1)

    def of(series: str) -> Machine:
        return started[series] if series in started else absent("KERNEL", missing[series])

    with ExitStack() as end:
        how = ""
        for series in SERIES:
            try:
                found = kernel(series)
                how = how or accelerator(found)
                folder = tmp_path_factory.mktemp(f"machine-{series}-")
                started[series] = Machine(found, folder, [*PYTEST, *asked], _environment(series, how, builds))
            except KernelUnavailableError as error:
                missing[series] = str(error)
                continue
            end.callback(started[series].stop)
            started[series].start(how)
        yield of


def _environment(series: str, how: str, builds: Path) -> dict[str, str]:
    there = {"PODWITNESS_MACHINE": series, RESULTS_VARIABLE: RESULTS, MADE: str(builds), "REQUIRE_KERNEL": "1"}
    return there | ({"PODWITNESS_EMULATED": "1"} if how == "tcg" else {})
