"""OTLP over HTTP against real sockets: what is sent, and what each answer means."""

import gzip
import shutil
import socket
import threading
import time
from contextlib import closing
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from google.rpc.status_pb2 import Status

from exporter import config
from exporter.errors import ConfigError
from exporter.model import Delivery, Payload
from exporter.sink.otlp_http import MAX_RESPONSE_BYTES, PERHAPS_STORED, OtlpHttp
from tests.peers.processes import free_port
from tests.sink.conftest import Certificates
from tests.sink.receivers import Answer, HttpReceiver
from tests.sink.test_otlp_response import partial

LOGS = Payload("logs", b"log records " * 100, 100)
SPANS = Payload("traces", b"spans " * 100, 100)
LOGS_GZIP = Payload("logs", gzip.compress(LOGS.data), 100, gzip=True, size=LOGS.size)


def sink_to(url: str, **changes: Any) -> "closing[OtlpHttp]":
    """A transport that is closed at the end."""
    return closing(OtlpHttp(config.OtlpHttp(endpoint=url, **changes), environ={}, version="1.2.3"))


def answer_to(answer: Answer, payload: Payload = LOGS, **changes: Any) -> Delivery:
    """What one request becomes with this answer."""
    with HttpReceiver(answer) as receiver, sink_to(receiver.url, **changes) as sink:
        return sink.send(payload)


def test_logs_and_spans_go_to_their_paths_as_gzip_protobuf() -> None:
    with HttpReceiver() as receiver, sink_to(f"{receiver.url}/otlp", headers={"X-Scope-OrgID": "café"}) as sink:
        assert sink.gzip
        assert sink.send(LOGS_GZIP) == sink.send(SPANS) == Delivery("accepted")
    logs, spans = receiver.requests
    assert (logs.path, spans.path) == ("/otlp/v1/logs", "/otlp/v1/traces")
    assert (logs.body, logs.headers["content-encoding"]) == (LOGS_GZIP.data, "gzip")
    assert (spans.body, "content-encoding" in spans.headers) == (SPANS.data, False), "a payload queued without gzip"
    assert logs.headers["content-type"] == spans.headers["content-type"] == "application/x-protobuf"
    assert logs.headers["user-agent"] == "podwitness/1.2.3 OTel-OTLP-Exporter-Python/1.2.3"
    assert logs.headers["x-scope-orgid"].encode("latin-1").decode() == "café"


def test_the_environment_fills_what_is_not_set() -> None:
    with HttpReceiver() as receiver:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{receiver.url}/loki?tenant=a",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x",
        }
        sink = OtlpHttp(config.OtlpHttp(), environ=environ, version="0")
        sink.send(LOGS), sink.send(SPANS)
        assert sink.endpoint == f"{receiver.url}/loki"
        sink.close()
    assert [request.path for request in receiver.requests] == ["/loki?tenant=a", "/v1/traces"]
    assert {request.headers["authorization"] for request in receiver.requests} == {"Bearer x"}


def test_without_compression_nothing_is_sent_compressed() -> None:
    with HttpReceiver() as receiver, sink_to(receiver.url, compression="none") as sink:
        assert not sink.gzip
        sink.send(LOGS), sink.send(LOGS_GZIP)
    for request in receiver.requests:
        assert request.body == LOGS.data
        assert "content-encoding" not in request.headers


def test_what_the_queue_has_damaged_is_refused_and_nothing_is_sent() -> None:
    with HttpReceiver() as receiver, sink_to(receiver.url, compression="none") as sink:
        delivery = sink.send(Payload("logs", LOGS_GZIP.data[:-1], 3, gzip=True, size=100))
    assert (delivery.outcome, receiver.requests) == ("refused", [])
    assert "damaged" in delivery.reason


def connections(receiver: HttpReceiver) -> int:
    return len({request.connection for request in receiver.requests})


def test_the_connection_is_kept_while_all_is_well_and_given_up_after_a_failure() -> None:
    answers = [Answer(status) for status in (200, 204, 400, 413, 200, 503)]
    with HttpReceiver(*answers) as receiver, sink_to(receiver.url) as sink:
        for _ in answers:
            sink.send(LOGS)
        assert connections(receiver) == 1
        sink.send(LOGS)
        assert connections(receiver) == 2


