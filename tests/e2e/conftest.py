"""What the tests of a durable agent share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.durable import build
from tests.kernel import bpffs as mount
from tests.kernel.bpffs import Bpffs
from tests.sink.conftest import Certificates, certificates

__all__ = ["Certificates", "certificates"]


@pytest.fixture
def bpffs(tmp_path: Path) -> Iterator[Bpffs]:
    """A bpffs of this test's own, in a mount namespace of its own."""
    with mount.bpffs(tmp_path) as found:
        yield found


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of bpf/ and the synthetic one."""
    return build(tmp_path_factory.mktemp("objects"))
