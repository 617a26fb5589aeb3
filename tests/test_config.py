"""The settings file: what it may say, and what its reader is told about a mistake."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from exporter import config
from exporter.errors import ConfigError

MINIMAL = "sinks: {a: {type: stdout}}"


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, where="c.yaml")
    return str(caught.value)


def test_a_file_becomes_typed_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODWITNESS_TEST_TOKEN", "s3cret: {with} 'yaml' in it")
    path = tmp_path / "c.yaml"
    path.write_text(
        """
        kernel: {poll_milliseconds: 7, hierarchy: pids}
        sinks:
          collector:
            type: otlp_http
            endpoint: https://collector:4318
            headers: {Authorization: "Bearer ${PODWITNESS_TEST_TOKEN}"}
            fields:
              - {events: [process.exec], exclude: [process.command_args]}
            batch: {max_delay_seconds: 1}
          terminal: {type: stdout, timestamps: true}
        redaction: {patterns: ['--pin=(\\d+)']}
        """,
        encoding="utf-8",
    )
    settings = config.load(path)
    assert settings.kernel == config.Kernel(poll_milliseconds=7, hierarchy="pids")
    assert settings.sinks == {
        "collector": config.OtlpHttp(
            endpoint="https://collector:4318",
            headers={"Authorization": "Bearer s3cret: {with} 'yaml' in it"},
            fields=(config.FieldFilter(events=("process.exec",), exclude=("process.command_args",)),),
            batch=config.Batch(max_delay_seconds=1.0),
        ),
        "terminal": config.Stdout(timestamps=True),
    }
    assert settings.redaction.patterns == (r"--pin=(\d+)",)


def test_defaults_are_what_the_documentation_says() -> None:
    settings = config.parse("sinks: {a: {type: fluent_forward}, b: {type: file}, c: {type: otlp_http}}", where="")
    assert dict(flat(settings)) == {
        "sinks.a.type": "fluent_forward",
        "sinks.a.host": "localhost",
        "sinks.a.port": 24224,
        "sinks.a.fallback_endpoints": (),
        "sinks.a.tag": "podwitness",
        "sinks.a.compression": "gzip",
        "sinks.a.shared_key": None,
        "sinks.a.user": None,
        "sinks.a.hostname": None,
        "sinks.a.tls": None,
        "sinks.a.timeout_seconds": 10.0,
        "sinks.a.ack_timeout_seconds": 60.0,
        "sinks.a.reconnect_seconds": 300.0,
        "sinks.b.type": "file",
        "sinks.b.path": "/var/log/podwitness/events.jsonl",
        "sinks.b.spans_path": None,
        "sinks.b.max_bytes": 104857600,
        "sinks.b.max_age_seconds": None,
        "sinks.b.backups": 5,
        "sinks.b.compress_backups": False,
        "sinks.c.type": "otlp_http",
        "sinks.c.endpoint": None,
        "sinks.c.fallback_endpoints": (),
        "sinks.c.headers": {},
        "sinks.c.compression": None,
        "sinks.c.timeout_seconds": None,
        "sinks.c.tls.ca_file": None,
        "sinks.c.tls.certificate_file": None,
        "sinks.c.tls.key_file": None,
        "sinks.c.tls.server_name": None,
        "sinks.c.reconnect_seconds": 300.0,
        "sinks.c.spans": True,
        **{f"sinks.{sink}.{name}": value for sink in "abc" for name, value in EVERY_SINK.items()},
        "kernel.lifecycle_ring_bytes": 8388608,
        "kernel.activity_ring_bytes": 4194304,
        "kernel.poll_milliseconds": 20,
        "kernel.hierarchy": "auto",
        "kernel.cgroup_root": "/sys/fs/cgroup",
        "kernel.proc_root": "/proc",
        "kernel.strict": False,
        "kernel.persist": False,
        "kernel.pin_path": "/sys/fs/bpf/podwitness",
        "observe.types.include": (),
        "observe.types.exclude": (),
        "observe.cgroups.include": (),
        "observe.cgroups.exclude": (),
        "observe.users.include": (),
        "observe.users.exclude": (),
        "observe.binaries.include": (),
        "observe.binaries.exclude": (),
        "observe.files.paths.include": (),
        "observe.files.paths.exclude": (),
        "observe.files.access": ("read", "write", "create"),
        "observe.network.addresses.include": (),
        "observe.network.addresses.exclude": (),
        "observe.network.ports.include": (),
        "observe.network.ports.exclude": (),
        "observe.network.metrics": False,
        "observe.unix_sockets": (
            "docker.sock",
            "containerd.sock",
            "crio.sock",
            "podman.sock",
            "cri-dockerd.sock",
            "dockershim.sock",
            "buildkitd.sock",
            "kubelet.sock",
        ),
        "observe.aggregate.types": ("file.open",),
        "observe.aggregate.milliseconds": 1000,
        "kubernetes.mode": "auto",
        "kubernetes.kubeconfig": None,
        "kubernetes.context": None,
        "kubernetes.node_name": None,
        "kubernetes.cluster_name": None,
        "kubernetes.labels.include": (),
        "kubernetes.labels.exclude": (),
        "kubernetes.annotations.include": (),
        "kubernetes.annotations.exclude": (),
        "process.arguments.max_bytes": 4096,
        "process.arguments.max_total_bytes": 16384,
        "process.max_processes": 32768,
        "redaction.presets": True,
        "redaction.patterns": (),
        "telemetry.metrics_endpoint": None,
        "telemetry.metrics_interval_seconds": 30.0,
        "telemetry.log_fluentd": None,
        "spool.mode": "disk",
        "spool.path": "/var/lib/podwitness",
        "spool.key_file": None,
        "spool.commit_events": 1000,
        "spool.commit_milliseconds": 100,
        "memory.limit_bytes": 134217728,
        "tamper_evidence": None,
        "health": None,
    }
    assert config.parse(MINIMAL, where="").sinks["a"] == config.Stdout(timestamps=False)


EVERY_SINK = {
    "events.include": (),
    "events.exclude": (),
    "fields": (),
    "required": True,
    "batch.max_records": 2000,
    "batch.max_bytes": 3500000,
    "batch.max_delay_seconds": 0.2,
    "queue.max_bytes": 33554432,
    "queue.max_disk_bytes": 536870912,
    "queue.max_age_seconds": 604800.0,
    "queue.breaker_failures": 5,
    "queue.max_resends": 5,
    "queue.retry_initial_seconds": 0.5,
    "queue.retry_max_seconds": 30.0,
    "queue.shutdown_seconds": 5.0,
}


def flat(node: object, at: str = "") -> Iterator[tuple[str, object]]:
    """Every setting with its path."""
    if isinstance(node, msgspec.Struct):
        if tag := node.__struct_config__.tag:
            yield f"{at}type", tag
        for name in node.__struct_fields__:
            yield from flat(getattr(node, name), f"{at}{name}.")
    elif isinstance(node, dict) and node:
        for name, value in node.items():
            yield from flat(value, f"{at}{name}.")
    else:
        yield at.rstrip("."), node


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sinks: {}\nkernl: {}", "c.yaml: unknown key kernl (did you mean kernel?)"),
        (
            "sinks: {}\nzzz: {}",
            (
                "c.yaml: unknown key zzz (known here: health, kernel, kubernetes, memory, observe, process, redaction, "
                "sinks, spool, tamper_evidence, telemetry)"
            ),
        ),
        (
            "sinks: {}\nkubernetes: {labels: {includ: []}}",
            "c.yaml: kubernetes.labels: unknown key includ (did you mean include?)",
        ),
        (
            "sinks: {}\nprocess: {arguments: {max_byte: 1}}",
            "c.yaml: process.arguments: unknown key max_byte (did you mean max_bytes?)",
        ),
        (
            "sinks: {loki: {type: stdout, timestmps: true}}",
            "c.yaml: sinks.loki: unknown key timestmps (did you mean timestamps?)",
        ),
        (
            "sinks: {loki: {type: stdout, port: 1}}",
            (
                "c.yaml: sinks.loki: unknown key port (known here: batch, events, fields, queue, "
                "required, timestamps, type)"
            ),
        ),
        (
            "sinks: {a: {type: stdout}, loki: {type: file, batch: {max_record: 1}}}",
            "c.yaml: sinks.loki.batch: unknown key max_record (did you mean max_records?)",
        ),
        (
            "sinks: {loki: {type: file, fields: [{}, {inclde: [x]}]}}",
            "c.yaml: sinks.loki.fields[1]: unknown key inclde (did you mean include?)",
        ),
        (
            "sinks: {loki: {type: file, batch: {type: file}}}",
            "c.yaml: sinks.loki.batch: unknown key type (known here: max_bytes, max_delay_seconds, max_records)",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_its_place_and_a_suggestion(text: str, told: str) -> None:
    assert complaint(text) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "sinks: {}\nprocess: {arguments: {max_bytes: 1.5}}",
            "c.yaml: process.arguments.max_bytes: expected `int`, got `float`",
        ),
        ("sinks: {}\nprocess: {max_processes: 0}", "c.yaml: process.max_processes: expected `int` >= 1"),
        (
            "sinks: {a: {type: stdout, batch: {max_records: many}}}",
            "c.yaml: sinks.a.batch.max_records: expected `int`, got `str`",
        ),
        ("sinks: {a: {type: fluent_forward, port: 65536}}", "c.yaml: sinks.a.port: expected `int` <= 65535"),
        (
            "sinks: {a: {type: stdout, batch: {max_delay_seconds: -1}}}",
            "c.yaml: sinks.a.batch.max_delay_seconds: expected `float` > 0.0",
        ),
        (
            "sinks: {a: {type: file, fields: [{include: [x, 1]}]}}",
            "c.yaml: sinks.a.fields[0].include[1]: expected `str`, got `int`",
        ),
        ("sinks: {a: {type: file, events: x}}", "c.yaml: sinks.a.events: expected a mapping, got `str`"),
        ("sinks: {a: 3}", "c.yaml: sinks.a: expected a mapping, got `int`"),
        ("sinks: [a]", "c.yaml: sinks: expected a mapping, got a list"),
        ("sinks: {}\nkernel:", "c.yaml: kernel: expected a mapping, got nothing"),
        ("- a", "c.yaml: expected a mapping, got a list"),
        ("", "c.yaml: expected a mapping, got nothing"),
        ("sinks: {}\nkernel: {1: 2}", "c.yaml: kernel: a key is not text (put it between quotes)"),
        ("sinks: {1: {type: stdout}}", "c.yaml: sinks: a key is not text (put it between quotes)"),
        ("kernel: {}", "c.yaml: has no sinks"),
        (
            "sinks: {a: {timestamps: true}}",
            "c.yaml: sinks.a: has no type (one of file, fluent_forward, otlp_grpc, otlp_http, stdout)",
        ),
        ("sinks: {a: {type: stdot}}", "c.yaml: sinks.a.type: cannot be stdot (did you mean stdout?)"),
        (
            "sinks: {a: {type: kafka}}",
            "c.yaml: sinks.a.type: cannot be kafka (known here: file, fluent_forward, otlp_grpc, otlp_http, stdout)",
        ),
        ("sinks: {a: {type: 1}}", "c.yaml: sinks.a.type: expected `str`, got `int`"),
        ("sinks: {}\nkernel: {hierarchy: on}", "c.yaml: kernel.hierarchy: expected `str`, got `bool`"),
        ("sinks: {}\nkernel: {hierarchy: pid}", "c.yaml: kernel.hierarchy: cannot be pid (did you mean pids?)"),
        (
            "sinks: {a: {type: otlp_http, compression: zstd}}",
            "c.yaml: sinks.a.compression: cannot be zstd (known here: gzip, none)",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_its_place(text: str, told: str) -> None:
    assert complaint(text) == told


@pytest.mark.parametrize("value", [".inf", ".nan", "1e999", "1.0e+10", "86401", "100000000000000000", "0"])
@pytest.mark.parametrize(
    "setting",
    [
        "sinks: {{a: {{type: stdout, queue: {{retry_initial_seconds: {}}}}}}}",
        "sinks: {{a: {{type: stdout, queue: {{retry_max_seconds: {}}}}}}}",
        "sinks: {{a: {{type: stdout, queue: {{shutdown_seconds: {}}}}}}}",
        "sinks: {{a: {{type: stdout, batch: {{max_delay_seconds: {}}}}}}}",
        "sinks: {{a: {{type: otlp_http, timeout_seconds: {}}}}}",
        "sinks: {{a: {{type: fluent_forward, ack_timeout_seconds: {}}}}}",
        "sinks: {{}}\ntelemetry: {{metrics_interval_seconds: {}}}",
        "sinks: {{}}\nkernel: {{poll_milliseconds: {}}}",
    ],
)
def test_a_time_that_no_thread_could_wait_is_refused(setting: str, value: str) -> None:
    assert re.search(r"(seconds|milliseconds): expected `(int|float)", complaint(setting.format(value)))


@pytest.mark.parametrize("value", ["100000000000000000", str(10**30), ".inf"])
def test_a_size_beyond_all_memory_is_refused(value: str) -> None:
    assert "max_bytes: expected `int`" in complaint(f"sinks: {{a: {{type: stdout, queue: {{max_bytes: {value}}}}}}}")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("2024-13-45", "timestamp"),
        ("0b_", "int"),
        ('!!int "abc"', "int"),
        ('!!int ""', "int"),
        ('!!float "x"', "float"),
        ('!!bool "maybe"', "bool"),
        ('!!timestamp "noon"', "timestamp"),
    ],
)
def test_what_only_looks_like_a_number_or_a_date_is_refused_with_its_line(value: str, kind: str) -> None:
    told = complaint(f"sinks:\n  a: {{type: stdout, timestamps: {value}}}")
    assert re.fullmatch(rf"c\.yaml, line 2: is not YAML: .* is no {kind}; put text between quotes", told)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("off", "off"), ("on", "on"), ("no", "off"), ("true", "on"), ("'on'", "on"), ("auto", "auto")],
)
def test_on_and_off_need_no_quotes_where_they_are_words(written: str, meant: str) -> None:
    text = f"sinks: {{a: {{type: stdout, timestamps: on}}}}\nkubernetes: {{mode: {written}}}"
    settings = config.parse(text, where="")
    assert settings.kubernetes.mode == meant
    assert settings.sinks["a"] == config.Stdout(timestamps=True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sinks: {a: {type: file, path: ''}}", "c.yaml: sinks.a.path: is empty (give it a value or leave it out)"),
        ("sinks: {a: {type: file, spans_path: ''}}", "c.yaml: sinks.a.spans_path: is empty (give it a value or"),
        ('sinks: {a: {type: file, path: "a\\0b"}}', "c.yaml: sinks.a.path: has a NUL character"),
        ("sinks: {}\nkernel: {proc_root: ''}", "c.yaml: kernel.proc_root: is empty (give it a value or"),
        (
            "sinks: {a: {type: stdout, batch: {max_bytes: 1001}, queue: {max_bytes: 1000}}}",
            "c.yaml: sinks.a: queue.max_bytes is 1000, less than batch.max_bytes, which is 1001: a full batch could",
        ),
        (
            "sinks: {}\ntelemetry: {metrics_endpoint: 'collector:4318'}",
            "c.yaml: telemetry: metrics_endpoint is no http or https URL with a host (write it as http://host:4318 or",
        ),
        ("sinks: {}\ntelemetry: {metrics_endpoint: ''}", "c.yaml: telemetry.metrics_endpoint: is empty"),
    ],
)
def test_settings_that_cannot_work_are_refused(text: str, told: str) -> None:
    assert complaint(text).startswith(told)


def test_a_queue_as_large_as_a_batch_is_large_enough() -> None:
    text = "sinks: {a: {type: stdout, batch: {max_bytes: 1000}, queue: {max_bytes: 1000}}}"
    assert config.parse(text, where="").sinks["a"].queue.max_bytes == 1000


def test_a_variable_that_is_not_set_is_refused_with_the_place_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PODWITNESS_TEST_TOKEN", raising=False)
    text = "sinks: {a: {type: file, fields: [{include: [x, '${PODWITNESS_TEST_TOKEN}']}]}}"
    assert complaint(text) == (
        "c.yaml: sinks.a.fields[0].include[1]: the environment has no PODWITNESS_TEST_TOKEN "
        "(set it or write the value for ${PODWITNESS_TEST_TOKEN})"
    )


def test_the_value_of_a_variable_is_text_and_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODWITNESS_TEST_NAME", "${HOME}\n- 3")
    text = "sinks: {}\nkubernetes: {cluster_name: 'x-${PODWITNESS_TEST_NAME}-$y'}"
    assert config.parse(text, where="").kubernetes.cluster_name == "x-${HOME}\n- 3-$y"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sinks: {}\na: b: c", "c.yaml, line 2: is not YAML: mapping values are not allowed here"),
        ("sinks: [", "c.yaml, line 1: is not YAML: expected the node content, but found '<stream end>'"),
        ("sinks: !!python/object:os.system {}", "c.yaml, line 1: is not YAML: could not determine a constructor for"),
        ("sinks: {}\n---\nsinks: {}", "c.yaml, line 2: is not YAML: but found another document"),
        ("sinks: \x07", "c.yaml: is not YAML: unacceptable character"),
        ("sinks: &a {b: *a}", "c.yaml: is nested too deeply, or an alias in it holds itself"),
        ("[" * 5000, "c.yaml: is nested too deeply"),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_line(text: str, told: str) -> None:
    assert complaint(text).startswith(told)


def test_a_key_that_is_there_twice_is_refused() -> None:
    text = "sinks:\n  a: {type: stdout}\n  b: {type: stdout}\n  a: {type: file}"
    assert complaint(text) == "c.yaml, line 4: is not YAML: the key a is there twice"


def test_a_merged_key_may_be_overridden() -> None:
    text = "sinks:\n  a: &a {type: file, path: /a, backups: 1}\n  b: {<<: *a, path: /b}"
    assert config.parse(text, where="").sinks["b"] == config.File(path="/b", backups=1)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "c.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        config.load(path)
    assert caught.value.where == str(path)
