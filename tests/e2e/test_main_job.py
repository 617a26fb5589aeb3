"""The main job: an exec in a pod's cgroup arrives at a Collector, by OTLP and Forward, with the pod's annotations."""

import json
import os
import platform
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from exporter import __version__
from exporter.probes.names import capabilities
from tests.e2e.agent import Agent, agent, cgroup, container_id, enter
from tests.peers.collector import Collector, Record, attributes
from tests.peers.kube import MERGE_PATCH, ApiServer

pytestmark = [pytest.mark.peers, pytest.mark.kernel]

NODE = "node-of-the-main-job"
IMAGE = "registry.example:5000/team/xwing:1.2.3"
DIGEST = "registry.example:5000/team/xwing@sha256:" + "ab" * 32
OWNER = "11111111-2222-3333-4444-555555555555"
LABELS = {"app.kubernetes.io/name": "xwing", "pod-template-hash": "5d9c7b8f6", "tier": "fleet"}
ANNOTATIONS = {
    "example.com/owner": "team-rebels",
    "example.com/empty": "",
    "example.com/internal-note": "not for you",
    "example.com/api-token": "not by a wildcard",
    "other.org/x": "not asked for",
    "kubectl.kubernetes.io/last-applied-configuration": '{"secret": true}',
}
SCRIPT = "import sys; print('up', flush=True); sys.stdin.read(); sys.exit(3)"
SEQUENCE = "podwitness.event.sequence"
TIMES = ("process.creation.time", "process.exit.time", "podwitness.process.duration_ns")


class Pod:
    """A pod as the API server has it once the kubelet has started its container."""

    def __init__(self, api: ApiServer, name: str) -> None:
        self.name, self.container = name, container_id()
        owner = {
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "xwing-5d9c7b8f6", "uid": OWNER, "controller": True,
        }  # fmt: skip
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": LABELS, "annotations": ANNOTATIONS, "ownerReferences": [owner]},
            "spec": {"nodeName": NODE, "containers": [{"name": "spaceship", "image": IMAGE}]},
        }
        path = "/api/v1/namespaces/default/pods"
        self.uid = str(api.request("POST", path, body)["metadata"]["uid"])
        status = {
            "phase": "Running",
            "podIP": "10.1.2.3",
            "startTime": "2026-11-20T08:41:03Z",
            "containerStatuses": [
                {
                    "name": "spaceship", "containerID": f"containerd://{self.container}",
                    "image": IMAGE, "imageID": DIGEST, "restartCount": 2, "ready": True,
                    "state": {"running": {"startedAt": "2026-11-20T08:41:04Z"}},
                }
            ],
        }  # fmt: skip
        api.request("PATCH", f"{path}/{name}/status", {"status": status}, content_type=MERGE_PATCH)

    @property
    def cgroup(self) -> str:
        """As containerd with the systemd driver names it."""
        uid = self.uid.replace("-", "_")
        pod = f"kubepods-burstable-pod{uid}.slice"
        return f"/kubepods.slice/kubepods-burstable.slice/{pod}/cri-containerd-{self.container}.scope"

    def resource(self) -> dict[str, Any]:
        """Every attribute that a record of this pod has, and no other."""
        return {
            "service.name": "xwing",  # label app.kubernetes.io/name
            "service.namespace": "default",
            "service.version": "1.2.3",
            "service.instance.id": f"default.{self.name}.spaceship",
            "k8s.cluster.name": "deathstar",
            "k8s.node.name": NODE,
            "k8s.namespace.name": "default",
            "k8s.pod.uid": self.uid,
            "k8s.pod.name": self.name,
            "k8s.pod.ip": "10.1.2.3",
            "k8s.pod.start_time": "2026-11-20T08:41:03Z",
            "k8s.pod.label.app.kubernetes.io/name": "xwing",
            "k8s.pod.annotation.example.com/owner": "team-rebels",
            "k8s.pod.annotation.example.com/empty": "",
            "k8s.replicaset.name": "xwing-5d9c7b8f6",
            "k8s.replicaset.uid": OWNER,
            "k8s.deployment.name": "xwing",
            "podwitness.workload.kind": "Deployment",
            "podwitness.workload.name": "xwing",
            "k8s.container.name": "spaceship",
            "k8s.container.restart_count": 2,
            "container.id": self.container,
            "container.image.name": "registry.example:5000/team/xwing",
            "container.image.tags": ["1.2.3"],
            "container.image.repo_digests": [DIGEST],
            "container.runtime.name": "containerd",
            "host.name": socket.gethostname(),
            "host.id": Path("/etc/machine-id").read_text().strip(),
            "host.arch": {"x86_64": "amd64"}[platform.machine()],
            "os.type": "linux",
        }


