"""OTLP over gRPC against real servers: what is sent, and what each answer means."""

import gzip
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from isal import igzip

from exporter import config
from exporter.errors import ConfigError
from exporter.model import Delivery, Payload
from exporter.sink.otlp_grpc import METHODS, OtlpGrpc
from tests.peers.processes import free_port
from tests.sink.conftest import Certificates
from tests.sink.grpc_receivers import (
    FramePeer,
    GrpcAnswer,
    GrpcReceiver,
    go_away,
    headers,
    reset_stream,
    retry_info,
    status,
)
from tests.sink.test_otlp_response import partial

LOGS = Payload("logs", b"log records " * 100, 100)
SPANS = Payload("traces", b"spans " * 100, 100)
CODE = grpc.StatusCode


def compressed(payload: Payload) -> Payload:
    """As an outbox queues it."""
    data = igzip.compress(payload.data, 1)
    return Payload(payload.signal, data, payload.records, gzip=True, size=payload.size)


def sink_to(url: str, **changes: Any) -> "closing[OtlpGrpc]":
    """A transport that is closed at the end."""
    return closing(OtlpGrpc(config.OtlpGrpc(endpoint=url, **changes), environ={}, version="1.2.3"))


def answer_to(answer: GrpcAnswer, payload: Payload = LOGS, **changes: Any) -> Delivery:
    """What one call becomes with this answer."""
    with GrpcReceiver(answer) as receiver, sink_to(receiver.url, **changes) as sink:
        return sink.send(payload)


def test_logs_and_spans_go_to_their_methods_as_they_were_encoded() -> None:
    with GrpcReceiver() as receiver, sink_to(receiver.url, headers={"X-Scope-OrgID": "shop", "token-bin": "é"}) as sink:
        assert sink.send(compressed(LOGS)) == sink.send(SPANS) == Delivery("accepted")
    logs, spans = receiver.calls
    assert (logs.method, logs.body) == (METHODS["logs"], LOGS.data)
    assert (spans.method, spans.body) == (METHODS["traces"], SPANS.data)
    assert logs.metadata["x-scope-orgid"] == "shop"
    assert logs.metadata["token-bin"] == "é".encode()
    assert logs.metadata["user-agent"].startswith("podwitness/1.2.3 OTel-OTLP-Exporter-Python/1.2.3 grpc-python/")


def test_payloads_are_to_wait_compressed_whatever_goes_on_the_wire() -> None:
    with sink_to("http://localhost:4317", compression="none") as plain, sink_to("http://localhost:4317") as sink:
        assert plain.gzip
        assert sink.gzip


@pytest.mark.parametrize(("compression", "flag"), [(None, 0), ("none", 0), ("gzip", 1)])
def test_the_message_is_compressed_only_where_it_was_asked_for(compression: Any, flag: int) -> None:
    with FramePeer(headers(503)) as peer, sink_to(peer.url, compression=compression) as sink:
        sink.send(compressed(LOGS))
    assert peer.data[0] == flag
    message = peer.data[5:]
    assert (gzip.decompress(message) if flag else message) == LOGS.data


def test_the_environment_fills_what_is_not_set() -> None:
    with GrpcReceiver() as receiver:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"127.0.0.1:{receiver.port}",
            "OTEL_EXPORTER_OTLP_INSECURE": "true",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x",
        }
        sink = OtlpGrpc(config.OtlpGrpc(), environ=environ, version="0")
        assert sink.endpoint == receiver.url
        assert sink.send(LOGS).outcome == sink.send(SPANS).outcome == "accepted"
        sink.close()
    assert {call.metadata["authorization"] for call in receiver.calls} == {"Bearer x"}


def test_a_partial_success_is_accepted_but_for_the_rejected() -> None:
    logs = answer_to(GrpcAnswer(body=partial("logs", 3, "too old")))
    assert logs == Delivery("accepted", "too old", rejected=3)
    spans = answer_to(GrpcAnswer(body=partial("traces", 2, "too long")), SPANS)
    assert spans == Delivery("accepted", "too long", rejected=2)


def test_an_answer_that_is_no_otlp_makes_one_wonder_about_the_endpoint() -> None:
    delivery = answer_to(GrpcAnswer(body=b"\x0a\x05ab"))
    assert delivery.outcome == "accepted"
    assert "no OTLP response" in delivery.reason


