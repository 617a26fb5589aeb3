"""The order of the stages: samples as the kernel writes them go in, records come out of real sinks."""

import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter import config
from exporter.agent import Pipeline
from exporter.config import Config
from exporter.enrich.cgroups import Tree
from exporter.enrich.pods import PodIndex
from exporter.enrich.resources import Resources
from exporter.errors import ConfigError
from exporter.keeping import Keeping
from exporter.model import RawSample
from exporter.source import libbpf
from exporter.source.btf import Types
from exporter.source.programs import Seen, objects_directory
from exporter.telemetry import ALL_SINKS, Drop, Ledger
from tests.bench.synthetic import Lifecycle, header
from tests.sink.receivers import Answer, HttpReceiver
from tests.waiting import wait_for

OFFSET = 1_795_000_000 * 10**9


def types_of(program: str) -> Types:
    opened = libbpf.Object(objects_directory() / f"{program}.bpf.o")
    try:
        return Types(opened.btf())
    finally:
        opened.close()


class Source:
    """What a pipeline asks of the kernel or of a recording."""

    boot_id = "b007"
    types = {name: types_of(name) for name in ("snapshot", "process")}  # noqa: RUF012

    @classmethod
    def types_of(cls, _ring_id: int) -> dict[str, Types]:
        """All rings are of this build."""
        return cls.types


LIFE = Lifecycle(Source.types["process"])


def samples(*data: bytes) -> list[RawSample]:
    return [RawSample("lifecycle", 1, 64 * at, one) for at, one in enumerate(data)]


def life(pid: int, at: int = 1_000_000) -> list[bytes]:
    """Fork, exec of curl and exit of one process."""
    return [LIFE.fork(pid, 0, at), LIFE.exec(pid, 0, at + 10, at), LIFE.exit(pid, 0, at + 20, at)]


@contextmanager
def pipeline(
    sinks: dict[str, config.Sink], ledger: Ledger, keeping: Keeping | None = None, **more: Any
) -> Iterator[Pipeline]:
    settings = Config(sinks=sinks, **more)
    resources = Resources({"host.name": "node-1"}, PodIndex(), Tree(None), settings.kubernetes, False)
    opened = Pipeline(settings, Source, resources, ledger, where="c.yaml", keeping=keeping)  # type: ignore[arg-type]
    try:
        yield opened
    finally:
        opened.close()


def file(folder: Path, name: str = "events") -> config.File:
    """Each record a line, so that the file has them in their order."""
    return config.File(
        path=str(folder / f"{name}.jsonl"),
        spans_path=str(folder / "spans.jsonl") if name == "events" else None,
        batch=config.Batch(max_records=1),
        queue=config.Queue(shutdown_seconds=30),
    )


def records(path: Path) -> list[dict[str, Any]]:
    """Log records with their attributes flat."""
    found = []
    for line in path.read_text().splitlines():
        for resource in json.loads(line)["resourceLogs"]:
            found += [record | flat(record) for record in resource["scopeLogs"][0]["logRecords"]]
    return found


def flat(record: dict[str, Any]) -> dict[str, Any]:
    return {pair["key"]: next(iter(pair["value"].values())) for pair in record["attributes"]}


def test_a_life_goes_through_all_stages_in_order(tmp_path: Path) -> None:
    ledger = Ledger()
    with pipeline({"it": file(tmp_path)}, ledger) as it:
        it.process(samples(*life(4711)), OFFSET, OFFSET + 5)
    told = records(tmp_path / "events.jsonl")
    assert [record["eventName"] for record in told] == [f"podwitness.process.{n}" for n in ("fork", "exec", "exit")]
    assert [int(record["timeUnixNano"]) - OFFSET for record in told] == [1_000_000, 1_000_010, 1_000_020]
    assert {record["process.pid"] for record in told} == {"4711"}
    assert {record["observedTimeUnixNano"] for record in told} == {str(OFFSET + 5)}
    assert [record["process.executable.name"] for record in told[1:]] == ["curl", "curl"]
    assert len((tmp_path / "spans.jsonl").read_text().splitlines()) == 1
    assert ledger.seen == {"process.fork": 1, "process.exec": 1, "process.exit": 1}
    assert ledger.summary() == "seen 3; it: sent 4, dropped 0"  # three records and a span