def settings(api: ApiServer, collector: Collector, hierarchy: str = "auto") -> dict[str, Any]:
    """An agent with both sinks."""
    return {
        "kernel": {"hierarchy": hierarchy},
        "kubernetes": {
            "mode": "on",
            "kubeconfig": str(api.kubeconfig),
            "node_name": NODE,
            "cluster_name": "deathstar",
            "labels": {"include": ["app.kubernetes.io/*"]},
            "annotations": {"include": ["example.com/*"], "exclude": ["example.com/internal-*"]},
        },
        "sinks": {
            "otlp": {"type": "otlp_http", "endpoint": collector.otlp_endpoint},
            "fluent": {"type": "fluent_forward", "host": "127.0.0.1", "port": collector.fluent_port},
        },
    }


class Life:
    """One process in the pod, and what the kernel and /proc say of it while it lives."""

    def __init__(self, folder: Path, cwd: Path) -> None:
        self.argv = [sys.executable, "-c", SCRIPT, "--password=hunter2"]
        child = subprocess.Popen(
            self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd, preexec_fn=lambda: enter(folder)
        )
        assert child.stdout is not None
        child.stdout.readline()
        self.pid, self.cwd = child.pid, cwd
        self.began = datetime.now(UTC).timestamp()
        proc = Path(f"/proc/{child.pid}")
        self.status = dict(line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line)
        self.namespaces = {path.name: path.stat().st_ino for path in (proc / "ns").iterdir()}
        self.exe = str((proc / "exe").readlink())
        child.communicate()
        assert child.returncode == 3

    def common(self) -> dict[str, Any]:
        """What each of its records says of the process."""
        return {
            "process.pid": self.pid,
            "process.vpid": int(self.status["NSpid"].split()[-1]),
            "process.parent_pid": os.getpid(),
            "process.executable.path": self.exe,
            "process.executable.name": self.exe.rpartition("/")[2],
            "process.user.id": 0,
            "process.real_user.id": 0,
        }

    def exec(self, cgroup_path: str) -> dict[str, Any]:
        """What its exec record says besides."""
        names = {name: list(capabilities(int(self.status[line], 16))) for name, line in CAPABILITIES.items()}
        namespaces = ("uts", "ipc", "mnt", "pid", "net", "cgroup", "user", "time")
        return {
            **self.common(),
            "process.command": self.argv[0],
            "process.command_args": [*self.argv[:-1], "--password=*****"],
            "process.args_count": 4,
            "podwitness.process.args.length": sum(len(arg) + 1 for arg in self.argv),
            "process.working_directory": str(self.cwd),
            "process.linux.cgroup": cgroup_path,
            "process.saved_user.id": 0,
            "process.group_leader.pid": os.getpgid(0),
            "process.session_leader.pid": os.getsid(0),
            "podwitness.process.thread.id": self.pid,
            "podwitness.process.thread.name": self.status["Name"].strip(),
            "podwitness.process.real_group.id": 0,
            "podwitness.process.group.id": 0,
            "podwitness.process.saved_group.id": 0,
            **{f"podwitness.process.capabilities.{name}": found for name, found in names.items()},
            **{f"podwitness.process.namespace.{name}": self.namespaces[name] for name in namespaces},
            "podwitness.process.parent.pid": os.getpid(),
            "podwitness.process.parent.executable.path": str(Path("/proc/self/exe").readlink()),
        }


CAPABILITIES = {"effective": "CapEff", "permitted": "CapPrm", "inheritable": "CapInh"}
IDS = ("log.record.uid", "podwitness.process.entity_id", "podwitness.process.parent.entity_id")
OF_THE_TERMINAL = ("process.interactive", "podwitness.process.tty.major", "podwitness.process.tty.minor")


def of(records: list[Record], pid: int, event: str) -> Record:
    """The one record of this process and type."""
    (record,) = [r for r in records if r.attributes.get("process.pid") == pid and r.raw.get("eventName") == event]
    return record


def arrived(collector: Collector, pid: int) -> bool:
    """Whether exec, exit and span of the process are with the Collector, by both ways."""
    logs = [r for r in collector.logs() if r.attributes.get("process.pid") == pid]
    fluent = [r for r in collector.fluent_logs() if r.attributes.get("process.pid") == pid]
    spans = [r for r in collector.traces() if r.attributes.get("process.pid") == pid]
    names = {"podwitness.process.exec", "podwitness.process.exit"}
    return (
        bool(spans)
        and names <= {str(r.raw.get("eventName")) for r in logs}
        and names <= {str(r.attributes.get("event_name")) for r in fluent}
    )