AGAIN = [
    CODE.CANCELLED,
    CODE.DEADLINE_EXCEEDED,
    CODE.ABORTED,
    CODE.OUT_OF_RANGE,
    CODE.UNAVAILABLE,
    CODE.DATA_LOSS,
]
FINAL = [
    CODE.UNKNOWN,
    CODE.INVALID_ARGUMENT,
    CODE.NOT_FOUND,
    CODE.ALREADY_EXISTS,
    CODE.PERMISSION_DENIED,
    CODE.FAILED_PRECONDITION,
    CODE.UNIMPLEMENTED,
    CODE.INTERNAL,
    CODE.UNAUTHENTICATED,
]


@pytest.mark.parametrize("code", AGAIN)
def test_six_codes_mean_again_at_the_time_that_is_given(code: grpc.StatusCode) -> None:
    assert answer_to(GrpcAnswer(code, "busy")) == Delivery("retry", f"gRPC {code.name}: busy")
    told = GrpcAnswer(code, "busy", status=retry_info(code.value[0], 1.5))
    assert answer_to(told) == Delivery("retry", f"gRPC {code.name}: busy", delay=1.5)


@pytest.mark.parametrize("code", FINAL)
def test_every_other_code_is_final_also_with_a_time(code: grpc.StatusCode) -> None:
    told = GrpcAnswer(code, "no\nway", status=retry_info(code.value[0], 1.5))
    assert answer_to(told) == Delivery("refused", f"gRPC {code.name}: no way")


def test_all_codes_are_named_above() -> None:
    assert set(CODE) == {*AGAIN, *FINAL, CODE.OK, CODE.RESOURCE_EXHAUSTED}


@pytest.mark.parametrize("seconds", [0.0, 30.0])
def test_an_exhausted_resource_with_a_time_means_again(seconds: float) -> None:
    told = GrpcAnswer(CODE.RESOURCE_EXHAUSTED, "quota", status=retry_info(8, seconds))
    assert answer_to(told) == Delivery("retry", "gRPC RESOURCE_EXHAUSTED: quota", delay=seconds)


@pytest.mark.parametrize("details", [None, status(8), b"\xff\xff"])
def test_an_exhausted_resource_without_a_time_means_too_large(details: bytes | None) -> None:
    told = GrpcAnswer(CODE.RESOURCE_EXHAUSTED, "quota", status=details)
    assert answer_to(told) == Delivery("too_large", "gRPC RESOURCE_EXHAUSTED: quota")


def test_tonics_way_to_say_too_large_is_understood() -> None:
    text = "Error, decoded message length too large: found 5242880 bytes, the limit is: 4194304 bytes"
    assert answer_to(GrpcAnswer(CODE.OUT_OF_RANGE, text)) == Delivery("too_large", f"gRPC OUT_OF_RANGE: {text}")


def test_a_receivers_limit_on_messages_is_too_large_and_ours_is_none() -> None:
    large = Payload("logs", bytes(5 * 1024 * 1024), 1)
    with GrpcReceiver(max_bytes=4 * 1024 * 1024) as receiver, sink_to(receiver.url) as sink:
        assert sink.send(large).outcome == "too_large"
        assert sink.send(LOGS).outcome == "accepted"
    assert answer_to(GrpcAnswer(), large).outcome == "accepted"


def test_a_receiver_that_hangs_is_a_retry() -> None:
    hold = threading.Event()
    with GrpcReceiver(GrpcAnswer(hold=hold)) as receiver, sink_to(receiver.url, timeout_seconds=0.2) as sink:
        delivery = sink.send(LOGS)
        hold.set()
    assert (delivery.outcome, "DEADLINE_EXCEEDED" in delivery.reason) == ("retry", True)


def test_a_name_with_several_addresses_is_tried_at_each() -> None:
    with GrpcReceiver() as receiver, sink_to(f"http://localhost:{receiver.port}") as sink:
        assert sink.send(LOGS).outcome == "accepted", "it listens on 127.0.0.1 and not on ::1"


def test_nobody_there_is_a_retry_that_says_so() -> None:
    with sink_to(f"http://127.0.0.1:{free_port()}") as sink:
        delivery = sink.send(LOGS)
    assert delivery.outcome == "retry"
    assert "Connection refused" in delivery.reason


def test_a_name_that_nobody_knows_is_a_retry() -> None:
    with sink_to("http://collector.invalid:4317", timeout_seconds=20.0) as sink:
        delivery = sink.send(LOGS)
    assert delivery.outcome == "retry"
    assert "collector.invalid" in delivery.reason


