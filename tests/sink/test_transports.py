"""Each type of sink in the settings has its transport."""

from pathlib import Path

from exporter import config
from exporter.sink.file import File
from exporter.sink.fluent_forward import FluentForward
from exporter.sink.otlp_http import OtlpHttp
from exporter.sink.stdout import Stdout
from exporter.sink.transports import open_transport


def test_each_sink_of_a_settings_file_opens_with_what_it_was_told(tmp_path: Path) -> None:
    text = f"""
    sinks:
      collector: {{type: otlp_http}}
      fluentd: {{type: fluent_forward, host: fluentd.logging, port: 24225}}
      disk: {{type: file, path: {tmp_path}/events.jsonl}}
      terminal: {{type: stdout}}
    """
    sinks = config.parse(text, where="test").sinks
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    opened = {name: open_transport(sink, environ=environ, version="0.1.0") for name, sink in sinks.items()}
    for transport in opened.values():
        transport.close()
    assert {name: (type(transport), transport.endpoint) for name, transport in opened.items()} == {
        "collector": (OtlpHttp, "http://collector:4318/v1/logs"),
        "fluentd": (FluentForward, "fluentd.logging:24225"),
        "disk": (File, f"{tmp_path}/events.jsonl"),
        "terminal": (Stdout, "stdout"),
    }
