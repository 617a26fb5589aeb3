"""What the tests of this folder share: a record of what came of them, on each kernel they ran on."""

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


@pytest.fixture(autouse=True)
def hooks_of_what_is_seen(record_property: Callable[[str, object], None]) -> None:
    """By which hook each event type was seen that the test looks at: for the table in bpf/README.md (bpf/hooks.py)."""
    recorded.SEEN = seen = dict[str, str]()
    record_property("seen", seen)