def test_every_sink_gets_the_same_and_one_that_hangs_holds_up_no_other(tmp_path: Path) -> None:
    never, ledger = threading.Event(), Ledger()
    with HttpReceiver(*[Answer(hold=never)] * 3) as receiver:
        hanging = config.OtlpHttp(endpoint=receiver.url, queue=config.Queue(shutdown_seconds=0.1))
        with pipeline({"hanging": hanging, "it": file(tmp_path), "also": file(tmp_path, "also")}, ledger) as it:
            it.process(samples(*life(4711), *life(4712)), OFFSET, OFFSET)
            wait_for(lambda: ledger.sent["it"] == 8 and ledger.sent["also"] == 6, "the others have all")
        never.set()
    uids = [record["log.record.uid"] for record in records(tmp_path / "events.jsonl")]
    assert len(set(uids)) == 6
    assert [record["log.record.uid"] for record in records(tmp_path / "also.jsonl")] == uids
    assert ledger.offered["hanging"] == sum(n for drop, n in ledger.dropped.items() if drop.sink == "hanging") == 8


DAMAGED = {
    "a kind of another version": struct.pack("<I", 4_000) + bytes(200),
    "nothing": b"",
    "half a header": life(9)[0][:20],
    "a header and nothing behind it": life(9)[1][:60],
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("place", [0, 2, 3])
def test_a_sample_that_cannot_be_read_costs_itself(
    tmp_path: Path, damaged: bytes, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    ledger, data = Ledger(), life(4711)
    data[place:place] = [damaged, damaged]
    with pipeline({"it": file(tmp_path)}, ledger) as it:
        it.process(samples(*data), OFFSET, OFFSET)
    assert [record["eventName"].rpartition(".")[2] for record in records(tmp_path / "events.jsonl")] == [
        "fork",
        "exec",
        "exit",
    ]
    assert ledger.dropped == {Drop(ALL_SINKS, "decode", "undecodable", False): 2}
    assert ledger.summary() == "seen 5; dropped 2 (decode: undecodable); it: sent 4, dropped 0"
    assert len([r for r in caplog.records if "cannot" in r.getMessage() or "undecodable" in r.getMessage()]) == 1


mutations = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 400), st.integers(0, 255), st.sampled_from(["set", "cut"])), max_size=12
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations, st.integers(-(1 << 63), (1 << 63) - 1))
def test_whatever_a_ring_or_a_recording_holds_nothing_raises_and_every_sample_is_accounted_for(
    tmp_path: Path, damage: list[tuple[int, int, int, str]], offset: int
) -> None:
    data = [bytearray(sample) for sample in (*life(1), *life(2))]
    for which, at, byte, how in damage:
        if how == "cut":
            del data[which][at:]
        elif at < len(data[which]):
            data[which][at] = byte
    ledger = Ledger()
    with pipeline({"it": file(tmp_path), "too": file(tmp_path, "too")}, ledger) as it:
        it.process(samples(*map(bytes, data)), offset, OFFSET)
    nowhere = sum(count for drop, count in ledger.dropped.items() if drop.sink == ALL_SINKS)
    dropped = sum(count for drop, count in ledger.dropped.items() if drop.sink == "too")
    assert sum(ledger.seen.values()) == len(data)
    assert ledger.sent["too"] + dropped + nowhere == len(data)
    assert ledger.offered["it"] == ledger.sent["it"] + sum(n for d, n in ledger.dropped.items() if d.sink == "it")


def seen(pid: int, arguments: bytes | None = None) -> Seen:
    """A process of the snapshot, of which the kernel says nothing but its header."""
    types = Source.types["snapshot"]
    data = bytearray(types.size("process_snapshot"))
    data[:48] = header(types.enumerator("process_snapshot_kind"), pid, 500, 2, 0, 500)
    return Seen(RawSample("lifecycle", 0, pid, bytes(data)), arguments)


def test_processes_that_were_there_before_are_known_with_their_arguments(tmp_path: Path) -> None:
    with pipeline({"it": file(tmp_path)}, Ledger()) as it:
        it.seed([seen(7, b"nginx\0-g\0daemon off;\0"), seen(8)], OFFSET, OFFSET)
        it.process(samples(LIFE.exit(7, 0, 900, 500)), OFFSET, OFFSET)
    (line,) = (tmp_path / "spans.jsonl").read_text().splitlines()
    (span,) = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    arguments = next(pair["value"] for pair in span["attributes"] if pair["key"] == "process.command_args")
    assert [value["stringValue"] for value in arguments["arrayValue"]["values"]] == ["nginx", "-g", "daemon off;"]


