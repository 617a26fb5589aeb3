"""The agent on a plain host: no cluster, containers known from their cgroups, and receivers that fail."""

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agent import agent, cgroup, container_id, enter
from tests.peers.collector import Collector, attributes
from tests.peers.processes import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.kernel

HOST: dict[str, Any] = {"kubernetes": {"mode": "off"}, "sinks": {}}


def records(folder: Path, mark: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(resource, attributes) of the exec records that carry `mark` as an argument, from the file sink."""
    found = []
    for line in (folder / "ready.jsonl").read_text().splitlines():
        for group in json.loads(line)["resourceLogs"]:
            resource = attributes(group["resource"]["attributes"])
            for record in group["scopeLogs"][0]["logRecords"]:
                own = attributes(record["attributes"])
                if mark in own.get("process.command_args", ()):
                    found.append((resource, own))
    return found


@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        ("/docker/{id}", "docker"),
        ("/system.slice/docker-{id}.scope", "docker"),
        ("/machine.slice/libpod-{id}.scope", "podman"),
    ],
)
def test_without_a_cluster_a_container_is_known_from_its_cgroup(tmp_path: Path, name: str, runtime: str) -> None:
    container = container_id()
    with cgroup(name.format(id=container)) as folder, agent(tmp_path, HOST) as running:
        subprocess.run(["/bin/true", "in-docker"], check=True, preexec_fn=lambda: enter(folder))
        subprocess.run(["/bin/true", "on-the-host"], check=True)
        running.stop()
    ((resource, _own),) = records(tmp_path, "in-docker")
    assert resource["container.id"] == container
    assert resource.get("container.runtime.name") == runtime
    assert not [name for name in resource if name.startswith("k8s.pod")]
    ((resource, _own),) = records(tmp_path, "on-the-host")
    assert set(resource) == {"host.name", "host.id", "host.arch", "os.type"}


def test_a_pod_without_an_api_server_says_what_is_missing(tmp_path: Path) -> None:
    container = container_id()
    path = f"/kubepods/besteffort/pod0f7b3ab2-11d6-4a60-8e2e-6f1a6b1b5a11/{container}"
    with cgroup(path) as folder, agent(tmp_path, HOST) as running:
        subprocess.run(["/bin/true", "no-api"], check=True, preexec_fn=lambda: enter(folder))
        running.stop()
    ((resource, _own),) = records(tmp_path, "no-api")
    assert resource["k8s.pod.uid"] == "0f7b3ab2-11d6-4a60-8e2e-6f1a6b1b5a11"
    assert resource["container.id"] == container
    assert resource["podwitness.metadata.missing"] == ["pod"]


def test_a_process_that_moved_into_its_cgroup_before_it_execs_is_in_it(tmp_path: Path) -> None:
    """As every container runtime does it: fork, move, exec."""
    container = container_id()
    with cgroup(f"/docker/{container}") as folder, agent(tmp_path, HOST) as running:
        script = f"echo $$ > {folder}/cgroup.procs; exec /bin/true moved-then-exec"
        subprocess.run(["/bin/sh", "-c", script], check=True)
        running.stop()
    ((resource, _own),) = records(tmp_path, "moved-then-exec")
    assert resource["container.id"] == container


def test_an_unreachable_receiver_harms_no_other_sink_and_all_is_accounted_for(tmp_path: Path) -> None:
    nowhere = {"type": "otlp_http", "endpoint": f"http://127.0.0.1:{free_port()}", "queue": {"shutdown_seconds": 0.5}}
    with agent(tmp_path, HOST | {"sinks": {"nowhere": nowhere}}) as running:
        subprocess.run(["/bin/true", "still-told"], check=True)
        said = running.stop()
        log = running.said()
    assert len(records(tmp_path, "still-told")) == 1
    kept = re.search(r"nowhere: sent 0, dropped 0, kept (\d+) in the spool", said)
    assert kept, said
    assert int(kept[1]) > len(records(tmp_path, "still-told"))
    assert "ready: sent" in said
    assert "127.0.0.1" in log
    assert "Connection refused" in log


@pytest.mark.peers
def test_a_collector_that_was_away_gets_what_happened_meanwhile(collector: Collector, tmp_path: Path) -> None:
    sink = {
        "type": "otlp_http",
        "endpoint": collector.otlp_endpoint,
        "queue": {"retry_initial_seconds": 0.05, "retry_max_seconds": 0.2},
    }
    collector.stop()
    with agent(tmp_path, HOST | {"sinks": {"otlp": sink}}) as running:
        subprocess.run(["/bin/true", "meanwhile"], check=True)
        wait_for(lambda: "Connection refused" in running.said(), "the agent has noticed")
        collector.start()
        collector.wait_for(
            lambda c: [r for r in c.logs() if "meanwhile" in r.attributes.get("process.command_args", ())]
        )
        assert re.search(r"otlp: sent \d+, dropped 0", running.stop())


def test_what_a_full_ring_loses_is_counted(tmp_path: Path) -> None:
    """The agent is stopped, as a busy node may stop it, while more happens than the ring holds."""
    with agent(tmp_path, HOST | {"kernel": {"lifecycle_ring_bytes": 4096}}) as running:
        running.process.send_signal(signal.SIGSTOP)
        for _ in range(23):
            subprocess.run(["/bin/true", "many"], check=True)
        running.process.send_signal(signal.SIGCONT)
        said = running.stop()
        log = running.said()
    lost = re.search(r"lost (\d+) in ring lifecycle", said)
    assert lost, said
    told = re.search(r"seen (\d+)", said)
    assert told
    assert int(lost[1]) + int(told[1]) >= 3 * 23
    assert "raise kernel.lifecycle_ring_bytes" in log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_one_line_of_counts(tmp_path: Path, number: signal.Signals) -> None:
    with agent(tmp_path, HOST) as running:
        said = running.stop(number)
    assert re.fullmatch(r"podwitness: seen \d+; ready: sent \d+, dropped 0", said), said


def test_field_filters_leave_out_what_they_name(tmp_path: Path) -> None:
    filtered = {
        "type": "file",
        "path": str(tmp_path / "filtered.jsonl"),
        "fields": [{"events": ["process.exec"], "include": ["process.*", "host.name"], "exclude": ["process.linux.*"]}],
        "events": {"include": ["process.exec"]},
    }
    with agent(tmp_path, HOST | {"sinks": {"filtered": filtered}}) as running:
        subprocess.run(["/bin/true", "filtered"], check=True)
        said = running.stop()
    lines = (tmp_path / "filtered.jsonl").read_text().splitlines()
    groups = [group for line in lines for group in json.loads(line)["resourceLogs"]]
    (group, *_more) = [group for group in groups if '"podwitness.process.exec"' in json.dumps(group)]
    assert set(attributes(group["resource"]["attributes"])) == {"host.name"}
    names = {name for record in group["scopeLogs"][0]["logRecords"] for name in attributes(record["attributes"])}
    assert all(name.startswith("process.") and not name.startswith("process.linux.") for name in names)
    assert "process.command_args" in names
    assert re.search(r"filtered: sent \d+, dropped \d+ \(shape: not selected, as configured\)", said), said
