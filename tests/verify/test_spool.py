"""`verify --spool`: the node's own spool tells the end of a stream that a file alone cannot."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter.config import Queue
from exporter.config import Spool as Settings
from exporter.errors import ConfigError
from exporter.model import Payload, Ranges
from exporter.sink.spool.spool import Commit, Spool
from exporter.telemetry import Ledger
from exporter.verify.checking import verify
from tests.verify.shipped import Node

KEY = "11" * 32


def keep(folder: Path, node: Node, waiting: Ranges = (), *, key: Path | None = None) -> Path:
    """The spool of the node's agent, with the stream as it is now and a payload of the numbers that wait."""
    ledger = Ledger()
    spool = Spool.open(Settings(path=str(folder), key_file=str(key) if key else None), ledger)
    queue = spool.queue("files", "otlp_json", Queue())
    spool.forget_others()
    for first, last in waiting:
        queue.put(Payload("logs", b"waits", last - first + 1, sequences=((first, last),)))
    spool.commit(Commit({}, {"stream.files": msgspec.msgpack.encode(node.stream)}))
    queue.close()
    spool.close()
    return folder


def found(file: Path, spool: Path, key: Path | None = None) -> tuple[int, dict[str, Any], str]:
    code, text = verify([file], key=None, spool=spool, as_json=True, spool_key=key)
    told = verify([file], key=None, spool=spool, as_json=False, spool_key=key).text
    return code, json.loads(text)["streams"][0], told


def test_what_waits_in_the_spool_is_not_missing(tmp_path: Path) -> None:
    node = Node().touch(50).flush()
    spool = keep(tmp_path / "spool", node, ((41, 50),))
    del node.lines[-1:]
    code, stream, told = found(node.write(tmp_path / "a.json"), spool)
    assert (code, stream["last"], stream["spool"]) == (0, 40, {"next": 51, "waiting": [[41, 50]]})
    assert "in its spool wait 41-50" in told


def test_an_end_that_was_cut_off_is_missing(tmp_path: Path) -> None:
    node = Node().touch(50).flush()
    spool = keep(tmp_path / "spool", node)
    assert found(node.write(tmp_path / "a.json"), spool)[0] == 0
    del node.lines[-2:]
    code, stream, told = found(node.write(tmp_path / "a.json"), spool)
    assert (code, [(gap["first"], gap["last"]) for gap in stream["missing"]]) == (1, [(31, 50)])
    assert "MISSING 31-50: after" in told


def test_a_record_beyond_what_the_node_has_numbered_is_inserted(tmp_path: Path) -> None:
    node = Node().touch(50)
    spool = keep(tmp_path / "spool", node)
    node.touch(1).flush()
    code, stream, _told = found(node.write(tmp_path / "a.json"), spool)
    assert (code, stream["faults"][0]["sequence"]) == (1, 51)


def test_a_stream_that_the_node_no_longer_has_cannot_be_compared(tmp_path: Path) -> None:
    node = Node().touch(5).flush()
    file = node.write(tmp_path / "a.json")
    node.stream.id = "another"
    code, stream, told = found(file, keep(tmp_path / "spool", node))
    assert (code, stream["spool"]) == (0, {"other_stream": "another"})
    assert "does not know this stream" in told


def test_an_encrypted_spool_needs_its_key(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    key.chmod(0o600)
    node = Node().touch(50).flush()
    spool = keep(tmp_path / "spool", node, key=key)
    file = node.write(tmp_path / "a.json")
    assert found(file, spool, key)[:1] == (0,)
    with pytest.raises(ConfigError, match="is encrypted"):
        verify([file], key=None, spool=spool, as_json=False)


@pytest.mark.parametrize(("content", "said"), [(None, "there is no spool.db"), (b"x" * 5000, "is damaged")])
def test_a_spool_that_cannot_be_read_is_said(content: bytes | None, said: str, tmp_path: Path) -> None:
    if content:
        (tmp_path / "spool.db").write_bytes(content)
    file = Node().touch(1).flush().write(tmp_path / "a.json")
    with pytest.raises(ConfigError, match=said):
        verify([file], key=None, spool=tmp_path, as_json=False)