@pytest.mark.parametrize("hierarchy", ["auto", "v2"])
def test_a_process_in_a_pod_arrives_with_all_that_is_true_and_nothing_else(
    apiserver: ApiServer, collector: Collector, tmp_path: Path, hierarchy: str
) -> None:
    pod = Pod(apiserver, f"xwing-5d9c7b8f6-{hierarchy}")
    with cgroup(pod.cgroup, hierarchy) as folder, agent(tmp_path, settings(apiserver, collector, hierarchy)) as running:
        life = Life(folder, tmp_path)
        collector.wait_for(lambda c: arrived(c, life.pid))
        begin = of(collector.logs(), life.pid, "podwitness.process.exec")
        end = of(collector.logs(), life.pid, "podwitness.process.exit")
        _check_exec(begin, life, pod)
        _check_exit(end, begin, life, pod)
        _check_span(collector, begin, end, pod)
        _check_fluent(collector, begin, end, pod)
        _check_summary(running)


def _check_exec(record: Record, life: Life, pod: Pod) -> None:
    assert record.resource == pod.resource()
    told = dict(record.attributes)
    assert told.pop(SEQUENCE) > 0
    varying = {name: told.pop(name) for name in (*IDS, *TIMES) if name in told}
    for name in OF_THE_TERMINAL:  # this test may run with a terminal and without
        told.pop(name, None)
    ancestors = told.pop("podwitness.process.ancestors")
    assert told == life.exec(pod.cgroup)
    assert set(varying) == {*IDS, "process.creation.time"}
    assert re.fullmatch(r"[0-9a-f]{32}-[0-9a-f]+-[0-9a-f]+", varying["log.record.uid"])
    assert ancestors[0] == str(Path("/proc/self/exe").readlink())
    started = datetime.fromisoformat(varying["process.creation.time"]).timestamp()
    assert 0 <= life.began - started < 60
    assert 0 <= int(record.raw["timeUnixNano"]) / 1e9 - started < 60
    assert int(record.raw["observedTimeUnixNano"]) >= int(record.raw["timeUnixNano"])
    assert record.raw["severityNumber"] == 9
    assert len(record.raw["traceId"]) == 32
    assert len(record.raw["spanId"]) == 16
    quoted = f'"{" ".join(life.argv[:-1])} --password=*****"'
    assert record.body == f"exec pid={life.pid} ppid={os.getpid()} user=0 args={quoted}"


def _check_exit(record: Record, begin: Record, life: Life, pod: Pod) -> None:
    assert record.resource == pod.resource()
    own = dict(record.attributes)
    lasted = own.pop("podwitness.process.duration_ns")
    assert lasted == int(record.raw["timeUnixNano"]) - int(begin.raw["timeUnixNano"])
    ended = datetime.fromisoformat(own.pop("process.exit.time")).timestamp()
    assert abs(ended - int(record.raw["timeUnixNano"]) / 1e9) < 0.001
    assert own.pop("log.record.uid") != begin.attributes["log.record.uid"]
    assert own.pop(SEQUENCE) > begin.attributes[SEQUENCE]
    for name in ("process.creation.time", *IDS[1:]):
        assert own.pop(name) == begin.attributes[name]
    assert own == life.common() | {"process.exit.code": 3}
    assert record.body == f"exit pid={life.pid} ppid={os.getpid()} user=0 code=3"
    assert (record.raw["traceId"], record.raw["spanId"]) == (begin.raw["traceId"], begin.raw["spanId"])


def _check_span(collector: Collector, begin: Record, end: Record, pod: Pod) -> None:
    (span,) = [r for r in collector.traces() if r.raw["spanId"] == begin.raw["spanId"]]
    assert span.resource == pod.resource()
    assert span.raw["traceId"] == begin.raw["traceId"]
    assert span.raw["name"] == begin.attributes["process.executable.name"]
    assert span.raw["startTimeUnixNano"] == begin.raw["timeUnixNano"]
    assert span.raw["endTimeUnixNano"] == end.raw["timeUnixNano"]
    assert span.raw["status"]["code"] == 2
    assert span.attributes["process.exit.code"] == 3
    assert span.attributes["error.type"] == "3"
    for name in ("process.pid", "process.command_args", "process.executable.path", "podwitness.process.entity_id"):
        assert span.attributes[name] == begin.attributes[name]


