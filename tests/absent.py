"""What a machine cannot have: skipped by name, or a failure where CI promised that it is there."""

import os
from typing import NoReturn

import pytest


def absent(what: str, reason: str) -> NoReturn:
    """Skip the test at hand; with REQUIRE_`what`=1 fail it."""
    if os.environ.get(f"REQUIRE_{what}") == "1":
        pytest.fail(f"REQUIRE_{what}=1, but {reason}", pytrace=False)
    pytest.skip(reason)
