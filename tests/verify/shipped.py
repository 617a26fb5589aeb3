"""A node that ships records by the real encoders, and the files that receivers would have written."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgpack

from exporter import probes
from exporter.config import Batch
from exporter.encode.chain import Chain, Signer
from exporter.encode.fluent import FluentEncoder
from exporter.encode.otlp_json import LogsJsonEncoder
from exporter.enrich.own import Own
from exporter.model import Event, Loss, Payload, Ranges, Stream
from tests.encode.events import TOUCH, make_event, make_process, make_resource

Form = Literal["otlp", "flat"]
KINDS = (*probes.TOLD, TOUCH)
KEEP: dict[str, Callable[[str], bool]] = {kind.name: lambda _name: True for kind in KINDS}
Change = Callable[[dict[str, Any]], object]


class Node:
    """One sink of a node, its stream and what it has shipped: a line for each batch, or for each flat record."""

    def __init__(
        self, form: Form = "otlp", *, signer: Signer | None = None, stream: Stream | None = None, batch: int = 10
    ) -> None:
        self.form = form
        self.stream = stream or Stream("files", "0123456789abcdef")
        self.chain = Chain(self.stream, signer) if signer else None
        limits = Batch(max_records=batch)
        self._encoder = (
            LogsJsonEncoder(KINDS, KEEP, limits, "1", self.stream, self.chain)
            if form == "otlp"
            else FluentEncoder(KINDS, KEEP, limits, "podwitness", self.stream, self.chain)
        )
        # Two workloads: a batch groups their records, so numbers do not ascend in it.
        self._processes = [make_process(resource=make_resource(**{"k8s.pod.name": name})) for name in ("one", "two")]
        host = make_resource()
        self.own = Own("boot", host)
        self.lines: list[bytes] = []

    def touch(self, count: int = 1) -> "Node":
        """So many records of things that happened."""
        for _ in range(count):
            number = self.stream.next
            values = (f"file {number}", number, True, (1, 2), None)
            self.emit(make_event(TOUCH, self._processes[number % 3 % 2], values, f"boot-1-{number:x}"))
        return self

    def lose(self, sequences: Ranges, count: int | None, reason: str = "queue_full", stream: str = "") -> "Node":
        """State that records are lost."""
        for event in self.own.lost(Loss("files", "sink", reason, count, 10**18, 2 * 10**18, sequences, stream)):
            self.emit(event)
        return self

    def sign(self) -> "Node":
        """A record with a signature."""
        event = self.own.stopped()
        event.kind, event.values = probes.agent.CHAIN_SIGNED, ("", "")
        return self.emit(event)

    def stop(self) -> "Node":
        """The agent ends."""
        return self.emit(self.own.stopped()).flush()

    def emit(self, event: Event) -> "Node":
        for payload in self._encoder.encode([event]):
            self._ship(payload)
        return self

    def flush(self) -> "Node":
        for payload in self._encoder.flush():
            self._ship(payload)
        return self

    def _ship(self, payload: Payload) -> None:
        if self.form == "otlp":
            self.lines.append(payload.data)
        else:
            unpacker = msgpack.Unpacker(ext_hook=lambda code, data: None)
            unpacker.feed(payload.data)
            self.lines += [json.dumps(record).encode() + b"\n" for _time, record in unpacker]

    def write(self, path: Path) -> Path:
        path.write_bytes(b"".join(self.lines))
        return path

    def alter(self, number: int, change: Change) -> None:
        """Somebody edits the record that has this number: `change` gets its JSON; None of it removes the record."""
        for at, line in enumerate(self.lines):
            tree = json.loads(line)
            for holder, record in records(tree):
                if numbered(record) == number:
                    if change(record) is None:
                        holder.remove(record)
                    self.lines[at : at + 1] = [json.dumps(tree).encode() + b"\n"] if tree else []
                    return
        raise AssertionError(f"no record {number}")

    def place(self, number: int) -> int:
        """The line that the record with this number is in, from 1."""
        return next(
            at
            for at, line in enumerate(self.lines, start=1)
            if number in [numbered(record) for _, record in records(json.loads(line))]
        )


class _Itself(list[Any]):
    """A flat record is its line: removing it empties the line."""

    def remove(self, record: Any) -> None:
        record.clear()


def records(tree: dict[str, Any]) -> list[tuple[list[Any], dict[str, Any]]]:
    """Each record of a line, with the list it stands in."""
    if "resourceLogs" not in tree:
        return [(_Itself(), tree)]
    found = []
    for resource in tree["resourceLogs"]:
        for scope in resource["scopeLogs"]:
            found += [(scope["logRecords"], record) for record in scope["logRecords"]]
    return found


def numbered(record: dict[str, Any]) -> int:
    """The record's number."""
    if "attributes" not in record:
        return int(record.get("podwitness.event.sequence", 0))
    return int(attribute(record, "podwitness.event.sequence")["intValue"])


def attribute(record: dict[str, Any], name: str) -> dict[str, Any]:
    """An attribute's value, to be read or changed."""
    value: dict[str, Any] = next(one["value"] for one in record["attributes"] if one["key"] == name)
    return value


def set_text(record: dict[str, Any], name: str, text: str) -> bool:
    """Write another text into a record."""
    if "attributes" in record:
        attribute(record, name)["stringValue"] = text
    else:
        record[name] = text
    return True


def set_number(record: dict[str, Any], number: int) -> bool:
    """Give a record another number."""
    if "attributes" in record:
        attribute(record, "podwitness.event.sequence")["intValue"] = str(number)
    else:
        record["podwitness.event.sequence"] = number
    return True


def make_key(folder: Path, name: str = "key") -> tuple[Signer, Path]:
    """A key pair as a user makes it: the signer, and the file with the public key."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    private.chmod(0o600)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return Signer(str(private)), public
