"""Fluent's packed entries, read back by an independent MessagePack library."""

from typing import Any

import msgpack
import pytest
from fluent.sender import EventTime
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Batch, FieldFilter
from exporter.encode import body
from exporter.encode.fluent import FluentEncoder
from exporter.model import Event, Kind, Payload, Process, Resource
from exporter.probes import AGENT_KINDS, TOLD
from exporter.probes.resource import LABEL, RESOURCE
from exporter.shape import fields
from tests.encode import observed
from tests.encode.events import make_agent_event, make_stream


def encoder(*filters: FieldFilter, **limits: int) -> FluentEncoder:
    return FluentEncoder(TOLD, fields.compile(filters, TOLD, where=""), Batch(**limits), "podwitness", make_stream())


def entries(payload: Payload) -> list[tuple[msgpack.ExtType, dict[str, Any]]]:
    unpacker = msgpack.Unpacker(strict_map_key=True)
    unpacker.feed(payload.data)
    return [(time, record) for time, record in unpacker]


def record(event: Event, *filters: FieldFilter) -> dict[str, Any]:
    """The event's record, sent alone."""
    fluent = encoder(*filters)
    assert not list(fluent.encode([event]))
    [payload] = fluent.flush()
    [(_, found)] = entries(payload)
    return found


@pytest.fixture
def curl() -> Process:
    return observed.process(observed.pod(), "/usr/bin/curl", "https://ebpf.io")


def test_a_record_is_flat_under_opentelemetry_names_and_has_the_pod_as_fluent_bit_writes_it(
    curl: Process,
) -> None:
    assert record(observed.event("process.exec", curl)) == {
        "event_name": "podwitness.process.exec",
        "severity_number": 9,
        "observed_time_unix_nano": 1795166102119500001,
        "trace_id": "000102030405060708090a0b0c0d0e0f",
        "span_id": "0001020304050607",
        "message": 'exec pid=41822 ppid=1 user=0 args="/usr/bin/curl https://ebpf.io"',
        "log.record.uid": "boot-ring-1-0",
        "podwitness.event.sequence": 1,
        "podwitness.sink": "siem",
        "podwitness.stream.id": "5eed5eed5eed5eed",
        "process.pid": 41822,
        "process.parent_pid": 1,
        "process.user.id": 0,
        "process.executable.path": "/usr/bin/curl",
        "process.command": "/usr/bin/curl",
        "process.command_args": ["/usr/bin/curl", "https://ebpf.io"],
        "process.interactive": False,
        "service.name": "xwing",
        "k8s.node.name": "node-1",
        "k8s.namespace.name": "default",
        "k8s.pod.name": "xwing",
        "k8s.pod.uid": "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff",
        "k8s.pod.label.app.kubernetes.io/name": "xwing",
        "k8s.pod.annotation.example.com/owner": "rebels",
        "k8s.container.name": "spaceship",
        "k8s.container.restart_count": 0,
        "container.id": observed.CONTAINER_ID,
        "container.image.name": "quay.io/tgraf/netperf",
        "container.image.tags": ["v1.0", "latest"],
        "kubernetes": {
            "namespace_name": "default",
            "pod_name": "xwing",
            "pod_id": "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff",
            "container_name": "spaceship",
            "container_image": "quay.io/tgraf/netperf:v1.0",
            "docker_id": observed.CONTAINER_ID,
            "host": "node-1",
            "labels": {"app.kubernetes.io/name": "xwing"},
            "annotations": {"example.com/owner": "rebels"},
        },
    }


def test_the_values_of_the_event_stand_beside_those_of_its_process(curl: Process) -> None:
    event = observed.event("process.exit", curl, code=137, signal="SIGKILL", core_dumped=False, time=7)
    found = record(event)
    assert {name: found[name] for name in event.attributes()} == event.attributes()
    assert found["message"] == "exit pid=41822 ppid=1 user=0 code=137 signal=SIGKILL"


def test_what_is_not_known_is_left_out(curl: Process) -> None:
    found = record(observed.event("process.exit", curl, code=0))
    assert found["process.exit.code"] == 0
    assert "podwitness.process.exit.signal" not in found
    assert "signal" not in found["message"]


def test_a_process_of_the_host_has_no_kubernetes_map() -> None:
    found = record(observed.event("process.exec", observed.process(observed.host(), "/bin/ls")))
    assert found["host.name"] == "node-1"
    assert "kubernetes" not in found


def test_a_process_without_ids_has_none_in_its_record(curl: Process) -> None:
    curl.trace_id = curl.span_id = b""
    assert not {"trace_id", "span_id"} & record(observed.event("process.exec", curl)).keys()


def test_filtered_fields_are_nowhere_in_the_record(curl: Process) -> None:
    event = observed.event("process.exit", curl, code=3, signal="SIGKILL")
    hidden = ("process.pid", "process.exit.code", "k8s.pod.annotation.*", "k8s.pod.uid", "container.*", "log.*")
    found = record(event, FieldFilter(exclude=hidden))
    assert not {"process.pid", "process.exit.code", "k8s.pod.uid", "container.id", "log.record.uid"} & found.keys()
    assert found["message"] == "exit ppid=1 user=0 signal=SIGKILL"
    assert found["kubernetes"] == {
        "namespace_name": "default",
        "pod_name": "xwing",
        "container_name": "spaceship",
        "host": "node-1",
        "labels": {"app.kubernetes.io/name": "xwing"},
    }
    assert "rebels" not in str(found)


