"""The way to a Forward receiver: names, ports, restarts, TLS and the files it is made of."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter import config
from exporter.errors import ConfigError
from exporter.model import Delivery
from exporter.sink.fluent_forward import FluentForward
from tests.peers.processes import free_port
from tests.sink.conftest import Certificates
from tests.sink.forward import HELO, LARGE, PACKED, PAYLOAD, forward, tls_of
from tests.sink.receivers import ForwardReceiver


@pytest.fixture
def receiver() -> Iterator[ForwardReceiver]:
    """One that acknowledges all."""
    with ForwardReceiver() as receiver:
        yield receiver


def test_a_receiver_that_restarted_gets_the_next_payload_at_the_first_attempt() -> None:
    with ForwardReceiver() as before:
        sink = forward(before.port)
        assert sink.send(PAYLOAD) == Delivery("accepted")
    with ForwardReceiver(port=before.port) as after:
        assert sink.send(PAYLOAD) == Delivery("accepted")
        sink.close()
    assert len(after.messages) == 1


def test_nobody_there_is_a_retry() -> None:
    sink = forward(port := free_port())
    assert sink.endpoint == f"127.0.0.1:{port}"
    assert sink.send(PAYLOAD) == Delivery("retry", "Connection refused")


@pytest.mark.parametrize("tls", [None, config.Tls()], ids=["plain", "TLS"])
@pytest.mark.parametrize("host", ["fluentd.invalid", "a..b", "x" * 300, ".fluentd", "fluentd\0"])
def test_a_name_that_nobody_can_resolve_is_a_retry_with_a_reason(host: str, tls: config.Tls | None) -> None:
    delivery = FluentForward(config.FluentForward(tls=tls), (host, 24224)).send(PAYLOAD)
    assert delivery.outcome == "retry"
    assert delivery.reason


def test_an_address_of_ipv6_is_readable() -> None:
    assert FluentForward(config.FluentForward(), ("::1", 24224)).endpoint == "[::1]:24224"


def test_a_connection_is_not_used_for_longer_than_set(receiver: ForwardReceiver) -> None:
    sink = forward(receiver.port, reconnect_seconds=1e-9)
    for _ in range(3):
        assert sink.send(PAYLOAD) == Delivery("accepted")
    sink.close()
    assert receiver.connections == 3


class TestTls:
    """The receiver has to be who we were told it is."""

    def test_a_receiver_whose_certificate_is_right_gets_all_on_one_connection(self, certificates: Certificates) -> None:
        with ForwardReceiver(tls=certificates.server()) as receiver:
            sink = forward(receiver.port, tls=tls_of(certificates))
            for payload in (PAYLOAD, LARGE, PACKED):
                assert sink.send(payload) == Delivery("accepted")
            sink.close()
        assert receiver.connections == 1

    def test_a_receiver_of_another_name_gets_nothing(self, certificates: Certificates) -> None:
        with ForwardReceiver(tls=certificates.server("elsewhere")) as receiver:
            sink = forward(receiver.port, tls=tls_of(certificates))
            delivery = sink.send(PAYLOAD)
            assert delivery.outcome == "retry"
            assert "certificate is not valid for '127.0.0.1'" in delivery.reason
            named = forward(receiver.port, tls=tls_of(certificates, server_name="elsewhere.example"))
            assert named.send(PAYLOAD) == Delivery("accepted")
            named.close()
        assert len(receiver.messages) == 1

    def test_a_receiver_that_nobody_vouches_for_gets_nothing(self, certificates: Certificates) -> None:
        with ForwardReceiver(tls=certificates.server()) as receiver:
            delivery = forward(receiver.port, tls=config.Tls()).send(PAYLOAD)
        assert delivery.outcome == "retry"
        assert "certificate verify failed" in delivery.reason
        assert receiver.messages == []

    def test_a_receiver_that_asks_for_our_certificate_gets_it(self, certificates: Certificates) -> None:
        certificate, key = certificates.of("client")
        with ForwardReceiver(tls=certificates.server(ask_client=True)) as receiver:
            without = forward(receiver.port, tls=tls_of(certificates)).send(PAYLOAD)
            sink = forward(receiver.port, tls=tls_of(certificates, certificate_file=certificate, key_file=key))
            assert sink.send(PAYLOAD) == Delivery("accepted")
            sink.close()
        assert without.outcome == "retry"  # and never `unanswered`, after which it would be dropped
        assert len(receiver.messages) == 1

    def test_a_ca_that_changes_is_asked_on_a_new_connection(self, certificates: Certificates, tmp_path: Path) -> None:
        ca = tmp_path / "ca.pem"
        shutil.copy(certificates.of("client")[0], ca)
        with ForwardReceiver(tls=certificates.server()) as receiver:
            sink = forward(receiver.port, tls=config.Tls(ca_file=str(ca)))
            assert "certificate verify failed" in sink.send(PAYLOAD).reason
            shutil.copy(certificates.ca, ca)
            assert sink.send(PAYLOAD) == sink.send(PAYLOAD) == Delivery("accepted")
            os.utime(ca, (1, 1))
            assert sink.send(PAYLOAD) == Delivery("accepted")
            sink.close()
        first, second, third = [message.connection for message in receiver.messages]
        assert first == second == third - 1

    def test_a_receiver_that_speaks_tls_to_us_who_do_not_is_named_as_such(self, certificates: Certificates) -> None:
        with ForwardReceiver(tls=certificates.server()) as receiver:
            delivery = forward(receiver.port).send(PAYLOAD)
        assert delivery.outcome == "retry"
        assert "does it want `tls`?" in delivery.reason

    def test_a_receiver_that_speaks_no_tls_to_us_who_do_is_a_retry(self, certificates: Certificates) -> None:
        with ForwardReceiver(greeting=HELO) as receiver:
            delivery = forward(receiver.port, tls=tls_of(certificates)).send(PAYLOAD)
        assert delivery.outcome == "retry"
        assert "SSL" in delivery.reason

    def test_files_that_are_not_there_stop_the_start(self) -> None:
        with pytest.raises(ConfigError, match=r"^tls\.ca_file: "):
            forward(24224, tls=config.Tls(ca_file="/nowhere/ca.pem"))
