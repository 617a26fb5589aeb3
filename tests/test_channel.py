"""One sink's way with real encoders and real receivers: what is offered is sent, or dropped and counted."""

import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from exporter import config, probes
from exporter.channel import Channel, Origin, check_sink, open_channel
from exporter.errors import ConfigError
from exporter.keeping import InMemory
from exporter.model import Event, Span, Value
from exporter.telemetry import Drop, Ledger
from tests.encode.events import PROCESS_ATTRIBUTES, make_event, make_process, make_span
from tests.sink.receivers import ForwardReceiver, HttpReceiver
from tests.waiting import wait_for

PATIENT = config.Queue(shutdown_seconds=30)
NAME = re.compile(r"/bin/n\d+")


class Poison:
    """No Value, and nothing can be made of it: a bug of ours upstream."""

    def __str__(self) -> str:
        raise TypeError("poison")

    __repr__ = __str__
    __hash__ = None  # type: ignore[assignment]


POISON = cast(Value, Poison())


class Receiver(NamedTuple):
    """A sink's settings but for the batch, and the executables in the records that have arrived, in order."""

    settings: Callable[[config.Batch], config.Sink]
    arrived: Callable[[], list[str]]


def otlp(_folder: Path) -> Iterator[Receiver]:
    def names() -> list[str]:
        requests = [r.body for r in http.requests if r.path == "/v1/logs"]
        http.requests.clear()
        records = [
            record
            for body in requests
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs
            for record in resource.scope_logs[0].log_records
        ]
        return [found for record in records for found in executables(record.attributes)]

    def executables(attributes: object) -> list[str]:
        return [a.value.string_value for a in attributes if a.key == "process.executable.path"]  # type: ignore[attr-defined]

    with HttpReceiver() as http:
        yield Receiver(
            lambda batch: config.OtlpHttp(endpoint=http.url, compression="none", batch=batch, queue=PATIENT), names
        )


def fluent(_folder: Path) -> Iterator[Receiver]:
    def names() -> list[str]:
        messages = list(forward.messages)
        forward.messages.clear()
        return [record["process.executable.path"] for message in messages for _time, record in message.entries]

    with ForwardReceiver() as forward:
        yield Receiver(
            lambda batch: config.FluentForward(host="127.0.0.1", port=forward.port, batch=batch, queue=PATIENT), names
        )


def file(folder: Path) -> Iterator[Receiver]:
    path = folder / "events.jsonl"

    def names() -> list[str]:
        found = []
        for line in path.read_text().splitlines():
            for resource in json.loads(line)["resourceLogs"]:
                for record in resource["scopeLogs"][0]["logRecords"]:
                    found += [
                        a["value"]["stringValue"] for a in record["attributes"] if a["key"] == "process.executable.path"
                    ]
        path.unlink()
        return found

    yield Receiver(lambda batch: config.File(path=str(path), batch=batch, queue=PATIENT), names)


def stdout(folder: Path) -> Iterator[Receiver]:
    path = folder / "stdout"
    before: list[int] = []

    def redirected(batch: config.Batch) -> config.Sink:
        if not before:  # not earlier: between a fixture and its test, pytest changes it for its own
            before.append(os.dup(1))
            mine = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(mine, 1)
            os.close(mine)
        return config.Stdout(batch=batch, queue=PATIENT)

    def names() -> list[str]:
        text = path.read_text()
        os.truncate(path, 0)
        return [name for line in text.splitlines() for name in NAME.findall(line)]

    yield Receiver(redirected, names)
    for descriptor in before:
        os.dup2(descriptor, 1)
        os.close(descriptor)


SINKS = {"otlp": otlp, "fluent": fluent, "file": file, "stdout": stdout}


@pytest.fixture(params=SINKS)
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Receiver]:
    yield from SINKS[request.param](tmp_path)


