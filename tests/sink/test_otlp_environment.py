"""Settings and OTEL_EXPORTER_OTLP_* together say where OTLP goes."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import config
from exporter.errors import ConfigError
from exporter.sink.otlp_environment import Destination, Settings, destination, ignored_protocols


def logs(settings: Settings | None = None, /, **environ: str) -> Destination:
    return destination(settings or config.OtlpHttp(), _full(environ), "logs")


def traces(settings: Settings | None = None, /, **environ: str) -> Destination:
    return destination(settings or config.OtlpHttp(), _full(environ), "traces")


def grpc(endpoint: str | None = None, /, **environ: str) -> Destination:
    return destination(config.OtlpGrpc(endpoint=endpoint), _full(environ), "logs")


def _full(environ: Mapping[str, str]) -> dict[str, str]:
    return {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in environ.items()}


def test_nothing_set_means_the_collector_on_this_host_with_gzip() -> None:
    assert logs() == Destination("http://localhost:4318/v1/logs", {}, True, 10.0, None)
    assert traces().url == "http://localhost:4318/v1/traces"


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://collector:4318", "http://collector:4318/v1/logs"),
        ("http://collector:4318/", "http://collector:4318/v1/logs"),
        ("https://loki.example/otlp", "https://loki.example/otlp/v1/logs"),
        ("https://loki.example/otlp/", "https://loki.example/otlp/v1/logs"),
        ("https://backend.example/?key=1", "https://backend.example/v1/logs?key=1"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/logs"),
        ("HTTP://Collector", "http://Collector/v1/logs"),
    ],
)
def test_a_base_endpoint_gets_the_path_of_the_signal(base: str, url: str) -> None:
    assert logs(ENDPOINT=base).url == url
    assert logs(config.OtlpHttp(endpoint=base)).url == url


def test_the_endpoint_of_one_signal_is_taken_as_it_is() -> None:
    environ = {"ENDPOINT": "http://all:4318", "LOGS_ENDPOINT": "http://logs:3100/otlp/v1/logs"}
    assert logs(**environ).url == "http://logs:3100/otlp/v1/logs"
    assert traces(**environ).url == "http://all:4318/v1/traces"
    assert logs(LOGS_ENDPOINT="http://logs:3100").url == "http://logs:3100/"


def test_a_setting_wins_over_every_variable() -> None:
    settings = config.OtlpHttp(
        endpoint="https://setting",
        headers={"X-Scope-OrgID": "setting"},
        compression="none",
        timeout_seconds=2.5,
        tls=config.Tls(ca_file="setting.pem", certificate_file="client.pem", key_file="client.key", server_name="otel"),
    )
    environ = {
        "ENDPOINT": "http://all",
        "LOGS_ENDPOINT": "http://logs",
        "HEADERS": "authorization=secret",
        "LOGS_COMPRESSION": "gzip",
        "TIMEOUT": "100",
        "CERTIFICATE": "all.pem",
        "CLIENT_CERTIFICATE": "all.pem",
        "LOGS_CLIENT_KEY": "logs.key",
    }
    assert logs(settings, **environ) == Destination(
        "https://setting/v1/logs", {"x-scope-orgid": "setting"}, False, 2.5, settings.tls
    )


@pytest.mark.parametrize(
    ("name", "field", "of_all", "of_logs"),
    [
        ("HEADERS", "headers", ("a=1,b=2", {"a": "1", "b": "2"}), ("a=3", {"a": "3"})),
        ("COMPRESSION", "gzip", ("gzip", True), ("none", False)),
        ("TIMEOUT", "timeout", ("1500", 1.5), ("250", 0.25)),
        ("CERTIFICATE", "tls", ("all", config.Tls(ca_file="all")), ("log", config.Tls(ca_file="log"))),
        (
            "CLIENT_CERTIFICATE",
            "tls",
            ("all", config.Tls(certificate_file="all")),
            ("l", config.Tls(certificate_file="l")),
        ),
        ("CLIENT_KEY", "tls", ("all", config.Tls(key_file="all")), ("log", config.Tls(key_file="log"))),
    ],
)
def test_the_variable_of_a_signal_wins_over_that_of_all(
    name: str, field: str, of_all: tuple[str, object], of_logs: tuple[str, object]
) -> None:
    both = {"ENDPOINT": "https://collector", name: of_all[0], f"LOGS_{name}": of_logs[0]}
    assert getattr(logs(**both), field) == of_logs[1]
    assert getattr(traces(**both), field) == of_all[1]


def test_our_certificate_is_not_joined_with_a_key_of_the_environment() -> None:
    settings = config.OtlpHttp(endpoint="https://collector", tls=config.Tls(certificate_file="both.pem"))
    assert logs(settings, CLIENT_KEY="other.key").tls == settings.tls


def test_certificates_play_no_part_without_tls() -> None:
    assert logs(config.OtlpHttp(endpoint="http://collector"), CERTIFICATE="ca.pem").tls is None


def test_grpc_is_the_collector_on_this_host_without_compression_if_nothing_is_set() -> None:
    assert grpc() == Destination("http://localhost:4317", {}, False, 10.0, None)
    assert grpc(COMPRESSION="gzip").gzip


@pytest.mark.parametrize(
    ("text", "insecure", "url"),
    [
        ("http://collector:4317", "false", "http://collector:4317"),
        ("https://collector:4317", "true", "https://collector:4317"),
        ("collector:4317", "", "https://collector:4317"),
        ("collector:4317", "false", "https://collector:4317"),
        ("collector:4317", "True", "http://collector:4317"),
        ("[::1]:4317", "true", "http://[::1]:4317"),
        ("https://ingest.example", "", "https://ingest.example:443"),
        ("http://collector/", "", "http://collector:80"),
    ],
)
def test_the_scheme_of_a_grpc_endpoint_says_whether_there_is_tls_or_else_the_variable(
    text: str, insecure: str, url: str
) -> None:
    for found in (grpc(text, INSECURE=insecure), grpc(ENDPOINT=text, LOGS_INSECURE=insecure)):
        assert (found.url, found.target) == (url, url.partition("//")[2])
        assert (found.tls is None) == url.startswith("http:")


@pytest.mark.parametrize(
    "text",
    [
        "collector",
        "collector:",
        ":4317",
        "collector:99999",
        "collector:4317/v1/logs",
        "http://collector:4317/v1/logs",
        "https://collector:4317?key=1",
        "unix:///run/otlp.sock",
        "dns:///collector:4317",
        "http://user:hunter2@collector:4317",
        "http://collec tor:4317",
    ],
)
def test_an_endpoint_that_grpc_cannot_use_stops_the_start(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^endpoint: "):
        grpc(text)
    with pytest.raises(ConfigError, match=r"^OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: ") as caught:
        grpc(LOGS_ENDPOINT=text)
    assert "hunter2" not in str(caught.value)


def test_insecure_is_true_or_false() -> None:
    with pytest.raises(ConfigError, match=r"^OTEL_EXPORTER_OTLP_INSECURE: "):
        grpc("collector:4317", INSECURE="yes")


@pytest.mark.parametrize("header", ["x-team=caf%C3%A9", "x~team=red", "te=gzip", "grpc-timeout=1S", "x-team=a%09b"])
def test_a_header_that_grpc_cannot_send_stops_the_start(header: str) -> None:
    assert logs(HEADERS=header).headers
    with pytest.raises(ConfigError, match=r"^OTEL_EXPORTER_OTLP_HEADERS: "):
        grpc(HEADERS=header)


def test_a_variable_that_asks_for_another_protocol_is_told() -> None:
    environ = _full({"PROTOCOL": "grpc", "TRACES_PROTOCOL": "http/protobuf"})
    assert ignored_protocols(config.OtlpHttp(), environ) == ["OTEL_EXPORTER_OTLP_PROTOCOL=grpc"]
    assert ignored_protocols(config.OtlpGrpc(), environ) == ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"]


def test_an_empty_variable_is_an_unset_one() -> None:
    empty = dict.fromkeys(("ENDPOINT", "HEADERS", "COMPRESSION", "TIMEOUT", "CERTIFICATE"), " ")
    assert logs(**empty) == logs()
    assert logs(LOGS_TIMEOUT="", TIMEOUT="2000").timeout == 2.0


def test_header_values_are_percent_encoded_utf8() -> None:
    text = "Authorization=Basic%20dTpw%3D%3D, x-team = caf%C3%A9 ,,x-list=a%2Cb,x-equals=a=b"
    assert logs(HEADERS=text).headers == {
        "authorization": "Basic dTpw==",
        "x-team": "café",
        "x-list": "a,b",
        "x-equals": "a=b",
    }


def test_headers_in_the_settings_are_taken_literally() -> None:
    assert logs(config.OtlpHttp(headers={"X-Rate": "100%25"})).headers == {"x-rate": "100%25"}


@pytest.mark.parametrize(
    "url",
    [
        "collector:4318",
        "//collector:4318",
        "ftp://collector",
        "unix:///run/otlp.sock",
        "http://",
        "http://:4318",
        "http://collector:port",
        "http://collector:99999",
        "http://collector:0",
        "http://[::1",
        "http://collec tor",
        "http://collector/v1\n",
        "http://collectör",
    ],
)
def test_an_endpoint_that_is_no_url_stops_the_start(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^endpoint: .*http://host:4318"):
        logs(config.OtlpHttp(endpoint=url))
    if url.strip() == url:
        with pytest.raises(ConfigError, match=r"^OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "):
            traces(TRACES_ENDPOINT=url)


def test_a_password_in_the_endpoint_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="headers") as caught:
        logs(config.OtlpHttp(endpoint="https://user:hunter2@collector"))
    assert "hunter2" not in str(caught.value)


def test_the_log_does_not_see_the_query_of_an_endpoint() -> None:
    found = logs(LOGS_ENDPOINT="https://backend.example/in?key=hunter2")
    assert found.url.endswith("?key=hunter2")
    assert found.endpoint == "https://backend.example/in"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("HEADERS", "authorization"),
        ("HEADERS", "=secret"),
        ("HEADERS", "two words=secret"),
        ("HEADERS", "a=%FFsecret"),
        ("HEADERS", "a=1%0D%0Asecret: 2"),
        ("HEADERS", "a=secret%00"),
        ("HEADERS", "Content-Type=secret"),
        ("HEADERS", "content-length=3"),
        ("COMPRESSION", "zstd"),
        ("TIMEOUT", "10s"),
        ("TIMEOUT", "-1"),
        ("TIMEOUT", "0"),
        ("TIMEOUT", "1e3"),
        ("TIMEOUT", "٣"),
        ("TIMEOUT", "9" * 400),
    ],
)
def test_a_variable_that_cannot_be_read_stops_the_start(variable: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"^OTEL_EXPORTER_OTLP_{variable}: ") as caught:
        logs(**{variable: text})
    assert "secret" not in str(caught.value)


def test_a_header_in_the_settings_cannot_smuggle_another() -> None:
    with pytest.raises(ConfigError, match="control characters"):
        logs(config.OtlpHttp(headers={"x-team": "red\r\nx-admin: 1"}))


@given(st.sampled_from((config.OtlpHttp(), config.OtlpGrpc())), st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_set_gives_a_usable_destination_or_an_error_of_ours(
    settings: Settings, endpoint: str, headers: str
) -> None:
    try:
        found = logs(settings, LOGS_ENDPOINT=endpoint, HEADERS=headers)
    except ConfigError:
        return
    assert found.url.startswith(("http://", "https://"))
    for name, value in found.headers.items():
        assert name.isascii()
        assert not set(value) & set("\r\n\0")
