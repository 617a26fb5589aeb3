"""Shipped records are changed, removed, swapped and inserted: `podwitness verify` names the first one that was."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.durable import Durable, flood
from tests.kernel import bpffs as mount
from tests.peers.collector import Collector

pytestmark = [pytest.mark.kernel, pytest.mark.peers]

Records = list[dict[str, Any]]


class Shipped(NamedTuple):
    """What a Collector has written of real records, and who can check it."""

    lines: list[dict[str, Any]]
    agent: Durable
    key: Path
    folder: Path

    def verify(self, lines: list[dict[str, Any]]) -> tuple[int, str]:
        """Exit code and answer for these lines."""
        path = self.folder / "checked.json"
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        done = self.agent.command("verify", str(path), "--public-key", str(self.key))
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def shipped(collector_binary: Path, objects: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    folder = tmp_path_factory.mktemp("shipped")
    private, public = folder / "private.pem", folder / "public.pem"
    _openssl(f"genpkey -algorithm ed25519 -out {private}")
    private.chmod(0o600)
    _openssl(f"pkey -in {private} -pubout -out {public}")
    collector = Collector(collector_binary, folder)
    collector.start()
    with mount.bpffs(folder) as bpffs:
        sink = {"type": "otlp_http", "endpoint": collector.otlp_endpoint, "spans": False}
        settings = {"sinks": {"main": sink}, "tamper_evidence": {"key_file": str(private)}}
        agent = Durable(folder / "agent", bpffs, objects, settings)
        try:
            agent.start()
            agent.watches()
            assert flood(23, 500, 1).wait(60) == 0
            agent.stop()
            collector.stop()
            lines = [json.loads(line) for line in collector.logs_path.read_text().splitlines()]
            yield Shipped(lines, agent, public, folder)
        finally:
            agent.close()


def _openssl(arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], check=True, capture_output=True)


def records(lines: list[dict[str, Any]]) -> Records:
    return [record for _, record in placed(lines)]


def placed(lines: list[dict[str, Any]]) -> list[tuple[Records, dict[str, Any]]]:
    """Each record with the list it stands in."""
    scopes = [scope for line in lines for group in line["resourceLogs"] for scope in group["scopeLogs"]]
    return [(scope["logRecords"], record) for scope in scopes for record in scope["logRecords"]]


def sequence(record: dict[str, Any]) -> int:
    return int(attribute(record, "podwitness.event.sequence")["intValue"])


def attribute(record: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(pair["value"] for pair in record["attributes"] if pair["key"] == name)
    return found


def numbered(lines: list[dict[str, Any]], number: int) -> tuple[Records, dict[str, Any]]:
    return next((home, record) for home, record in placed(lines) if sequence(record) == number)


def test_what_was_shipped_is_whole_and_signed(shipped: Shipped) -> None:
    code, answer = shipped.verify(shipped.lines)
    assert code == 0, answer
    assert len(records(shipped.lines)) > 500


def change(lines: list[dict[str, Any]], number: int) -> None:
    attribute(numbered(lines, number)[1], "process.pid")["intValue"] = "1"


def remove(lines: list[dict[str, Any]], number: int) -> None:
    home, record = numbered(lines, number)
    home.remove(record)


def insert(lines: list[dict[str, Any]], number: int) -> None:
    """A record more, in the place of a number that is taken."""
    home, record = numbered(lines, number)
    more = json.loads(json.dumps(record))
    attribute(more, "log.record.uid")["stringValue"] += "0"
    home.insert(home.index(record) + 1, more)


def swap(lines: list[dict[str, Any]], number: int) -> None:
    """Two records change their places in the story: each has the other's number."""
    one, other = (attribute(numbered(lines, at)[1], "podwitness.event.sequence") for at in (number, number + 1))
    one["intValue"], other["intValue"] = other["intValue"], one["intValue"]


@pytest.mark.parametrize("tamper", [change, remove, insert, swap])
def test_what_was_tampered_with_is_named(shipped: Shipped, tamper: Callable[[list[dict[str, Any]], int], None]) -> None:
    lines = json.loads(json.dumps(shipped.lines))
    plain = [sequence(r) for r in records(lines) if r["eventName"] == "podwitness.synthetic.activity"]
    number = sorted(plain)[len(plain) // 2]
    tamper(lines, number)
    code, answer = shipped.verify(lines)
    assert code == 1, answer
    assert str(number) in answer, answer


def test_a_record_rewritten_with_all_hashes_after_it_is_betrayed_by_the_signature(shipped: Shipped) -> None:
    lines = json.loads(json.dumps(shipped.lines))
    signed = [r for r in records(lines) if r["eventName"] == "podwitness.agent.chain_signed"]
    assert signed
    value = attribute(signed[-1], "podwitness.chain.signature")
    value["stringValue"] = attribute(signed[0], "podwitness.chain.signature")["stringValue"][::-1]
    code, answer = shipped.verify(lines)
    assert code == 1, answer