def test_each_event_type_is_filtered_by_its_own_rules(curl: Process) -> None:
    fluent = encoder(FieldFilter(events=("process.fork",), include=("process.pid",)))
    list(fluent.encode([observed.event("process.fork", curl), observed.event("process.exec", curl)]))
    found = {payload.tag: entries(payload)[0][1] for payload in fluent.flush()}
    assert "k8s.pod.name" not in found["podwitness.process.fork"]
    assert found["podwitness.process.fork"]["message"] == "fork pid=41822"
    assert found["podwitness.process.exec"]["k8s.pod.name"] == "xwing"


@given(st.integers(0, 2**32 * 10**9 - 1))
def test_time_is_what_fluent_logger_would_send(nanoseconds: int) -> None:
    fluent = encoder()
    process = observed.process(observed.host(), "/bin/ls")
    list(fluent.encode([observed.event("process.fork", process, time=nanoseconds)]))
    [payload] = fluent.flush()
    theirs = EventTime.from_unix_nano(nanoseconds)
    assert payload.data[1:11] == msgpack.packb(theirs)


@given(
    st.dictionaries(
        st.text().map(LABEL.__add__),
        st.one_of(st.text(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.lists(st.text()).map(tuple)),
        max_size=40,
    ),
    st.lists(st.one_of(st.text(), st.integers(0, 2**64 - 1), st.none()), min_size=5, max_size=5).map(tuple),
)
def test_any_attributes_come_back_as_they_were(resource: dict[str, Any], values: tuple[Any, ...]) -> None:
    process = observed.process(Resource(resource), "/bin/ls")
    event = observed.event("process.exit", process)
    event.values = values
    found = record(event)
    expected = event.attributes() | resource
    assert {name: found[name] for name in expected} == {
        name: list(value) if isinstance(value, tuple) else value for name, value in expected.items()
    }
    assert found["message"] == body.render(event.kind, event.attributes())


def test_a_lone_surrogate_costs_neither_the_record_nor_the_chunk(curl: Process) -> None:
    curl.resource.attributes["k8s.pod.annotation.a\udc80"] = "b\udc81"
    curl.attributes["process.command_args"] = ("c\udc82",)
    found = record(observed.event("process.exec", curl))
    assert found["k8s.pod.annotation.a\\udc80"] == "b\\udc81"
    assert found["kubernetes"]["annotations"]["a\\udc80"] == "b\\udc81"
    assert found["process.command_args"] == ["c\\udc82"]


def test_a_new_resource_takes_the_place_of_the_old_one(curl: Process) -> None:
    fluent = encoder()
    before, after = observed.event("process.exec", curl), observed.event("process.exec", curl)
    after.resource = Resource(curl.resource.attributes | {"k8s.pod.annotation.example.com/owner": "empire"})
    list(fluent.encode([before, after, before]))
    [payload] = fluent.flush()
    owners = [found["k8s.pod.annotation.example.com/owner"] for _, found in entries(payload)]
    assert owners == ["rebels", "empire", "rebels"]


def test_there_is_a_chunk_for_each_event_type_under_its_tag(curl: Process) -> None:
    fluent = encoder()
    names = ["process.exec", "process.fork", "process.exec", "process.exit"]
    assert not list(fluent.encode([observed.event(name, curl) for name in names]))
    assert fluent.pending == 4
    payloads = {payload.tag: payload for payload in fluent.flush()}
    assert {tag: payload.records for tag, payload in payloads.items()} == {
        "podwitness.process.exec": 2,
        "podwitness.process.fork": 1,
        "podwitness.process.exit": 1,
    }
    assert all(len(entries(payload)) == payload.records for payload in payloads.values())
    assert {payload.signal for payload in payloads.values()} == {"logs"}
    assert fluent.pending == 0
    assert not list(fluent.flush())


def test_a_chunk_is_full_at_its_number_of_records(curl: Process) -> None:
    fluent = encoder(max_records=3)
    full = list(fluent.encode([observed.event("process.fork", curl)] * 7))
    assert [payload.records for payload in full] == [3, 3]
    assert fluent.pending == 1


def test_a_chunk_never_grows_beyond_its_bytes(curl: Process) -> None:
    [one] = _all(encoder(), [observed.event("process.fork", curl)])
    size = len(one.data)
    payloads = _all(encoder(max_bytes=size * 3 + 1), [observed.event("process.fork", curl)] * 8)
    assert [payload.records for payload in payloads] == [3, 3, 2]
    assert all(len(payload.data) == size * payload.records for payload in payloads)


def test_a_record_larger_than_a_chunk_goes_alone(curl: Process) -> None:
    small = observed.event("process.fork", curl)
    large = observed.event("process.fork", observed.process(Resource({"host.name": "h" * 5000}), "/bin/ls"))
    payloads = _all(encoder(max_bytes=4000), [small, large, small])
    assert [payload.records for payload in payloads] == [1, 1, 1]
    assert [len(payload.data) > 4000 for payload in payloads] == [False, True, False]


def _all(fluent: FluentEncoder, events: list[Event]) -> list[Payload]:
    return [*fluent.encode(events), *fluent.flush()]


@pytest.mark.parametrize("kind", AGENT_KINDS)
def test_what_the_agent_tells_of_itself_has_no_process_and_no_trace(kind: Kind) -> None:
    event = make_agent_event(kind, *range(len(kind.own)))
    found = record(event)
    assert {name: found[name] for name in kind.own} == dict(zip(kind.own, event.values, strict=True))
    assert not {"trace_id", "span_id", "kubernetes"} & found.keys()
    assert not [name for name in found if name.startswith("process.")]


def test_every_attribute_has_a_dot_in_its_name_and_none_is_both_of_a_record_and_its_resource() -> None:
    # The canonical form of a flat record (`canonical.py`) is made of these.
    own = {name for kind in TOLD for name in kind.attributes}
    assert all("." in name for name in (*own, *RESOURCE))
    assert not own & {*RESOURCE}