def event(number: int, *, poisoned: str = "") -> Event:
    """An exit of a process of its own; the poison is in a value of the event, or in its process."""
    process = make_process(PROCESS_ATTRIBUTES | {"process.executable.path": f"/bin/n{number}"})
    values: tuple[Value | None, ...] = (number, None, None, "2026-11-20T08:41:03.123Z", 5)
    if poisoned == "event":
        values = (POISON, *values[1:])
    if poisoned == "process":
        process.attributes |= {"process.executable.path": POISON, "process.user.id": POISON}
    return make_event(probes.PROCESS_EXIT, process, values, f"uid-{number}")


def channel(settings: config.Sink, ledger: Ledger) -> Channel:
    opened = opening("it", settings, ledger, where="c.yaml: sinks.it")
    opened.start()
    return opened


def opening(name: str, settings: config.Sink, ledger: Ledger, *, where: str) -> Channel:
    """A channel whose payloads wait in memory."""
    place = InMemory(ledger).place
    return open_channel(name, settings, probes.TOLD, Origin("node-1"), ledger, where=where, place=place)


poisons = st.lists(st.sampled_from(["", "", "", "event", "process"]), min_size=1, max_size=30)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(poisons, min_size=1, max_size=3), st.integers(1, 8), st.sampled_from([1, 400, 3_500_000]))
def test_poison_costs_itself_and_nothing_else(
    receiver: Receiver, readings: list[list[str]], max_records: int, max_bytes: int
) -> None:
    """Wherever it stands in a reading, whatever the size of batches: all others arrive once and in order."""
    ledger, number = Ledger(), 0
    taken = channel(receiver.settings(config.Batch(max_records=max_records, max_bytes=max_bytes)), ledger)
    good = []
    for reading in readings:
        events = []
        for poisoned in reading:
            events.append(event(number, poisoned=poisoned))
            good += [] if poisoned else [f"/bin/n{number}"]
            number += 1
        taken.take(events, [], 0.0)
    taken.flush()
    taken.close()
    assert receiver.arrived() == good
    dropped = {Drop("it", "encode", "internal error", False): number - len(good)} if number > len(good) else {}
    assert dict(ledger.dropped) == dropped
    assert (ledger.offered["it"], ledger.sent["it"]) == (number, len(good))


@pytest.mark.parametrize("position", [0, 2, 4])
def test_a_span_that_cannot_be_encoded_costs_itself_and_no_log_record(tmp_path: Path, position: int) -> None:
    spans = [make_span(make_process()) for _ in range(5)]
    for number, span in enumerate(spans):
        span.attributes = {"process.exit.code": POISON if number == position else number}
    path = tmp_path / "spans.jsonl"
    ledger = Ledger()
    sink = config.File(path=str(tmp_path / "events.jsonl"), spans_path=str(path), queue=PATIENT)
    taken = channel(sink, ledger)
    taken.take([event(number) for number in range(3)], spans, 0.0)
    taken.flush()
    taken.close()
    names = re.findall(r'"key":"process.exit.code","value":\{"intValue":"(\d)"\}', path.read_text())
    assert names == [str(number) for number in range(5) if number != position]
    assert dict(ledger.dropped) == {Drop("it", "encode", "internal error", False): 1}
    assert (ledger.offered["it"], ledger.sent["it"]) == (8, 7)


def test_a_flood_of_poison_is_one_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    taken = channel(config.File(path=str(tmp_path / "e"), queue=PATIENT), Ledger())
    taken.take([event(number, poisoned="event") for number in range(500)], [], 0.0)
    taken.flush()
    taken.close()
    (record,) = caplog.records
    assert record.getMessage() == "sink it: 500 events or spans cannot be encoded and are dropped; please report this"
    assert record.exc_info


def test_a_batch_waits_for_max_delay_from_its_oldest_event_and_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    ledger = Ledger()
    taken = channel(config.File(path=str(path), batch=config.Batch(max_delay_seconds=0.5), queue=PATIENT), ledger)
    taken.take([event(1)], [], 100.0)
    taken.take([event(2)], [], 100.4)
    taken.take([], [], 100.49)
    assert taken.pending == 2
    taken.take([], [], 100.5)
    assert taken.pending == 0
    wait_for(lambda: ledger.sent["it"] == 2, "both are sent, in one batch")
    assert len(path.read_text().splitlines()) == 1
    taken.take([event(3)], [], 200.0)  # the delay counts anew
    assert taken.pending == 1
    taken.flush()
    taken.close()
    assert ledger.sent["it"] == 3


