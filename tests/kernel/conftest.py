"""What the tests of this folder share: a record of what came of them, on each kernel they ran on."""

import os
from collections.abc import Callable

import pytest

from tests.kernel import recorded
from tests.machines.results import Recorder

_recorder = Recorder()
# pytest asks a folder's conftest about that folder's tests only.
pytest_runtest_setup = _recorder.pytest_runtest_setup
pytest_runtest_logstart = _recorder.pytest_runtest_logstart
pytest_runtest_logreport = _recorder.pytest_runtest_logreport
pytest_sessionfinish = _recorder.pytest_sessionfinish


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On an emulated CPU, ten times slower, only the known workloads run: all else would take an hour."""
    if os.environ.get("PODWITNESS_EMULATED"):
        others = [item for item in items if "23" not in item.name]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if "23" in item.name]


@pytest.fixture(autouse=True)
def hooks_of_what_is_seen(record_property: Callable[[str, object], None]) -> None:
    """By which hook each event type was seen that the test looks at: for the table in bpf/README.md (bpf/hooks.py)."""
    recorded.SEEN = seen = dict[str, str]()
    record_property("seen", seen)
