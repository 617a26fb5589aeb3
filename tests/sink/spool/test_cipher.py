"""Encryption at rest: nothing readable on disk, nothing opened with another key."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from exporter import config
from exporter.errors import ConfigError
from exporter.sink.spool.cipher import Cipher, read_key
from exporter.sink.spool.spool import Spool
from exporter.telemetry import Ledger
from tests.sink.spool.spooling import Numbered, commit, opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def key(tmp_path: Path, content: bytes, name: str = "key") -> str:
    file = tmp_path / name
    file.write_bytes(content)
    file.chmod(0o600)
    return str(file)


def test_nothing_of_what_was_put_can_be_read_on_disk(tmp_path: Path, folder: Path) -> None:
    made = Numbered()
    with opened(folder, config.Queue(max_bytes=60), key_file=key(tmp_path, os.urandom(32))) as one:
        for _ in range(3):
            one.queue.put(made.payload())
        commit(one.spool, made, journal=b"a secret entry")
        on_disk = b"".join(path.read_bytes() for path in folder.iterdir())
        assert one.drain() == [1, 2, 3]
    for secret in (b"((1, 1),)", b"a secret entry", made.state["stream.a"]):
        assert secret not in on_disk


def test_the_same_key_opens_it_again(tmp_path: Path, folder: Path) -> None:
    made = Numbered()
    with opened(folder, key_file=key(tmp_path, b"k" * 32)) as one:
        one.queue.put(made.payload(2))
        commit(one.spool, made, journal=b"entry")
    with opened(folder, key_file=key(tmp_path, b"6b" * 32 + b"\n", "hex")) as one:
        assert one.spool.state == made.state
        assert one.spool.journal == [b"entry"]
        assert one.drain() == [1, 2]


@pytest.mark.parametrize(("first", "then"), [(b"a", b"b"), (None, b"b"), (b"a", None)])
def test_another_key_sets_it_aside(
    tmp_path: Path, folder: Path, first: bytes | None, then: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    def settings(byte: bytes | None) -> dict[str, Any]:
        return {"key_file": None if byte is None else key(tmp_path, byte * 32, byte.decode())}

    made = Numbered()
    with opened(folder, **settings(first)) as one:
        one.queue.put(made.payload(2))
        commit(one.spool, made, position=5, journal=b"entry")
    with opened(folder, **settings(then)) as one:
        assert "not written with the key of spool.key_file" in caplog.text
        told = {(loss.sink, loss.reason, loss.count, loss.sequences) for loss in one.losses()}
        assert told == {("a", "spool_key", 2, ((1, 2),)), ("*", "spool_key", None, ())}
        assert (one.spool.positions, one.spool.state, one.spool.journal) == ({7: 5}, {}, [])
        one.queue.put(made.payload())
        commit(one.spool, made)
        assert one.drain() == [3]
    assert [path.name[:18] for path in folder.glob("spool.db.*")] == ["spool.db.other-key"]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33, b"g" * 64, b"6b" * 33])
def test_what_is_no_key_is_refused(tmp_path: Path, folder: Path, content: bytes) -> None:
    with pytest.raises(ConfigError, match="32 bytes or 64 hex digits"):
        Spool.open(config.Spool(path=str(folder), key_file=key(tmp_path, content)), Ledger())


def test_a_key_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_key(str(tmp_path / "none"))


def test_a_key_that_everybody_can_read_is_refused_as_any_other_is(tmp_path: Path) -> None:
    file = key(tmp_path, b"k" * 32)
    Path(file).chmod(0o640)  # as Kubernetes gives a Secret to a group
    assert read_key(file) == b"k" * 32
    Path(file).chmod(0o644)
    with pytest.raises(ConfigError, match=r"^spool\.key_file: .* is open to every user .*chmod o-rwx") as caught:
        read_key(file)
    assert "kkkk" not in str(caught.value)


def test_the_way_to_make_a_key_makes_one_that_is_taken(tmp_path: Path) -> None:
    file = key(tmp_path, b"none")
    with pytest.raises(ConfigError) as caught:
        read_key(file)
    Path(file).unlink()
    subprocess.run(caught.value.hint.split("`")[1], shell=True, check=True, umask=0o022)
    assert len(read_key(file) or b"") == 32


def test_what_is_sealed_opens_in_its_place_only() -> None:
    cipher = Cipher(b"k" * 32)
    sealed = cipher.seal(b"data", "1:a")
    assert len(sealed) == 4 + cipher.overhead
    assert cipher.unseal(sealed, "1:a") == b"data"
    assert cipher.unseal(sealed, "2:a") is None
    assert cipher.unseal(sealed[:-1], "1:a") is None
    assert cipher.unseal(b"", "1:a") is None
    assert Cipher(b"l" * 32).unseal(sealed, "1:a") is None
    assert Cipher().seal(b"data", "1:a") == b"data"
