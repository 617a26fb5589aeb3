"""Chunks and transports for the tests of Fluent Forward."""

import gzip
from typing import Any

import msgpack

from exporter import config
from exporter.model import Payload
from exporter.sink.fluent_forward import FluentForward
from tests.sink.conftest import Certificates
from tests.sink.receivers import Reply

ENTRIES = [[1700000000, {"message": "exec"}], [1700000001, {"message": "exit"}]]
DATA = b"".join(msgpack.packb(entry) for entry in ENTRIES)
PAYLOAD = Payload("logs", DATA, 2, tag="podwitness.process")
PACKED = Payload("logs", gzip.compress(DATA), 2, tag="podwitness.process", gzip=True, size=len(DATA))
LARGE = Payload("logs", msgpack.packb([1, {"message": "x" * 2_000_000}]) * 2, 2, tag="podwitness.process")
HELO = bytes(msgpack.packb(["HELO", {"nonce": b"n" * 16, "auth": b"", "keepalive": True}]))
SILENCE: Reply = lambda _chunk: b""  # noqa: E731  # it stands in a row with other replies
HANGUP: Reply = lambda _chunk: None  # noqa: E731


def forward(port: int, **changes: Any) -> FluentForward:
    return FluentForward(config.FluentForward(**changes), ("127.0.0.1", port))


def tls_of(certificates: Certificates, **changes: Any) -> config.Tls:
    return config.Tls(ca_file=certificates.ca, **changes)
