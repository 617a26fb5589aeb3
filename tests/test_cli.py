"""The command line as a user meets it: what each command prints, where, and with which exit code."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.kernel.recorded import PODWITNESS
from tests.sink.receivers import Answer, HttpReceiver
from tests.terminal import (
    BAD,
    ROOT,
    TO_STDOUT,
    arguments,
    as_nobody,
    lines,
    numbers,
    podwitness,
    refused,
    to_file,
    written,
)
from tests.waiting import wait_for

N = 23


@pytest.mark.parametrize(("text", "told"), BAD.values(), ids=BAD)
def test_check_refuses_bad_settings_with_their_place_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    line = refused(podwitness("check", "--config", path))
    assert line.startswith(f"{path}")
    assert told in line


@pytest.mark.kernel
@pytest.mark.parametrize("text", [text for text, _ in BAD.values()], ids=BAD)
def test_what_run_refuses_it_refuses_in_the_same_words_as_check(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    line = refused(podwitness("run", "--config", path, "--duration", "0.1"))
    assert line == refused(podwitness("check", "--config", path))


def test_check_names_the_sinks_of_a_good_file_and_makes_nothing(tmp_path: Path) -> None:
    settings = to_file(tmp_path / "new")
    settings["sinks"] |= {"collector": {"type": "otlp_http"}, "fluentd": {"type": "fluent_forward"}}
    path = written(tmp_path, settings)
    done = podwitness("check", "--config", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{path}: ok, sinks: collector, file, fluentd\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_settings_file_that_is_not_there_or_is_no_text_is_named(tmp_path: Path) -> None:
    absent = tmp_path / "absent.yaml"
    line = refused(podwitness("check", "--config", absent))
    assert line == f"{absent}: cannot be read: No such file or directory"
    assert refused(podwitness("check", "--config", tmp_path)) == f"{tmp_path}: cannot be read: Is a directory"
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "binary.yaml: cannot be read" in refused(podwitness("check", "--config", binary))


def test_a_settings_file_that_may_not_be_read_is_named(anyone: Path) -> None:
    path = written(anyone, "sinks: {}")
    path.chmod(0)
    assert refused(as_nobody("check", "--config", path)) == f"{path}: cannot be read: Permission denied"


def test_a_file_sink_where_one_may_not_write_is_refused(anyone: Path) -> None:
    locked = anyone / "locked"
    locked.mkdir(mode=0o555)
    path = written(anyone, to_file(locked))
    line = refused(as_nobody("check", "--config", path))
    assert line == f"{path}: sinks.file.path: {locked}/events.jsonl cannot be written: Permission denied"


def test_wrong_usage_is_exit_code_2_and_shows_how(tmp_path: Path) -> None:
    for usage in (["run", "--nonsense"], ["run", "--duration", "0"], ["replay"], ["record"], ["fly"]):
        done = podwitness(*usage)
        assert done.returncode == 2
        assert done.stderr.startswith("Usage: ")


@pytest.mark.parametrize("duration", ["nan", "inf", "-inf"])
def test_a_duration_that_no_clock_reaches_is_wrong_usage(tmp_path: Path, duration: str) -> None:
    done = podwitness("run", "--config", written(tmp_path, TO_STDOUT), "--duration", duration)
    assert done.returncode == 2
    assert "Invalid value for '--duration'" in done.stderr


def test_an_interrupt_while_it_is_still_being_imported_is_quiet(tmp_path: Path) -> None:
    # In place of the first library that it imports, so that the moment is certain.
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass\n")
    done = podwitness("check", env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_another_protocol_in_the_environment_is_told_to_be_ignored(tmp_path: Path) -> None:
    path = written(tmp_path, "sinks: {collector: {type: otlp_http}}")
    done = podwitness("check", "--config", path, env=os.environ | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert done.returncode == 0
    assert done.stderr == (
        "podwitness: warning: OTEL_EXPORTER_OTLP_PROTOCOL=grpc is ignored: an otlp_http sink speaks http/protobuf\n"
    )


def test_run_without_root_says_what_it_needs(anyone: Path) -> None:
    path = written(anyone, TO_STDOUT)
    for command in (["run"], ["record", "--output", anyone / "recording"]):
        line = refused(as_nobody(*command, "--config", path, "--duration", "1"))
        assert "snapshot.bpf.o: cannot be loaded: Operation not permitted (run as root, or with CAP_BPF" in line


def hidden(path: str, command: Sequence[object]) -> subprocess.CompletedProcess[str]:
    """Run with nothing at `path`, in a mount namespace that ends with the command."""
    hide = 'if [ -d "$1" ]; then mount -t tmpfs none "$1"; else mount --bind /dev/null "$1"; fi && shift && exec "$@"'
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "sh", path, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.kernel
def test_a_kernel_without_type_information_is_refused_with_the_option_it_lacks(tmp_path: Path) -> None:
    path = written(tmp_path, TO_STDOUT)
    line = refused(hidden("/sys/kernel/btf", [PODWITNESS, "run", "--config", path]))
    assert line.startswith(
        "/sys/kernel/btf/vmlinux: the kernel has no type information (it needs CONFIG_DEBUG_INFO_BTF"
    )
    assert Path("/sys/kernel/btf/vmlinux").exists()


@pytest.mark.kernel
def test_a_machine_without_libbpf_is_told_what_to_install(tmp_path: Path) -> None:
    mapped = Path("/proc/self/maps").read_text()
    found = re.search(r"(/\S+/libbpf\.so\S*)", mapped)  # other tests of this run may have loaded it
    library = found[1] if found else str(Path("/usr/lib/x86_64-linux-gnu/libbpf.so.1").resolve())
    line = refused(hidden(library, [PODWITNESS, "run", "--config", written(tmp_path, TO_STDOUT)]))
    assert line.startswith("libbpf cannot be loaded: ")
    assert line.endswith("(install libbpf1 (Debian, Ubuntu))")


@pytest.mark.kernel
@pytest.mark.parametrize("missing", ["snapshot", "process"])
def test_a_missing_object_is_named_with_how_to_make_it(tmp_path: Path, missing: str) -> None:
    shutil.copytree(ROOT / "exporter", tmp_path / "exporter", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "bpf").mkdir()
    for name in {"snapshot", "process"} - {missing}:
        shutil.copy(ROOT / f"bpf/{name}.bpf.o", tmp_path / "bpf")
    done = subprocess.run(
        [sys.executable, "-m", "exporter.cli", "run", "--config", str(written(tmp_path, TO_STDOUT))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    path = tmp_path / f"bpf/{missing}.bpf.o"
    assert refused(done) == f"{path}: is missing (build it again with `make setup`, or install podwitness again)"


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"proc_root": "/nonexistent"}, "/nonexistent/sys/kernel/random/boot_id: cannot be read"),
        ({"cgroup_root": "/nonexistent"}, "kernel.cgroup_root: no cgroup hierarchy is mounted"),
    ],
)
def test_a_node_that_is_not_as_the_settings_say_is_refused(tmp_path: Path, setting: dict[str, str], told: str) -> None:
    path = written(tmp_path, to_file(tmp_path) | {"kernel": setting})
    assert told in refused(podwitness("run", "--config", path))


@contextmanager
def watching(folder: Path, settings: object) -> Iterator[subprocess.Popen[bytes]]:
    """`podwitness run`, from when it watches; its stderr goes to the file `stderr`."""
    path, log = written(folder, settings), folder / "stderr"
    with log.open("w") as stderr:
        running = subprocess.Popen(
            [PODWITNESS, "run", "--config", str(path)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_DFL),  # whoever runs the tests may ignore it
        )
        try:
            wait_for(lambda: running.poll() is not None or "watching" in log.read_text(), "it watches")
            yield running
        finally:
            if running.poll() is None:
                running.kill()
            running.wait()
            if running.stdout is not None:
                running.stdout.close()


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.kernel
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_run_with_the_account_in_one_line(tmp_path: Path, number: signal.Signals) -> None:
    with watching(tmp_path, to_file(tmp_path)) as running:
        for _ in range(N):
            subprocess.run(["/bin/true", "until-the-signal"], check=True)
        running.send_signal(number)
        out, _ = running.communicate(timeout=60)
    said = (tmp_path / "stderr").read_text().splitlines()
    assert (running.returncode, out) == (0, b""), said
    assert re.fullmatch(r"podwitness: watching \d+ processes and what they start; sinks: file", said[0])
    assert said[1:-1] == ["podwitness: sending what is left; again to end at once"]
    seen, sent = numbers(said[-1])
    told = lines(tmp_path)
    assert seen == sent == len(told)
    # All that was before the signal, though nobody waited for it to be read.
    assert len([record for record in told if "until-the-signal" in arguments(record)]) == N


@pytest.mark.kernel
@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_signal_of_any_kind_ends_it_at_once(tmp_path: Path, second: signal.Signals) -> None:
    never, queue = threading.Event(), {"shutdown_seconds": 3600}
    with HttpReceiver(Answer(hold=never)) as receiver:
        sink = {"type": "otlp_http", "endpoint": receiver.url, "queue": queue, "timeout_seconds": 3600}
        with watching(tmp_path, {"sinks": {"hanging": sink}}) as running:
            subprocess.run(["/bin/true"], check=True)
            running.send_signal(signal.SIGTERM)
            wait_for(lambda: "again to end at once" in (tmp_path / "stderr").read_text(), "the first is told")
            assert running.poll() is None
            running.send_signal(second)
            assert running.wait(30) == -second
        never.set()


@pytest.mark.kernel
def test_a_reader_that_goes_away_ends_run_where_it_was_the_only_one(tmp_path: Path) -> None:
    with watching(tmp_path, TO_STDOUT) as running:
        assert running.stdout is not None
        subprocess.run(["/bin/true"], check=True)
        assert running.stdout.readline()
        running.stdout.close()

        def ended() -> bool:
            subprocess.run(["/bin/true"], check=True)
            return running.poll() is not None

        wait_for(ended, "it ends by itself")
    said = (tmp_path / "stderr").read_text().splitlines()
    assert running.returncode == 0, said
    assert said[1:-1] == ["podwitness: warning: sink terminal: stdout is closed; nothing more goes there"]
    assert re.fullmatch(r"podwitness: seen \d+; terminal: sent \d+, dropped \d+ \(sink: closed\)", said[-1])


@pytest.mark.kernel
def test_a_reader_that_goes_away_leaves_the_other_sinks_alone(tmp_path: Path) -> None:
    settings = to_file(tmp_path)
    settings["sinks"]["terminal"] = {"type": "stdout"}
    with watching(tmp_path, settings) as running:
        assert running.stdout is not None
        running.stdout.close()
        subprocess.run(["/bin/true"], check=True)
        wait_for(lambda: "nothing more goes there" in (tmp_path / "stderr").read_text(), "it noticed")
        subprocess.run(["/bin/true", "after-the-reader"], check=True)
        wait_for(lambda: any("after-the-reader" in arguments(record) for record in lines(tmp_path)), "it goes on")
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0


@pytest.mark.kernel
def test_the_last_metrics_are_the_whole_account(tmp_path: Path) -> None:
    """What the sinks sent and dropped at the very end is in it."""
    with HttpReceiver() as receiver:
        telemetry = {"metrics_endpoint": receiver.url, "metrics_interval_seconds": 3600}
        path = written(tmp_path, to_file(tmp_path, batch={"max_delay_seconds": 60}) | {"telemetry": telemetry})
        running = subprocess.Popen(
            [PODWITNESS, "run", "--config", str(path), "--duration", "1"], stderr=subprocess.PIPE, text=True
        )
        while running.poll() is None:
            subprocess.run(["/bin/true"], check=True)
        _out, said = running.communicate()
        assert running.returncode == 0, said
        body = receiver.requests[-1].body
    (metrics,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    found = {m.name: sum(p.as_int for p in m.sum.data_points) for m in metrics.scope_metrics[0].metrics}
    seen, sent = numbers(said.splitlines()[-1])
    assert seen == found["podwitness.events.seen"] == found["podwitness.records.offered"] > 0
    assert sent == found["podwitness.records.sent"] == seen


@pytest.mark.kernel
def test_a_recording_is_not_written_over(tmp_path: Path) -> None:
    taken = tmp_path / "precious"
    taken.write_text("precious")
    done = podwitness("record", "--config", written(tmp_path, "sinks: {}"), "--output", taken, "--duration", "0.1")
    assert refused(done).startswith(f"{taken}: File exists")
    assert taken.read_text() == "precious"