@pytest.mark.parametrize(
    "script",
    [
        {"greeting": b""},
        {"greeting": b"", "reset": True},
        {},
        {"reset": True},
        {"greeting": b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"},
        {"greeting": b"SSH-2.0-OpenSSH_9.2\r\n"},
        {"answer": go_away(0)},
        {"answer": go_away(11)},
        *({"answer": reset_stream(code)} for code in range(14)),
        {"answer": headers(200)},
        {"answer": headers(200, end=False), "reset": True},
        *({"answer": headers(code)} for code in (429, 502, 503, 504)),
    ],
)
def test_a_call_that_ends_without_a_status_is_a_retry(script: dict[str, Any]) -> None:
    with FramePeer(**script) as peer, sink_to(peer.url) as sink:
        delivery = sink.send(LOGS)
    assert delivery.outcome == "retry"
    assert delivery.reason.isprintable()


@pytest.mark.parametrize("code", [302, 400, 401, 403, 404, 500])
def test_a_web_server_that_knows_no_grpc_refuses(code: int) -> None:
    with FramePeer(headers(code)) as peer, sink_to(peer.url) as sink:
        delivery = sink.send(LOGS)
    assert delivery.outcome == "refused"
    assert delivery.reason.endswith(f"status: {code}")


def test_what_the_queue_has_damaged_is_refused_and_nothing_is_sent() -> None:
    with GrpcReceiver() as receiver, sink_to(receiver.url) as sink:
        delivery = sink.send(Payload("logs", b"no gzip", 3, gzip=True, size=100))
    assert (delivery.outcome, receiver.calls) == ("refused", [])
    assert "damaged" in delivery.reason


def connections(receiver: GrpcReceiver) -> int:
    return len({call.peer for call in receiver.calls})


def test_the_connection_is_kept_while_all_is_well_and_given_up_after_a_failure() -> None:
    answers = [GrpcAnswer(), GrpcAnswer(CODE.INVALID_ARGUMENT), GrpcAnswer(), GrpcAnswer(CODE.UNAVAILABLE)]
    with GrpcReceiver(*answers) as receiver, sink_to(receiver.url) as sink:
        for _ in answers:
            sink.send(LOGS)
        assert connections(receiver) == 1
        sink.send(LOGS)
        assert connections(receiver) == 2


def test_an_old_connection_is_not_used_again() -> None:
    with GrpcReceiver() as receiver, sink_to(receiver.url, reconnect_seconds=1e-9) as sink:
        for _ in range(3):
            assert sink.send(LOGS).outcome == "accepted"
        assert connections(receiver) == 3


def test_a_receiver_that_restarts_gets_the_payload_on_a_new_connection() -> None:
    port = free_port()
    with sink_to(f"http://127.0.0.1:{port}") as sink:
        with GrpcReceiver(port=port):
            assert sink.send(LOGS).outcome == "accepted"
        assert sink.send(LOGS).outcome == "retry"
        with GrpcReceiver(port=port) as receiver:
            assert sink.send(LOGS).outcome == "accepted"
    assert [call.body for call in receiver.calls] == [LOGS.data]


def test_tls_with_a_ca_of_our_own(certificates: Certificates) -> None:
    with (
        GrpcReceiver(certificates=certificates) as receiver,
        sink_to(receiver.url, tls=config.Tls(ca_file=certificates.ca)) as sink,
    ):
        assert sink.send(LOGS) == Delivery("accepted")


@pytest.mark.parametrize(
    ("server", "trusted", "says"),
    [("server", False, "CERTIFICATE_VERIFY_FAILED"), ("elsewhere", True, "Hostname Verification Check failed")],
)
def test_a_certificate_that_cannot_be_trusted_is_a_retry_that_says_why(
    certificates: Certificates, server: str, trusted: bool, says: str
) -> None:
    files = config.Tls(ca_file=certificates.ca if trusted else None)
    with GrpcReceiver(certificates=certificates, name=server) as receiver, sink_to(receiver.url, tls=files) as sink:
        delivery = sink.send(LOGS)
    assert (delivery.outcome, receiver.calls) == ("retry", [])
    assert says in delivery.reason


def test_the_name_in_the_certificate_can_be_another(certificates: Certificates) -> None:
    files = config.Tls(ca_file=certificates.ca, server_name="elsewhere.example")
    with (
        GrpcReceiver(certificates=certificates, name="elsewhere") as receiver,
        sink_to(receiver.url, tls=files) as sink,
    ):
        assert sink.send(LOGS).outcome == "accepted"
    with GrpcReceiver(certificates=certificates) as receiver, sink_to(receiver.url, tls=files) as sink:
        assert sink.send(LOGS).outcome == "retry", "and is still verified"


def test_a_receiver_can_ask_for_a_certificate_of_ours(certificates: Certificates) -> None:
    certificate, key = certificates.of("client")
    files = config.Tls(ca_file=certificates.ca, certificate_file=certificate, key_file=key)
    with GrpcReceiver(certificates=certificates, ask_client=True) as receiver:
        with sink_to(receiver.url, tls=config.Tls(ca_file=certificates.ca)) as sink:
            assert sink.send(LOGS).outcome == "retry"
        with sink_to(receiver.url, tls=files) as sink:
            assert sink.send(LOGS).outcome == "accepted"
    assert len(receiver.calls) == 1


def test_a_new_ca_is_used_for_a_new_connection(
    certificates: Certificates, renewed: Certificates, tmp_path: Path
) -> None:
    port, ca = free_port(), tmp_path / "ca.crt"
    shutil.copy(certificates.ca, ca)
    with sink_to(f"https://127.0.0.1:{port}", tls=config.Tls(ca_file=str(ca))) as sink:
        with GrpcReceiver(port=port, certificates=certificates) as receiver:
            assert sink.send(LOGS).outcome == "accepted"
            shutil.copy(renewed.ca, ca)
            assert sink.send(LOGS).outcome == "retry", "the old receiver is not trusted any more"
        assert len(receiver.calls) == 1
        with GrpcReceiver(port=port, certificates=renewed):
            assert sink.send(LOGS).outcome == "accepted"


def test_a_wrong_certificate_then_the_right_one(certificates: Certificates, renewed: Certificates) -> None:
    port = free_port()
    with sink_to(f"https://127.0.0.1:{port}", tls=config.Tls(ca_file=certificates.ca)) as sink:
        with GrpcReceiver(port=port, certificates=renewed):
            assert sink.send(LOGS).outcome == "retry"
        with GrpcReceiver(port=port, certificates=certificates):
            assert sink.send(LOGS).outcome == "accepted"


def test_tls_at_a_plain_port_and_the_other_way_round(certificates: Certificates) -> None:
    with GrpcReceiver(certificates=certificates) as receiver, sink_to(f"http://127.0.0.1:{receiver.port}") as sink:
        assert sink.send(LOGS).outcome == "retry"
    with GrpcReceiver() as receiver, sink_to(f"https://127.0.0.1:{receiver.port}") as sink:
        assert sink.send(LOGS).outcome == "retry"


WITHOUT_TLS = "; write http:// for a receiver without TLS"


def test_a_receiver_without_tls_where_the_endpoint_names_no_scheme_says_what_to_write() -> None:
    with GrpcReceiver() as receiver, sink_to(f"127.0.0.1:{receiver.port}") as sink:
        delivery = sink.send(LOGS)
    assert delivery.outcome == "retry"
    assert delivery.reason.endswith(f"WRONG_VERSION_NUMBER: Invalid certificate verification …{WITHOUT_TLS}")


def test_a_receiver_that_hangs_up_on_the_handshake_may_be_one_without_tls() -> None:
    def hang_up() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver = threading.Thread(target=hang_up)
        receiver.start()
        with sink_to(f"127.0.0.1:{listener.getsockname()[1]}") as sink:
            delivery = sink.send(LOGS)
        receiver.join()
    assert delivery.outcome == "retry"
    assert delivery.reason.endswith(WITHOUT_TLS)


def test_what_a_proxy_says_of_its_own_tls_is_not_taken_for_ours() -> None:
    text = "upstream connect error: TLS error: SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER"
    assert answer_to(GrpcAnswer(CODE.UNAVAILABLE, text)).reason == f"gRPC UNAVAILABLE: {text}"


def test_files_that_cannot_be_used_stop_the_start(certificates: Certificates, tmp_path: Path) -> None:
    certificate, _ = certificates.of("client")
    wrong = config.Tls(certificate_file=certificate, key_file=certificates.of("server")[1])
    for files in (wrong, config.Tls(ca_file=str(tmp_path / "missing.pem"))):
        with pytest.raises(ConfigError, match=r"^tls\."):
            OtlpGrpc(config.OtlpGrpc(endpoint="https://collector", tls=files), environ={}, version="0")


def test_grpcio_says_nothing_on_stderr() -> None:
    with FramePeer(go_away(2)) as peer:
        code = f"""
from exporter import config
from exporter.model import Payload
from exporter.sink.otlp_grpc import OtlpGrpc
for endpoint in ("{peer.url}", "http://127.0.0.1:{free_port()}"):
    sink = OtlpGrpc(config.OtlpGrpc(endpoint=endpoint), environ={{}}, version="0")
    print(sink.send(Payload("logs", b"x", 1)).outcome)
"""
        environ = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False)
    assert (done.stdout, done.stderr) == ("retry\nretry\n", "")
