"""From the settings of a sink to its transport, by the type it names."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter import config
from exporter.errors import ConfigError
from exporter.sink.failover import Failover
from exporter.sink.file import File
from exporter.sink.stdout import Stdout
from exporter.sink.transport import Transport
from exporter.sink.transports import check_transport, open_transport, wire
from tests.sink.forward import PAYLOAD
from tests.sink.receivers import Answer, ForwardReceiver, HttpReceiver
from tests.sink.test_otlp_http import LOGS


def opened(settings: config.Sink, **environ: str) -> Transport:
    return open_transport(settings, environ=environ, version="0.1.0")


def test_each_sink_of_a_settings_file_opens_with_what_it_was_told(tmp_path: Path) -> None:
    text = f"""
    sinks:
      collector: {{type: otlp_http}}
      gateway: {{type: otlp_grpc, endpoint: "https://gateway:4317"}}
      fluentd: {{type: fluent_forward, host: fluentd.logging, port: 24225}}
      disk: {{type: file, path: {tmp_path}/events.jsonl}}
      terminal: {{type: stdout}}
    """
    sinks = config.parse(text, where="test").sinks
    transports = {n: opened(s, OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318") for n, s in sinks.items()}
    for transport in transports.values():
        transport.close()
    assert {n: (type(t), t.endpoint, wire(sinks[n])) for n, t in transports.items()} == {
        "collector": (Failover, "http://collector:4318/v1/logs", "otlp"),
        "gateway": (Failover, "https://gateway:4317", "otlp"),
        "fluentd": (Failover, "fluentd.logging:24225", "fluent"),
        "disk": (File, f"{tmp_path}/events.jsonl", "otlp_json"),
        "terminal": (Stdout, "stdout", "text"),
    }


def test_otlp_goes_to_the_next_endpoint_while_the_first_fails() -> None:
    with HttpReceiver(Answer(503)) as first, HttpReceiver() as second:
        transport = opened(config.OtlpHttp(endpoint=first.url, fallback_endpoints=(second.url,)))
        assert transport.send(LOGS).outcome == "accepted"
        assert transport.endpoint == f"{second.url}/v1/logs"
        transport.close()
    assert (len(first.requests), len(second.requests)) == (1, 1)


def test_fluent_forward_goes_to_the_next_address_while_the_first_fails() -> None:
    with ForwardReceiver(lambda _chunk: None) as first, ForwardReceiver() as second:
        fallback = (f"127.0.0.1:{second.port}",)
        transport = opened(config.FluentForward(host="127.0.0.1", port=first.port, fallback_endpoints=fallback))
        assert transport.send(PAYLOAD).outcome == "accepted"
        assert transport.endpoint == f"127.0.0.1:{second.port}"
        transport.close()
    assert (len(first.messages), len(second.messages)) == (1, 1)


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        (config.OtlpHttp(endpoint="collector"), "endpoint"),
        (config.OtlpHttp(fallback_endpoints=("http://a:4318", "b:4318")), "fallback_endpoints[1]"),
        (config.OtlpGrpc(fallback_endpoints=("http://a:4317/path",)), "fallback_endpoints[0]"),
        *(
            (config.FluentForward(fallback_endpoints=("a:24224", text)), "fallback_endpoints[1]")
            for text in ("b", "b:", ":24224", "b:0", "b:99999", "b:port", "[::1:24224", "tcp://b:24224", "u@b:24224")
        ),
        (config.FluentForward(tls=config.Tls(ca_file="/missing.pem")), "tls.ca_file"),
        (config.OtlpGrpc(endpoint="https://a", tls=config.Tls(ca_file="/missing.pem")), "tls.ca_file"),
        (config.OtlpHttp(fallback_endpoints=("https://a",), tls=config.Tls(ca_file="/missing.pem")), "tls.ca_file"),
        (config.OtlpHttp(endpoint="http://a", tls=config.Tls(certificate_file="a.pem")), "tls.certificate_file"),
        (config.OtlpGrpc(endpoint="http://a", tls=config.Tls(server_name="b")), "tls.server_name"),
        (config.OtlpGrpc(tls=config.Tls(ca_file="ca.pem")), "tls.ca_file"),
    ],
)
def test_every_endpoint_is_checked_at_start(settings: config.Sink, where: str) -> None:
    for look in (open_transport, check_transport):
        with pytest.raises(ConfigError) as caught:
            look(settings, environ={}, version="0")
        assert caught.value.where == where


def test_tls_settings_that_nothing_would_use_say_so_and_those_of_one_endpoint_do() -> None:
    settings = config.OtlpHttp(endpoint="http://a?key=hunter2", tls=config.Tls(server_name="b"))
    with pytest.raises(ConfigError, match=r"^tls\.server_name: .*no endpoint .*write https://") as caught:
        check_transport(settings, environ={}, version="0")
    assert "hunter2" not in str(caught.value)
    with_fallback = msgspec.structs.replace(settings, fallback_endpoints=("https://c",))
    check_transport(with_fallback, environ={}, version="0")
    for_spans = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c"}
    check_transport(msgspec.structs.replace(settings, endpoint=None), environ=for_spans, version="0")


def test_an_address_of_ipv6_is_written_in_brackets() -> None:
    settings: Any = config.FluentForward(fallback_endpoints=("[2001:db8::1]:24224",))
    check_transport(settings, environ={}, version="0")


def test_grpcio_is_in_memory_only_where_a_sink_speaks_grpc() -> None:
    code = """
import sys
from exporter import config
from exporter.sink.transports import check_transport
for settings in (config.OtlpHttp(), config.FluentForward(), config.OtlpGrpc()):
    check_transport(settings, environ={}, version="0")
    print("grpc" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "False", "True"]
