"""The ledger and how it leaves the agent: as a line, as OTLP metrics, and the log by Forward."""

import gc
import socket
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from exporter.telemetry import ALL_SINKS, Drop, Ledger, export_metrics, log, log_to_fluentd
from tests.sink.receivers import Answer, ForwardReceiver, HttpReceiver
from tests.waiting import wait_for

HOUR = 3600.0


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """No thread that a test started, and no open socket, which would be a ResourceWarning."""
    before = set(threading.enumerate())
    yield
    # The receiver's own threads end when they see that the connection is closed.
    wait_for(lambda: set(threading.enumerate()) <= before, "all threads have ended")
    gc.collect()


def test_the_summary_gives_each_sink_what_became_of_all_it_was_offered() -> None:
    ledger = Ledger()
    ledger.see(["process.exec", "process.exec", "process.fork", "unknown"])
    ledger.lose("lifecycle", 7)
    ledger.lose("activity", 0)
    ledger.drop(ALL_SINKS, "decode", "undecodable", 1)
    for sink in ("collector", "terminal"):
        ledger.offer(sink, 3)
    ledger.send("collector", 2)
    ledger.drop("collector", "sink", "refused", 1)
    ledger.send("terminal", 2)
    ledger.drop("terminal", "shape", "not selected", 1, intentional=True)
    ledger.offer("idle", 0)
    ledger.note("retry.collector")
    assert ledger.summary() == (
        "seen 4; lost 7 in ring lifecycle; dropped 1 (decode: undecodable); "
        "collector: sent 2, dropped 1 (sink: refused); "
        "idle: sent 0, dropped 0; "
        "terminal: sent 2, dropped 1 (shape: not selected, as configured)"
    )


def test_an_agent_that_saw_nothing_says_so() -> None:
    assert Ledger().summary() == "seen 0"


fates = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from(["sent", "refused", "queue_full", "not selected"]),
    st.integers(0, 1000),
)


@given(st.lists(fates, max_size=30))
def test_whatever_happens_the_summary_adds_up(happened: list[tuple[str, str, int]]) -> None:
    ledger, offered = Ledger(), Counter[str]()
    for sink, fate, count in happened:
        ledger.offer(sink, count)
        offered[sink] += count
        if fate == "sent":
            ledger.send(sink, count)
        else:
            ledger.drop(sink, "sink", fate, count, intentional=fate == "not selected")
    told = dict(part.split(": ", 1) for part in ledger.summary().split("; ")[1:])
    assert set(told) == set(offered)
    for sink, line in told.items():
        assert sum(int(part.split()[1]) for part in line.split(", ") if part != "as configured)") == offered[sink]


def test_losses_of_different_streams_are_told_apart() -> None:
    ledger = Ledger()
    for stream, first in (("old", 7), ("new", 1), ("old", 8)):
        ledger.drop("a", "spool", "too_old", 1, sequences=((first, first),), stream=stream)
    ledger.drop("a", "spool", "too_old", 5, stream="old")
    told = {loss.stream: (loss.count, loss.sequences) for loss in ledger.losses()}
    assert told == {"old": (2, ((7, 8),)), "new": (1, ((1, 1),)), "": (5, ())}, "without numbers no stream matters"