def test_a_name_is_looked_up_again_for_a_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, look_up = list[str](), socket.getaddrinfo

    def count(host: Any, *args: Any, **more: Any) -> Any:
        asked.append(host)
        return look_up(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", count)
    with HttpReceiver() as receiver, sink_to(f"http://localhost:{receiver.port}", reconnect_seconds=1e-9) as sink:
        for _ in range(3):
            assert sink.send(LOGS).outcome == "accepted"
        assert connections(receiver) == 3
    assert asked.count("localhost") == 3


def test_a_partial_success_is_accepted_but_for_the_rejected() -> None:
    logs = answer_to(Answer(200, partial("logs", 3, "too old")))
    assert logs == Delivery("accepted", "too old", rejected=3)
    spans = answer_to(Answer(200, partial("traces", 2, "too long")), SPANS)
    assert spans == Delivery("accepted", "too long", rejected=2)


def test_loki_answers_204_without_a_body() -> None:
    assert answer_to(Answer(204)) == Delivery("accepted")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_four_codes_mean_again(status: int) -> None:
    delivery = answer_to(Answer(status, Status(message="busy").SerializeToString()))
    assert (delivery.outcome, delivery.delay) == ("retry", None)
    assert delivery.reason.startswith(f"HTTP {status} ")
    assert delivery.reason.endswith(": busy")


@pytest.mark.parametrize("status", [201, 202, 206, 260, 304, 401, 403, 404, 408, 415, 500, 501, 505, 599])
def test_every_other_code_is_final(status: int) -> None:
    body = b"" if status == 304 else Status(message="ingestion blocked").SerializeToString()
    delivery = answer_to(Answer(status, body))
    assert delivery.outcome == "refused"
    assert delivery.reason.startswith(f"HTTP {status}")
    if body:
        assert delivery.reason.endswith(": ingestion blocked")


def test_lokis_400_says_that_some_of_the_records_may_be_stored() -> None:
    delivery = answer_to(Answer(400, Status(message="1 entry is too old").SerializeToString()))
    assert delivery == Delivery("refused", f"HTTP 400 Bad Request: 1 entry is too old; {PERHAPS_STORED}")


def test_413_means_too_large() -> None:
    delivery = answer_to(Answer(413, b"request body too large"))
    assert delivery == Delivery("too_large", "HTTP 413 Request Entity Too Large: request body too large")


def test_the_collectors_way_to_say_too_large_is_understood() -> None:
    delivery = answer_to(Answer(400, Status(message="http: request body too large").SerializeToString()))
    assert delivery == Delivery("too_large", "HTTP 400 Bad Request: http: request body too large")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_named_and_not_followed(status: int) -> None:
    with HttpReceiver() as other:
        location = (("location", f"{other.url}/v1/logs"),)
        delivery = answer_to(Answer(status, headers=location))
    assert delivery.outcome == "refused"
    assert f"{other.url}/v1/logs" in delivery.reason
    assert other.requests == []


@pytest.mark.parametrize(("text", "delay"), [("7", 7.0), (" 120 ", 120.0), ("0", 0.0), ("9" * 500, 9999999999.0)])
def test_retry_after_in_seconds(text: str, delay: float) -> None:
    assert answer_to(Answer(429, headers=(("retry-after", text),))).delay == delay


def test_retry_after_as_a_date() -> None:
    text = formatdate(time.time() + 3600, usegmt=True)
    later = answer_to(Answer(503, headers=(("retry-after", text),)))
    assert later.delay is not None
    assert 3000 < later.delay <= 3600
    past = answer_to(Answer(503, headers=(("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"),)))
    assert past.delay == 0.0


def test_a_date_counts_from_the_receivers_clock() -> None:
    written = (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n"
        b"date: Wed, 21 Oct 2015 07:28:00 GMT\r\nretry-after: Wed, 21 Oct 2015 07:30:00 GMT\r\n\r\n"
    )
    assert answer_to(Answer(written=written)).delay == 120.0


@pytest.mark.parametrize("text", ["soon", "-1", "1.5", "²", "Wed, 99 Oct 2015 07:28:00 GMT", "inf", ""])
def test_a_retry_after_that_says_nothing_is_left_out(text: str) -> None:
    delivery = answer_to(Answer(503, headers=(("retry-after", text),)))
    assert (delivery.outcome, delivery.delay) == ("retry", None)


def test_nobody_there_is_a_retry_that_says_so() -> None:
    with sink_to(f"http://127.0.0.1:{free_port()}") as sink:
        assert sink.send(LOGS) == Delivery("retry", "no answer: [Errno 111] Connection refused")


def test_a_name_that_nobody_knows_is_a_retry() -> None:
    with sink_to("http://collector.invalid:4318") as sink:
        delivery = sink.send(LOGS)
    assert delivery.outcome == "retry"
    assert "Errno -" in delivery.reason


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"HTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 999999999 ?\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
)
def test_an_answer_that_breaks_off_or_is_no_http_is_a_retry(written: bytes) -> None:
    with HttpReceiver(Answer(written=written)) as receiver, sink_to(receiver.url) as sink:
        delivery = sink.send(LOGS)
        assert delivery.outcome == "retry"
        assert delivery.reason.startswith("no answer: ")
        assert delivery.reason.isprintable()
        assert sink.send(LOGS).outcome == "accepted", "on a new connection"


