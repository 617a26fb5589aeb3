"""What `receiver.py` noted: each synthetic event, when it happened and when it came, by OpenTelemetry's own classes."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.bench.receiver import HEAD

EVENT = "podwitness.synthetic.activity"
_NUMBER = "podwitness.synthetic.number"


class Arrival(NamedTuple):
    """One event: its number, and in Unix ns when the kernel saw it and when the receiver had all of its request.

    `pid` is the workload's: somebody's tests may run the same one.
    """

    pid: int
    number: int
    happened: int
    arrived: int


def requests(path: Path) -> Iterator[tuple[int, bytes]]:
    """When each request came, and its body."""
    data = path.read_bytes()
    at = 0
    while at + HEAD.size <= len(data):
        arrived, length = HEAD.unpack_from(data, at)
        at += HEAD.size + length
        yield arrived, data[at - length : at]


def arrivals(path: Path) -> list[Arrival]:
    """All synthetic events, in the order in which they came."""
    return [arrival for arrived, body in requests(path) for arrival in _of(arrived, body)]


def _of(arrived: int, body: bytes) -> Iterator[Arrival]:
    request = ExportLogsServiceRequest.FromString(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
    for group in request.resource_logs:
        for scope in group.scope_logs:
            for record in scope.log_records:
                if record.event_name == EVENT:
                    held = {pair.key: pair.value.int_value for pair in record.attributes}
                    yield Arrival(held["process.pid"], held[_NUMBER], record.time_unix_nano, arrived)
