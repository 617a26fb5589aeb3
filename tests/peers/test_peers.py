"""The servers that other tests trust are the real ones, and answer clients that are not ours."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fluent.sender import FluentSender
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.peers import builds
from tests.peers.collector import Collector, value
from tests.peers.kube import MERGE_PATCH, ApiServer

pytestmark = pytest.mark.peers


def test_the_collector_keeps_a_log_record_and_a_span_of_the_reference_sdk(collector: Collector) -> None:
    resource = Resource({"k8s.pod.name": "xwing"})
    logs = LoggerProvider(resource=resource, shutdown_on_exit=False)
    logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{collector.otlp_endpoint}/v1/logs")))
    logs.get_logger("tests").emit(
        body="hello", event_name="tests.hello", attributes={"process.pid": 23, "argv": ["a", "b"]}
    )
    spans = TracerProvider(resource=resource, shutdown_on_exit=False)
    spans.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{collector.otlp_endpoint}/v1/traces")))
    spans.get_tracer("tests").start_span("curl").end()
    logs.shutdown()
    spans.shutdown()

    collector.wait_for(lambda c: c.logs() and c.traces())

    [record], [span] = collector.logs(), collector.traces()
    assert record.resource["k8s.pod.name"] == span.resource["k8s.pod.name"] == "xwing"
    assert record.attributes == {"process.pid": 23, "argv": ["a", "b"]}
    assert (record.body, record.raw["eventName"], span.raw["name"]) == ("hello", "tests.hello", "curl")


def test_the_collector_keeps_what_it_has_over_a_restart_and_its_ports_too(collector: Collector) -> None:
    send(collector, {"number": 1})
    collector.wait_for(lambda c: len(c.fluent_logs()) == 1)
    collector.restart()
    send(collector, {"number": 2})
    collector.wait_for(lambda c: len(c.fluent_logs()) == 2)

    assert [record.attributes["number"] for record in collector.fluent_logs()] == [1, 2]


def test_the_collector_keeps_a_record_of_fluent_logger(collector: Collector) -> None:
    send(collector, {"message": "hello", "pid": 23})

    [record] = collector.wait_for(lambda c: c.fluent_logs())

    assert record.body == "hello"
    assert record.attributes == {"fluent.tag": "tests.exec", "pid": 23}


def send(collector: Collector, record: dict[str, object]) -> None:
    sender = FluentSender("tests", host="127.0.0.1", port=collector.fluent_port)
    assert sender.emit_with_time("exec", time.time_ns() // 1_000_000_000, record), sender.last_error
    sender.close()


def test_an_any_value_of_each_type_is_read_back_as_python() -> None:
    listed = {"arrayValue": {"values": [{"intValue": "23"}, {"boolValue": True}, {"doubleValue": 0.5}]}}

    assert value({"kvlistValue": {"values": [{"key": "k", "value": listed}]}}) == {"k": [23, True, 0.5]}
    assert value({}) is None


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "peers-xwing", "annotations": {"team": "red"}},
    "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image": "example.test/app:1"}]},
}
PODS = "/api/v1/namespaces/default/pods"


def test_the_api_server_stores_a_pod_and_tells_a_watch_of_its_changes(apiserver: ApiServer) -> None:
    pod = f"{PODS}/peers-xwing"
    with apiserver.watch(f"{PODS}?fieldSelector=metadata.name=peers-xwing") as events:
        apiserver.request("POST", PODS, POD)
        apiserver.request("PATCH", pod, {"metadata": {"annotations": {"team": "blue"}}}, content_type=MERGE_PATCH)
        assert apiserver.request("GET", pod)["metadata"]["annotations"] == {"team": "blue"}
        apiserver.request("DELETE", f"{pod}?gracePeriodSeconds=0")
        told = [(event["type"], event["object"]["metadata"]["annotations"]["team"]) for event in events_of_one(events)]

    assert list(dict.fromkeys(told)) == [("ADDED", "red"), ("MODIFIED", "blue"), ("DELETED", "blue")]


def events_of_one(events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The events up to and with the deletion."""
    for event in events:
        yield event
        if event["type"] == "DELETED":
            return


def test_the_api_server_keeps_its_objects_over_a_restart(apiserver: ApiServer) -> None:
    apiserver.request("POST", "/api/v1/namespaces", {"metadata": {"name": "peers-restart"}})

    apiserver.restart()

    assert apiserver.request("GET", "/api/v1/namespaces/peers-restart")["metadata"]["name"] == "peers-restart"
    assert apiserver.request("GET", "/version")["gitVersion"] == builds.KUBERNETES


def test_the_api_server_refuses_a_service_account_without_rights(apiserver: ApiServer) -> None:
    apiserver.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "peers-nobody"}})
    token = apiserver.token_of("default", "peers-nobody")

    refused = apiserver.request("GET", PODS, token=token, expect=403)

    assert "system:serviceaccount:default:peers-nobody" in refused["message"]


def test_a_changed_pin_is_another_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "HERE", tmp_path)
    recipe = builds.Recipe("peer", lambda folder: None)
    recipe.pins.mkdir()
    pin = recipe.pins / "go.sum"
    pin.write_text("one")
    before = recipe.digest
    assert recipe.digest == before

    pin.write_text("two")

    assert recipe.digest != before