def test_an_error_stays_final_when_its_text_breaks_off() -> None:
    written = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 10\r\n\r\nhalf"
    assert answer_to(Answer(written=written)) == Delivery("refused", f"HTTP 400 Bad Request; {PERHAPS_STORED}")


def test_a_connection_reset_in_the_middle_of_the_request_is_a_retry() -> None:
    large = Payload("logs", bytes(8 * 1024 * 1024), 1)
    with HttpReceiver(Answer(cut=True)) as receiver, sink_to(receiver.url) as sink:
        assert sink.send(large).outcome == "retry"
        assert sink.send(large).outcome == "accepted"
    assert [len(request.body) for request in receiver.requests] == [large.size]


def test_a_receiver_that_hangs_is_a_retry() -> None:
    hold = threading.Event()
    with HttpReceiver(Answer(hold=hold)) as receiver, sink_to(receiver.url, timeout_seconds=0.05) as sink:
        assert sink.send(LOGS) == Delivery("retry", "no answer: timed out")
        hold.set()


def test_an_answer_in_drops_ends_with_the_timeout() -> None:
    enough = threading.Event()
    with HttpReceiver(Answer(drip=enough)) as receiver, sink_to(receiver.url, timeout_seconds=0.2) as sink:
        assert sink.send(LOGS) == Delivery("retry", "no answer: the answer took too long")
        enough.set()


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    body = bytes(MAX_RESPONSE_BYTES + 1)
    with HttpReceiver(Answer(400, body), Answer(200, body)) as receiver, sink_to(receiver.url) as sink:
        assert sink.send(LOGS) == Delivery("refused", f"HTTP 400 Bad Request; {PERHAPS_STORED}")
        delivery = sink.send(LOGS)
        assert (delivery.outcome, delivery.rejected) == ("accepted", 0)
        assert "no OTLP response" in delivery.reason
        assert sink.send(LOGS) == Delivery("accepted"), "what was not read is not the next answer"


def test_a_receiver_that_restarts_gets_the_payload_on_a_new_connection() -> None:
    with HttpReceiver() as receiver, sink_to(receiver.url) as sink:
        assert sink.send(LOGS).outcome == "accepted"
        receiver.answers.append(Answer(written=b""))
        assert [sink.send(LOGS).outcome for _ in range(2)] == ["retry", "accepted"]


def test_tls_with_a_ca_of_our_own(certificates: Certificates) -> None:
    with (
        HttpReceiver(tls=certificates.server()) as receiver,
        sink_to(receiver.url, tls=config.Tls(ca_file=certificates.ca)) as sink,
    ):
        assert sink.send(LOGS) == Delivery("accepted")


@pytest.mark.parametrize(
    ("server", "trusted", "says"),
    [("server", False, "certificate chain"), ("elsewhere", True, "127.0.0.1")],
)
def test_a_certificate_that_cannot_be_trusted_is_a_retry_that_says_why(
    certificates: Certificates, server: str, trusted: bool, says: str
) -> None:
    files = config.Tls(ca_file=certificates.ca if trusted else None)
    with HttpReceiver(tls=certificates.server(server)) as receiver, sink_to(receiver.url, tls=files) as sink:
        delivery = sink.send(LOGS)
    assert delivery.outcome == "retry"
    assert delivery.reason.startswith("no answer: TLS: the receiver's certificate is not trusted: ")
    assert says in delivery.reason
    assert receiver.requests == []