def test_spans_alone_are_sent_after_max_delay_too(tmp_path: Path) -> None:
    ledger = Ledger()
    sink = config.File(path=str(tmp_path / "e"), spans_path=str(tmp_path / "s"), queue=PATIENT)
    taken = channel(sink, ledger)
    taken.take([], [make_span(make_process())], 1.0)
    taken.take([], [], 2.0)
    wait_for(lambda: ledger.sent["it"] == 1, "the span is sent")
    taken.flush()
    taken.close()


def test_what_is_not_selected_is_dropped_as_the_user_wants_it(receiver: Receiver) -> None:
    ledger = Ledger()
    wanted = receiver.settings(config.Batch())
    events = [event(1), make_event(probes.PROCESS_FORK, make_process()), event(2)]
    fields = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
    taken = channel(type(wanted)(**fields | {"events": config.Globs(exclude=("process.fork",))}), ledger)
    taken.take(events, [], 0.0)
    taken.flush()
    taken.close()
    assert receiver.arrived() == ["/bin/n1", "/bin/n2"]
    assert dict(ledger.dropped) == {Drop("it", "shape", "not selected", True): 1}
    assert (ledger.offered["it"], ledger.sent["it"]) == (3, 2)


def test_a_sink_without_spans_is_not_offered_any(tmp_path: Path) -> None:
    ledger = Ledger()
    taken = channel(config.File(path=str(tmp_path / "e"), queue=PATIENT), ledger)
    spans: Sequence[Span] = [make_span(make_process())]
    taken.take([event(1)], spans, 0.0)
    taken.flush()
    taken.close()
    assert (ledger.offered["it"], ledger.sent["it"]) == (1, 1)


REFUSED = {
    "events that match nothing": (config.Stdout(events=config.Globs(include=("process.exek",))), "events"),
    "fields that match nothing": (config.Stdout(fields=(config.FieldFilter(include=("process.pit",)),)), "fields"),
    "an endpoint that is no URL": (config.OtlpHttp(endpoint="collector:4318"), "endpoint"),
    "a certificate that is not there": (
        config.OtlpHttp(endpoint="https://c:4318", tls=config.Tls(ca_file="/nonexistent/ca.pem")),
        "tls.ca_file",
    ),
    "a folder for a file": (config.File(path="/"), "path"),
    "a file in a file": (config.File(path="/etc/passwd/events.jsonl"), "path"),
}


@pytest.mark.parametrize(("settings", "where"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_at_its_setting_by_check_and_by_run(settings: config.Sink, where: str) -> None:
    with pytest.raises(ConfigError, match=rf"^c.yaml: sinks.it\.{where}") as checked:
        check_sink(settings, probes.TOLD, where="c.yaml: sinks.it")
    with pytest.raises(ConfigError, match=rf"^c.yaml: sinks.it\.{where}") as run:
        opening("it", settings, Ledger(), where="c.yaml: sinks.it")
    assert checked.value.where == run.value.where


def test_a_second_file_that_cannot_be_written_is_named_by_its_own_setting(tmp_path: Path) -> None:
    sink = config.File(path=str(tmp_path / "e"), spans_path="/dev/null")
    for refuse in (
        lambda: check_sink(sink, probes.TOLD, where="s"),
        lambda: opening("s", sink, Ledger(), where="s"),
    ):
        with pytest.raises(ConfigError, match=r"^s\.spans_path: /dev/null cannot be written: not a regular file"):
            refuse()


def test_checking_makes_no_file_and_no_folder(tmp_path: Path) -> None:
    sink = config.File(path=str(tmp_path / "new/folder/e"), spans_path=str(tmp_path / "s"))
    check_sink(sink, probes.TOLD, where="")
    assert list(tmp_path.iterdir()) == []


def test_a_channel_that_was_never_started_closes_its_files(tmp_path: Path) -> None:
    before = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    sink = config.File(path=str(tmp_path / "e"))
    opening("it", sink, Ledger(), where="").close()
    assert (threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))) == before