def test_counts_from_many_threads_are_all_there() -> None:
    ledger = Ledger()

    def count() -> None:
        for _ in range(2000):
            ledger.see(["process.exec"])
            ledger.offer("a", 1)
            ledger.send("a", 1)
            ledger.drop("a", "sink", "refused", 1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (ledger.seen["process.exec"], ledger.offered["a"], ledger.sent["a"]) == (16_000,) * 3
    assert ledger.dropped == {Drop("a", "sink", "refused", False): 16_000}


def points(request: bytes) -> dict[str, dict[frozenset[tuple[str, Any]], int]]:
    """The numbers of a metrics request, by metric and attributes."""
    (resource_metrics,) = ExportMetricsServiceRequest.FromString(request).resource_metrics
    (scope_metrics,) = resource_metrics.scope_metrics
    return {
        metric.name: {frozenset(attributes(point.attributes).items()): point.as_int for point in metric.sum.data_points}
        for metric in scope_metrics.metrics
    }


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def a_ledger() -> Ledger:
    ledger = Ledger()
    ledger.see(["process.exec"] * 5 + ["process.exit"])
    ledger.lose("lifecycle", 3)
    ledger.offer("collector", 6)
    ledger.send("collector", 2)
    ledger.drop("collector", "sink", "queue_full", 3)
    ledger.drop("collector", "shape", "not selected", 1, intentional=True)
    ledger.note("retry.collector", 4)
    return ledger


def test_the_ledger_arrives_as_otlp_metrics_with_the_reasons_of_drops() -> None:
    with HttpReceiver() as receiver:
        stop = export_metrics(
            a_ledger(), endpoint=f"{receiver.url}/", interval=HOUR, resource={"k8s.node.name": "node-1"}
        )
        stop()
        (request,) = receiver.requests
    assert request.path == "/v1/metrics"
    (resource_metrics,) = ExportMetricsServiceRequest.FromString(request.body).resource_metrics
    resource = attributes(resource_metrics.resource.attributes)
    assert (resource["service.name"], resource["k8s.node.name"]) == ("podwitness", "node-1")
    sums = [metric.sum for scope in resource_metrics.scope_metrics for metric in scope.metrics]
    assert all(found.is_monotonic and found.aggregation_temporality == 2 for found in sums)
    drop = {"sink": "collector", "stage": "sink", "reason": "queue_full", "intentional": False}
    meant = {"sink": "collector", "stage": "shape", "reason": "not selected", "intentional": True}
    assert points(request.body) == {
        "podwitness.events.seen": {
            frozenset({("event.type", "process.exec")}): 5,
            frozenset({("event.type", "process.exit")}): 1,
        },
        "podwitness.events.lost": {frozenset({("ring", "lifecycle")}): 3},
        "podwitness.records.offered": {frozenset({("sink", "collector")}): 6},
        "podwitness.records.sent": {frozenset({("sink", "collector")}): 2},
        "podwitness.records.dropped": {frozenset(drop.items()): 3, frozenset(meant.items()): 1},
        "podwitness.notes": {frozenset({("what", "retry.collector")}): 4},
    }


def test_what_is_looked_at_is_a_gauge_that_says_whether_it_can_be_seen() -> None:
    ledger = Ledger()
    ledger.probes.update({"process.exec": "tp_btf/sched_process_exec", "file.open": ""})
    with HttpReceiver() as receiver:
        export_metrics(ledger, endpoint=receiver.url, interval=HOUR, resource={})()
        (request,) = receiver.requests
    (resource_metrics,) = ExportMetricsServiceRequest.FromString(request.body).resource_metrics
    (metric,) = resource_metrics.scope_metrics[0].metrics
    assert metric.name == "podwitness.probe.attached"
    told = {attributes(point.attributes)["event.type"]: point for point in metric.gauge.data_points}
    assert {kind: point.as_int for kind, point in told.items()} == {"process.exec": 1, "file.open": 0}
    assert attributes(told["process.exec"].attributes)["hook"] == "tp_btf/sched_process_exec"


def test_metrics_come_once_an_interval_with_the_numbers_of_that_moment() -> None:
    ledger = a_ledger()
    with HttpReceiver() as receiver:
        stop = export_metrics(ledger, endpoint=receiver.url, interval=0.05, resource={})
        wait_for(lambda: receiver.requests, "the first export")
        ledger.see(["process.exec"])
        latest = frozenset({("event.type", "process.exec")})
        wait_for(
            lambda: points(receiver.requests[-1].body)["podwitness.events.seen"][latest] == 6, "an export with the news"
        )
        stop()


def test_the_end_does_not_wait_for_a_receiver_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    stop = export_metrics(a_ledger(), endpoint=f"http://127.0.0.1:{port}", interval=HOUR, resource={})
    ending = threading.Thread(target=stop)
    ending.start()
    ending.join(60)
    assert not ending.is_alive()


def test_the_end_waits_two_seconds_for_a_receiver_that_hangs() -> None:
    """As a process, as whose end counts: nothing that is left running holds it up."""
    never = threading.Event()
    with HttpReceiver(*[Answer(hold=never)] * 10) as receiver:
        done = talk(f"""
            from exporter.telemetry import Ledger, export_metrics
            ledger = Ledger()
            ledger.see(["process.exec"])
            export_metrics(ledger, endpoint={receiver.url!r}, interval=3600, resource={{}})()
            log.info("it ended")
        """)
        # The exporter itself would wait for 10 s and say so.
        assert (done.returncode, done.stderr) == (0, "podwitness: it ended\n")
        never.set()


def talk(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` with our logging on stderr."""
    begin = "from exporter.telemetry import log, log_to_stderr\nlog_to_stderr()\n"
    command = [sys.executable, "-c", begin + textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_our_log_lines_say_how_bad_it_is_and_libraries_are_heard_only_with_errors() -> None:
    done = talk("""
        import logging
        log.info("watching")
        log.getChild("sink").warning("sink %s fails", "loki")
        log.debug("noise")
        for name in ("urllib3.connectionpool", "opentelemetry.sdk", "kubernetes"):
            logging.getLogger(name).warning("Retrying (Retry(total=2)) after connection broken")
        try:
            1 / 0
        except ZeroDivisionError:
            log.error("ours", exc_info=True)
            logging.getLogger("opentelemetry.sdk").exception("theirs\\nin two lines")
    """)
    said = done.stderr.splitlines()
    assert said[:3] == [
        "podwitness: watching",
        "podwitness: warning: sink loki fails",
        "podwitness: error: ours",
    ]
    assert said[3] == "Traceback (most recent call last):", "of our own, which is for a report"
    assert said[-2:] == [
        "ZeroDivisionError: division by zero",
        "podwitness: error: opentelemetry.sdk: theirs in two lines: division by zero",
    ]


def test_a_receiver_that_refuses_costs_nothing_but_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with HttpReceiver(Answer(400)) as receiver:
        export_metrics(a_ledger(), endpoint=receiver.url, interval=HOUR, resource={})()
        assert len(receiver.requests) == 1
    assert "400" in caplog.text


def test_a_log_line_arrives_at_fluentd_as_plain_forward_with_level_and_logger() -> None:
    with ForwardReceiver() as receiver:
        end = log_to_fluentd("127.0.0.1", receiver.port)
        log.warning("sink %s fails: %s", "collector", "no answer ✓")
        log.getChild("sink").error("another")
        end()
        wait_for(lambda: len(receiver.messages) == 2, "both lines")
    first, second = receiver.messages
    assert first.tag == second.tag == "podwitness.log"
    ((at, record),) = first.entries
    assert record == {"level": "WARNING", "logger": "podwitness", "message": "sink collector fails: no answer ✓"}
    assert at.code == 0  # EventTime: with nanoseconds
    assert second.entries[0][1]["logger"] == "podwitness.sink"


def test_after_its_end_nothing_more_is_sent_and_the_logger_is_as_before() -> None:
    handlers = list(log.handlers)
    with ForwardReceiver() as receiver:
        end = log_to_fluentd("127.0.0.1", receiver.port)
        log.warning("before")
        end()
        log.warning("after")
        wait_for(lambda: receiver.messages, "the line before")
    assert [message.entries[0][1]["message"] for message in receiver.messages] == ["before"]
    assert log.handlers == handlers


def test_a_fluentd_that_is_not_there_holds_nobody_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    end = log_to_fluentd("127.0.0.1", port)
    for number in range(500):  # far more than the queue holds
        log.warning("line %d", number)
    end()


def test_a_fluentd_that_hangs_holds_nobody_up() -> None:
    """It takes the connection and never reads: the line that is being sent hangs, all behind it wait."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        end = log_to_fluentd("127.0.0.1", hanging.getsockname()[1])

        def talk() -> None:
            for number in range(150):
                log.warning("%d %s", number, "x" * 500_000)
            end()

        talking = threading.Thread(target=talk, daemon=True)
        talking.start()
        talking.join(60)
        assert not talking.is_alive()