def _check_fluent(collector: Collector, begin: Record, end: Record, pod: Pod) -> None:
    """The same record flat, with the pod nested as Fluent Bit's users know it."""
    by_name = {"podwitness.process.exec": begin, "podwitness.process.exit": end}
    for record in collector.fluent_logs():
        otlp = by_name.get(str(record.attributes.get("event_name")))
        if otlp is None or record.attributes.get("log.record.uid") != otlp.attributes["log.record.uid"]:
            continue
        del by_name[record.attributes["event_name"]]
        told = dict(record.attributes)
        assert told.pop("fluent.tag") == otlp.raw["eventName"]
        assert record.body == otlp.body
        assert record.raw["timeUnixNano"] == otlp.raw["timeUnixNano"]
        nested = told.pop("kubernetes")
        assert nested["annotations"] == {"example.com/owner": "team-rebels", "example.com/empty": ""}
        assert nested["labels"] == {"app.kubernetes.io/name": "xwing"}
        assert (nested["namespace_name"], nested["pod_name"], nested["pod_id"]) == ("default", pod.name, pod.uid)
        assert (told.pop("trace_id"), told.pop("span_id")) == (otlp.raw["traceId"], otlp.raw["spanId"])
        for name in ("event_name", "severity_number", "observed_time_unix_nano"):
            told.pop(name)
        assert (told.pop("podwitness.sink"), len(told.pop("podwitness.stream.id"))) == ("fluent", 16)
        assert told.pop(SEQUENCE) > 0
        others = {name: value for name, value in otlp.attributes.items() if name != SEQUENCE}
        assert told == others | otlp.resource
    assert not by_name


def _check_summary(running: Agent) -> None:
    said = running.stop()
    assert re.search(r"seen \d+", said), said
    assert re.search(r"otlp: sent \d+, dropped 0", said), said
    assert re.search(r"fluent: sent \d+, dropped 0", said), said


def test_a_changed_annotation_is_on_what_happens_next(
    apiserver: ApiServer, collector: Collector, tmp_path: Path
) -> None:
    pod = Pod(apiserver, "xwing-changing")
    change = {"metadata": {"annotations": {"example.com/owner": "team-empire"}}}
    with cgroup(pod.cgroup) as folder, agent(tmp_path, settings(apiserver, collector)):
        first = Life(folder, tmp_path)
        collector.wait_for(lambda c: arrived(c, first.pid))
        apiserver.request("PATCH", f"/api/v1/namespaces/default/pods/{pod.name}", change, content_type=MERGE_PATCH)
        lives = [first]

        def told_anew(_collector: Collector) -> bool:
            lives.append(Life(folder, tmp_path))
            collector.wait_for(lambda c: arrived(c, lives[-1].pid))
            latest = of(collector.logs(), lives[-1].pid, "podwitness.process.exec")
            return latest.resource == pod.resource() | {"k8s.pod.annotation.example.com/owner": "team-empire"}

        collector.wait_for(told_anew)
        assert of(collector.logs(), first.pid, "podwitness.process.exec").resource == pod.resource()


def test_23_execs_arrive_as_23_in_order_with_their_parent(
    apiserver: ApiServer, collector: Collector, tmp_path: Path
) -> None:
    with agent(tmp_path, settings(apiserver, collector)) as running:
        shell = subprocess.Popen(["/bin/sh", "-c", "for i in $(seq 23); do /bin/true e2e-23 $i; done; exit 0"])
        shell.wait()
        running.stop()
    records = [r for r in collector.logs() if "e2e-23" in r.attributes.get("process.command_args", ())]
    assert [r.attributes["process.command_args"][2] for r in records] == [str(n) for n in range(1, 24)]
    assert {r.attributes["process.parent_pid"] for r in records} == {shell.pid}
    pids = [r.attributes["process.pid"] for r in records]
    ends = [r for r in collector.logs() if r.raw["eventName"] == "podwitness.process.exit"]
    assert [r.attributes["process.pid"] for r in ends if r.attributes["process.pid"] in pids] == pids
    spans = {r.raw["spanId"]: r for r in collector.traces()}
    of_the_shell = of(collector.logs(), shell.pid, "podwitness.process.exec").raw
    assert {spans[r.raw["spanId"]].raw["parentSpanId"] for r in records} == {of_the_shell["spanId"]}
    assert {r.raw["traceId"] for r in records} == {of_the_shell["traceId"]}


def test_the_scope_says_who_tells(apiserver: ApiServer, collector: Collector, tmp_path: Path) -> None:
    with agent(tmp_path, settings(apiserver, collector)) as running:
        running.stop()
    lines = [json.loads(line) for line in (tmp_path / "ready.jsonl").read_text().splitlines()]
    groups = [group for line in lines for resource in line["resourceLogs"] for group in resource["scopeLogs"]]
    assert {(group["scope"]["name"], group["scope"]["version"]) for group in groups} == {("podwitness", __version__)}
    streams = [attributes(group["scope"]["attributes"]) for group in groups]
    assert {stream["podwitness.sink"] for stream in streams} == {"ready"}
    assert len({stream["podwitness.stream.id"] for stream in streams}) == 1
    assert {group["schemaUrl"] for group in groups} == {"https://opentelemetry.io/schemas/1.44.0"}
