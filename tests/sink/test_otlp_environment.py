"""Settings and OTEL_EXPORTER_OTLP_* together say where OTLP goes."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import config
from exporter.errors import ConfigError
from exporter.sink.otlp_environment import Destination, destination


def logs(settings: config.OtlpHttp | None = None, /, **environ: str) -> Destination:
    return destination(settings or config.OtlpHttp(), _full(environ), "logs")


def traces(settings: config.OtlpHttp | None = None, /, **environ: str) -> Destination:
    return destination(settings or config.OtlpHttp(), _full(environ), "traces")


def _full(environ: Mapping[str, str]) -> dict[str, str]:
    return {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in environ.items()}


def test_nothing_set_means_the_collector_on_this_host_with_gzip() -> None:
    assert logs() == Destination("http://localhost:4318/v1/logs", {}, True, 10.0, None, None, None)
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
        endpoint="http://setting",
        headers={"X-Scope-OrgID": "setting"},
        compression="none",
        timeout_seconds=2.5,
        certificate="setting.pem",
        client_certificate="setting-client.pem",
        client_key="setting.key",
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
        "http://setting/v1/logs",
        {"x-scope-orgid": "setting"},
        False,
        2.5,
        "setting.pem",
        "setting-client.pem",
        "setting.key",
    )


@pytest.mark.parametrize(
    ("name", "field", "of_all", "of_logs"),
    [
        ("HEADERS", "headers", ("a=1,b=2", {"a": "1", "b": "2"}), ("a=3", {"a": "3"})),
        ("COMPRESSION", "gzip", ("gzip", True), ("none", False)),
        ("TIMEOUT", "timeout", ("1500", 1.5), ("250", 0.25)),
        ("CERTIFICATE", "certificate", ("all.pem", "all.pem"), ("logs.pem", "logs.pem")),
        ("CLIENT_CERTIFICATE", "client_certificate", ("all.pem", "all.pem"), ("logs.pem", "logs.pem")),
        ("CLIENT_KEY", "client_key", ("all.key", "all.key"), ("logs.key", "logs.key")),
    ],
)
def test_the_variable_of_a_signal_wins_over_that_of_all(
    name: str, field: str, of_all: tuple[str, object], of_logs: tuple[str, object]
) -> None:
    both = {name: of_all[0], f"LOGS_{name}": of_logs[0]}
    assert getattr(logs(**both), field) == of_logs[1]
    assert getattr(traces(**both), field) == of_all[1]


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


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_set_gives_a_usable_destination_or_an_error_of_ours(endpoint: str, headers: str) -> None:
    try:
        found = logs(LOGS_ENDPOINT=endpoint, HEADERS=headers)
    except ConfigError:
        return
    assert found.url.startswith(("http://", "https://"))
    for name, value in found.headers.items():
        assert name.isascii()
        assert not set(value) & set("\r\n\0")