@pytest.mark.parametrize("damaged", [b"", struct.pack("<I", 4_000) + bytes(900), bytes(20)])
def test_a_damaged_process_of_the_snapshot_costs_itself_and_is_noted(tmp_path: Path, damaged: bytes) -> None:
    ledger = Ledger()
    with pipeline({"it": file(tmp_path)}, ledger) as it:
        it.seed([seen(7), Seen(RawSample("lifecycle", 0, 1, damaged), b"x\0"), seen(8)], OFFSET, OFFSET)
        assert len(it.table) == 2
    assert ledger.noted["process.snapshot_undecodable"] == 1


@pytest.mark.parametrize("offset", [-(1 << 80), 1 << 80])
def test_a_snapshot_with_impossible_times_is_taken(tmp_path: Path, offset: int) -> None:
    with pipeline({"it": file(tmp_path)}, Ledger()) as it:
        it.seed([seen(7)], offset, OFFSET)
        assert len(it.table) == 1


def test_a_sink_that_cannot_be_opened_closes_those_before_it(tmp_path: Path) -> None:
    before = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    sinks: dict[str, config.Sink] = {
        "good": file(tmp_path),
        "bad": config.File(path="/etc/passwd/no"),
        "never": file(tmp_path, "never"),
    }
    message = r"c.yaml: sinks.bad.path: /etc/passwd/no cannot be written"
    with pytest.raises(ConfigError, match=message), pipeline(sinks, Ledger()):
        raise AssertionError("must not get here")
    assert (threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))) == before
    assert not (tmp_path / "never.jsonl").exists()


def test_a_redaction_that_is_no_pattern_is_refused_at_its_setting(tmp_path: Path) -> None:
    settings = Config(sinks={"it": file(tmp_path)}, redaction=config.Redaction(patterns=("(",)))
    resources = Resources({}, PodIndex(), Tree(None), settings.kubernetes, False)
    with pytest.raises(ConfigError, match=r"^c.yaml: redaction"):
        Pipeline(settings, Source, resources, Ledger(), where="c.yaml")  # type: ignore[arg-type]


def test_a_secret_in_a_name_reaches_no_sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    types, name = types_of("memfd"), b"token=hunter2"
    monkeypatch.setattr(Source, "types", {**Source.types, "memfd": types})
    sample = bytearray(types.size("file_memfd"))
    said = {"header.kind": types.enumerator("file_memfd_kind"), "header.pid": 10, "name": len(name)}
    for member in types.members("file_memfd"):
        if member.name in said:
            sample[member.offset : member.offset + member.size] = said[member.name].to_bytes(member.size, "little")
    with pipeline({"out": file(tmp_path)}, Ledger()) as opened:
        opened.process(samples(bytes(sample) + name), OFFSET, OFFSET)
    (record,) = records(tmp_path / "events.jsonl")
    (told,) = [one["value"] for one in record["attributes"] if one["key"] == "podwitness.memfd.name"]
    assert told == {"stringValue": "token=*****"}


def test_a_reading_without_samples_sends_what_has_waited_long_enough(tmp_path: Path) -> None:
    ledger = Ledger()
    patient = config.File(path=str(tmp_path / "e"), batch=config.Batch(max_delay_seconds=0.01))
    with pipeline({"it": patient}, ledger) as it:
        it.process(samples(*life(1)), OFFSET, OFFSET)

        def sent() -> bool:
            it.process([], OFFSET, OFFSET)
            return ledger.sent["it"] == 3

        wait_for(sent, "the batch is sent without news")
        assert not it.pending


def test_an_escape_that_is_none_is_told_to_nobody_and_counted_as_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    types = types_of("namespace")
    monkeypatch.setattr(Source, "types", {**Source.types, "namespace": types})
    said = {"header.kind": types.enumerator("namespace_escape_kind"), "header.pid": 10, "change.types": 0x4000000}
    sample = bytearray(types.size("namespace_escape"))
    for member in types.members("namespace_escape"):
        if member.name in said:
            sample[member.offset : member.offset + member.size] = said[member.name].to_bytes(member.size, "little")
    ledger = Ledger()
    with pipeline({"out": file(tmp_path)}, ledger) as opened:
        opened.process(samples(bytes(sample), *life(1)), OFFSET, OFFSET)
    assert ledger.dropped[Drop(ALL_SINKS, "enrich", "no escape", True)] == 1
    told = [record["eventName"] for record in records(tmp_path / "events.jsonl")]
    assert told == [f"podwitness.process.{name}" for name in ("fork", "exec", "exit")]
    assert ledger.seen["namespace.escape"] == 1
