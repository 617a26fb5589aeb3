"""Bodies of OTLP answers, also those that are none."""

import json

import pytest
from google.rpc.error_details_pb2 import DebugInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from exporter.model import Delivery, Signal
from exporter.sink.otlp_response import ALL_ACCEPTED, MAX_TEXT, accepted, message, printable, retry_delay

PROTOBUF = "application/x-protobuf"


def partial(signal: Signal, rejected: int, text: str) -> bytes:
    """A response with a partial success, by the official classes."""
    if signal == "logs":
        logs = ExportLogsServiceResponse()
        logs.partial_success.rejected_log_records = rejected
        logs.partial_success.error_message = text
        return bytes(logs.SerializeToString())
    traces = ExportTraceServiceResponse()
    traces.partial_success.rejected_spans = rejected
    traces.partial_success.error_message = text
    return bytes(traces.SerializeToString())


SIGNALS: tuple[Signal, ...] = ("logs", "traces")


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_short_cuts_are_what_an_empty_success_looks_like(signal: Signal) -> None:
    assert partial(signal, 0, "") in ALL_ACCEPTED
    assert ExportLogsServiceResponse().SerializeToString() in ALL_ACCEPTED
    for body in ALL_ACCEPTED:
        assert accepted(signal, body, PROTOBUF) == Delivery("accepted")


@pytest.mark.parametrize("signal", SIGNALS)
def test_rejected_records_are_told_with_the_reason(signal: Signal) -> None:
    body = partial(signal, 7, "timestamp\ntoo old")
    assert accepted(signal, body, PROTOBUF) == Delivery("accepted", "timestamp too old", rejected=7)


def test_a_message_without_rejections_is_a_warning() -> None:
    body = partial("logs", 0, "please upgrade")
    assert accepted("logs", body, PROTOBUF) == Delivery("accepted", "please upgrade", rejected=0)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_server_that_only_speaks_json_is_understood(kind: str) -> None:
    body = {"partialSuccess": {"rejectedLogRecords": "3", "errorMessage": "no"}, "extra": 1}
    assert accepted("logs", json.dumps(body).encode(), kind) == Delivery("accepted", "no", rejected=3)
    assert accepted("logs", b"{}", kind) == Delivery("accepted")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>please log in</html>", "text/html"),
        (b"{", "application/json"),
        (b"\xff", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"\x0a\x05ab", PROTOBUF),
    ],
)
def test_an_answer_that_is_no_otlp_makes_one_wonder_about_the_endpoint(body: bytes, kind: str) -> None:
    delivery = accepted("logs", body, kind)
    assert (delivery.outcome, delivery.rejected) == ("accepted", 0)
    assert kind in delivery.reason


def test_an_answer_too_long_to_read_is_told() -> None:
    assert "no OTLP response" in accepted("logs", None, PROTOBUF).reason


def test_the_reason_of_an_error_is_the_message_of_its_status() -> None:
    assert message(Status(code=3, message="stream limit\x1b[31m reached").SerializeToString()) == (
        "stream limit [31m reached"
    )


def test_an_error_that_is_no_status_is_its_own_text() -> None:
    assert message(b"404 page not found\n") == "404 page not found"
    assert message(b'{"message":"x"}') == '{"message":"x"}'
    assert message(b"") == ""


def test_a_long_text_ends_with_a_whole_word() -> None:
    said = "every word counts " * 20
    for text in (said, said.encode(), said.strip()):
        short = printable(text)
        assert len(short) <= MAX_TEXT
        assert short == "every word counts " * 11 + "…"
    assert printable("é" * 1000) == "é" * (MAX_TEXT - 1) + "…", "one word"
    assert printable(("é" * 1000).encode()) == "é" * (MAX_TEXT - 1) + "…"


@pytest.mark.parametrize("text", ["", "short", "x" * MAX_TEXT, f"\t{'x ' * 100} \r\n"])
def test_a_text_that_is_short_enough_is_whole(text: str) -> None:
    assert printable(text) == printable(text.encode()) == text.strip()


@given(st.binary() | st.text().map(str.encode))
def test_no_body_can_break_the_log(body: bytes) -> None:
    for text in (message(body), accepted("logs", body, "x/\r\ny").reason, printable(body)):
        assert text.isprintable()
        assert len(text) < 300


@given(st.sampled_from(SIGNALS), st.integers(-(2**63), 2**63 - 1), st.text())
def test_every_partial_success_is_read(signal: Signal, rejected: int, text: str) -> None:
    delivery = accepted(signal, partial(signal, rejected, text), PROTOBUF)
    assert (delivery.outcome, delivery.rejected) == ("accepted", max(rejected, 0))


@given(st.integers(-(10**10), 10**10), st.integers(0, 999_999_999))
def test_a_retry_delay_is_in_seconds_and_never_negative(seconds: int, nanos: int) -> None:
    info, status = RetryInfo(), Status()
    info.retry_delay.seconds, info.retry_delay.nanos = seconds, nanos
    status.details.add().Pack(DebugInfo(detail="first"))
    assert retry_delay(status.SerializeToString()) is None
    status.details.add().Pack(info)
    assert retry_delay(status.SerializeToString()) == max(0.0, seconds + nanos / 1e9)


def test_a_retry_info_without_a_delay_means_at_once() -> None:
    status = Status()
    status.details.add().Pack(RetryInfo())
    assert retry_delay(status.SerializeToString()) == 0.0


@given(st.binary())
def test_no_status_can_break_the_sink(details: bytes) -> None:
    delay = retry_delay(details)
    assert delay is None or delay >= 0.0
