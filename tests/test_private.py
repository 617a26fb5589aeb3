"""Key files: read where nobody else can read them, refused with what to do elsewhere."""

import os
from pathlib import Path

import pytest

from exporter.errors import ConfigError
from exporter.private import LARGEST, read_private


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"secret")
    for mode in (0o400, 0o600, 0o640):  # Kubernetes gives a Secret to a group (fsGroup)
        path.chmod(mode)
        assert read_private(str(path), where="key_file") == b"secret"


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o601])
def test_a_file_that_everybody_may_use_is_no_secret(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"secret")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=r"key_file: .* is open to every user .*chmod o-rwx") as caught:
        read_private(str(path), where="key_file")
    assert "secret" not in str(caught.value)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path / "fifo", tmp_path):
        with pytest.raises(ConfigError, match="is no file"):
            read_private(str(path), where="key_file")


@pytest.mark.parametrize("name", ["none", "none/none", "n" * 300, "\0"])
def test_what_cannot_be_opened_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read: "):
        read_private(f"{tmp_path}/{name}", where="key_file")


def test_what_is_too_large_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"x" * (LARGEST + 1))
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="that is no key"):
        read_private(str(path), where="key_file")