def test_a_receiver_can_ask_for_a_certificate_of_ours(certificates: Certificates) -> None:
    certificate, key = certificates.of("client")
    files = config.Tls(ca_file=certificates.ca, certificate_file=certificate, key_file=key)
    with HttpReceiver(tls=certificates.server(ask_client=True)) as receiver:
        with sink_to(receiver.url, tls=config.Tls(ca_file=certificates.ca)) as sink:
            assert sink.send(LOGS).outcome == "retry"
        with sink_to(receiver.url, tls=files) as sink:
            assert sink.send(LOGS).outcome == "accepted"
    assert len(receiver.requests) == 1


def test_plain_http_at_a_tls_port_and_the_other_way_round(certificates: Certificates) -> None:
    with HttpReceiver(tls=certificates.server()) as receiver, sink_to(f"http://127.0.0.1:{receiver.port}") as sink:
        assert sink.send(LOGS).outcome == "retry"
    with HttpReceiver() as receiver, sink_to(f"https://127.0.0.1:{receiver.port}") as sink:
        delivery = sink.send(LOGS)
    assert delivery.outcome == "retry"
    assert delivery.reason.startswith("no answer: TLS: ")


def test_files_that_cannot_be_used_stop_the_start(tmp_path: Path) -> None:
    files = config.Tls(ca_file=str(tmp_path / "missing.pem"))
    with pytest.raises(ConfigError, match=r"^tls\.ca_file: "):
        OtlpHttp(config.OtlpHttp(endpoint="https://collector", tls=files), environ={}, version="0")


def test_the_name_in_the_certificate_can_be_another(certificates: Certificates) -> None:
    files = config.Tls(ca_file=certificates.ca, server_name="elsewhere.example")
    with HttpReceiver(tls=certificates.server("elsewhere")) as receiver, sink_to(receiver.url, tls=files) as sink:
        assert sink.send(LOGS).outcome == "accepted"
    with HttpReceiver(tls=certificates.server()) as receiver, sink_to(receiver.url, tls=files) as sink:
        assert sink.send(LOGS).outcome == "retry", "and is still verified"


def test_a_new_ca_is_used_for_a_new_connection(
    certificates: Certificates, renewed: Certificates, tmp_path: Path
) -> None:
    port, ca = free_port(), tmp_path / "ca.crt"
    shutil.copy(certificates.ca, ca)
    with sink_to(f"https://127.0.0.1:{port}", tls=config.Tls(ca_file=str(ca))) as sink:
        with HttpReceiver(port=port, tls=certificates.server()) as receiver:
            assert sink.send(LOGS).outcome == "accepted"
            shutil.copy(renewed.ca, ca)
            assert sink.send(LOGS).outcome == "retry", "the old receiver is not trusted any more"
        assert len(receiver.requests) == 1
        with HttpReceiver(port=port, tls=renewed.server()):
            assert sink.send(LOGS).outcome == "accepted"


def test_our_own_new_certificate_is_shown_to_the_receiver(
    certificates: Certificates, renewed: Certificates, tmp_path: Path
) -> None:
    own = [str(tmp_path / name) for name in ("tls.crt", "tls.key")]
    files = config.Tls(ca_file=certificates.ca, certificate_file=own[0], key_file=own[1])

    def install(issued: Certificates) -> None:
        for source, target in zip(issued.of("client"), own, strict=True):
            shutil.copy(source, target)

    install(renewed)
    with (
        HttpReceiver(tls=certificates.server(ask_client=True)) as receiver,
        sink_to(receiver.url, tls=files) as sink,
    ):
        assert sink.send(LOGS).outcome == "retry", "nobody the receiver knows"
        install(certificates)
        assert sink.send(LOGS).outcome == "accepted"


def test_certificates_play_no_part_without_tls(tmp_path: Path) -> None:
    with (
        HttpReceiver() as receiver,
        sink_to(receiver.url, tls=config.Tls(ca_file=str(tmp_path / "missing.pem"))) as sink,
    ):
        assert sink.send(LOGS).outcome == "accepted"


def test_a_sink_without_spans_does_not_ask_where_they_would_go() -> None:
    environ = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "nowhere"}
    OtlpHttp(config.OtlpHttp(spans=False), environ=environ, version="0").close()
    with pytest.raises(ConfigError, match="TRACES_ENDPOINT"):
        OtlpHttp(config.OtlpHttp(), environ=environ, version="0")
