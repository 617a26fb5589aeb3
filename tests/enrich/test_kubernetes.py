"""The watch of this node's pods, against a real API server."""

import contextlib
import json
import os
import random
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.config import incluster_config

from exporter.config import Globs, Kubernetes
from exporter.enrich import kubernetes
from exporter.enrich.kubernetes import PodWatch
from exporter.enrich.pods import Pod, PodIndex
from exporter.telemetry import Ledger
from tests.peers.kube import MERGE_PATCH, ApiServer
from tests.peers.processes import free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.peers

PODS = "/api/v1/namespaces/default/pods"
CONTAINER = "3f4e" * 16


class Line:
    """A forwarder of TCP connections: `cut` breaks those there are and refuses new ones until `mend`."""

    def __init__(self, target: int) -> None:
        self.port, self._target = free_port(), target
        self._listener: socket.socket | None = None
        self._ends: list[socket.socket] = []

    def mend(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        if self._listener:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
            self._listener.close()
            self._listener = None
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    def _copy(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)


class Cluster:
    """A node of this test's own in the real cluster, and a watch of its pods."""

    def __init__(self, apiserver: ApiServer, folder: Path) -> None:
        self.api, self.folder = apiserver, folder
        self.node = f"node-{random.getrandbits(48):x}"
        self.index, self.ledger = PodIndex(), Ledger()
        self._open: list[PodWatch] = []
        self._lines: list[Line] = []

    def create(self, name: str, node: str | None = None, **metadata: Any) -> str:
        """A pod on this node, or another; its uid."""
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{self.node}-{name}", **metadata},
            "spec": {
                "nodeName": node or self.node,
                "containers": [{"name": "app", "image": "registry.test:5000/team/app:1.2"}],
            },
        }
        return str(self.api.request("POST", PODS, body)["metadata"]["uid"])

    def annotate(self, name: str, **annotations: str) -> dict[str, Any]:
        patch = {"metadata": {"annotations": annotations}}
        return self.api.request("PATCH", f"{PODS}/{self.node}-{name}", patch, content_type=MERGE_PATCH)

    def delete(self, name: str) -> None:
        self.api.request("DELETE", f"{PODS}/{self.node}-{name}?gracePeriodSeconds=0")

    def watch(self, **settings: Any) -> PodWatch:
        """A running watch, the administrator's unless `settings` say otherwise; the fixture closes it."""
        asked = {"labels": Globs(include=("app",)), "annotations": Globs(include=("team",))}
        chosen = {"kubeconfig": str(self.api.kubeconfig), "node_name": self.node} | asked | settings
        watch = PodWatch.open(Kubernetes(**chosen), self.index, self.ledger)
        assert watch
        self._open.append(watch)
        watch.start()
        return watch

    def synced(self) -> PodWatch:
        watch = self.watch()
        wait_for(lambda: watch.health.startswith("watching"), "the watch has begun")
        return watch

    def sees(self, uid: str, what: Callable[[Pod], object] = bool) -> Pod:
        def look() -> Pod | None:
            pod = self.index.by_uid(uid)
            return pod if pod and what(pod) else None

        found = wait_for(look, f"pod {uid} in the index")
        assert found
        return found

    def kubeconfig(self, user: dict[str, Any], server: str | None = None) -> str:
        written = self.api.kubeconfig_for("")
        if server:
            written["clusters"][0]["cluster"]["server"] = server
        written["users"][0]["user"] = user
        path = self.folder / f"kubeconfig-{random.getrandbits(48):x}"
        path.write_text(yaml.safe_dump(written))
        return str(path)

    def line(self) -> Line:
        """A way to the API server that can be cut."""
        line = Line(int(self.api.url.rpartition(":")[2]))
        self._lines.append(line)
        line.mend()
        return line

    def close(self) -> None:
        for watch in self._open:
            watch.close()
        for line in self._lines:
            line.cut()


@pytest.fixture
def cluster(apiserver: ApiServer, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(apiserver, tmp_path)
    yield cluster
    cluster.close()
    for pod in apiserver.request("GET", f"{PODS}?fieldSelector=spec.nodeName={cluster.node}")["items"]:
        apiserver.request("DELETE", f"{PODS}/{pod['metadata']['name']}?gracePeriodSeconds=0")


def test_pods_that_are_there_come_with_the_list(cluster: Cluster) -> None:
    annotations = {"team": "blue", "example.com/large": "x" * 200_000}
    uid = cluster.create("early", labels={"app": "web", "other": "x"}, annotations=annotations)

    assert cluster.watch().synced.wait(30)

    pod = cluster.index.by_uid(uid)
    assert pod
    assert pod.metadata.labels == {"app": "web"}
    assert pod.metadata.annotations == {"team": "blue"}
    assert pod.image("app") == "registry.test:5000/team/app:1.2"


def test_a_pod_is_followed_from_its_creation_over_its_changes_to_its_end(cluster: Cluster) -> None:
    cluster.synced()

    uid = cluster.create("life", annotations={"team": "red"})
    assert cluster.sees(uid).metadata.annotations == {"team": "red"}

    cluster.annotate("life", team="blue")
    cluster.sees(uid, lambda pod: pod.metadata.annotations == {"team": "blue"})

    cluster.delete("life")
    wait_for(lambda: len(cluster.index) == 0, "the pod is gone")
    last = cluster.index.by_uid(uid)
    assert last, "its last events are still to come"
    assert last.metadata.annotations == {"team": "blue"}


def test_a_container_is_known_from_the_status_that_the_kubelet_writes(cluster: Cluster) -> None:
    cluster.synced()
    uid = cluster.create("running")

    status = {
        "status": {
            "podIP": "10.1.2.3",
            "podIPs": [{"ip": "10.1.2.3"}],
            "hostIP": "192.0.2.1",
            "hostIPs": [{"ip": "192.0.2.1"}],
            "startTime": "2024-05-06T07:08:09Z",
            "containerStatuses": [
                {
                    "name": "app",
                    "containerID": f"containerd://{CONTAINER}",
                    "image": "registry.test:5000/team/app:1.2",
                    "imageID": f"registry.test:5000/team/app@sha256:{'a' * 64}",
                    "restartCount": 2,
                    "ready": True,
                }
            ],
        }
    }
    path = f"{PODS}/{cluster.node}-running/status"
    cluster.api.request("PATCH", path, status, content_type=MERGE_PATCH)

    pod = cluster.sees(uid, lambda pod: pod.status.container_statuses)
    container = cluster.index.container(CONTAINER)
    assert container
    assert cluster.index.by_container(CONTAINER) is pod
    assert (container.name, container.runtime, container.restart_count) == ("app", "containerd", 2)
    assert container.image_id == f"registry.test:5000/team/app@sha256:{'a' * 64}"
    assert (pod.status.pod_ip, pod.status.host_ip) == ("10.1.2.3", "192.0.2.1")
    assert pod.status.start_time == "2024-05-06T07:08:09Z"


def test_pods_of_another_node_are_never_delivered(cluster: Cluster) -> None:
    other = f"{cluster.node}-other"
    listed = cluster.create("elsewhere-before", node=other)
    cluster.synced()

    watched = cluster.create("elsewhere-after", node=other)
    cluster.sees(cluster.create("here"))  # the watch keeps the order: what came before it would be in

    assert cluster.index.by_uid(listed) is cluster.index.by_uid(watched) is None
    assert len(cluster.index) == 1
    for name in ("elsewhere-before", "elsewhere-after"):
        cluster.delete(name)


def test_a_watch_goes_on_where_it_ended_when_the_connection_breaks(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "podwitness")
    kept, gone = cluster.create("kept"), cluster.create("gone")
    line = cluster.line()
    watch = cluster.watch(kubeconfig=cluster.kubeconfig({"token": cluster.api.token}, f"https://127.0.0.1:{line.port}"))
    wait_for(lambda: len(cluster.index) == 2, "both pods are known")

    line.cut()
    wait_for(lambda: cluster.ledger.noted["kubernetes_retry"] >= 3, "the server is sought")
    cluster.delete("gone")
    cluster.annotate("kept", team="blue")
    late = cluster.create("late")
    line.mend()

    cluster.sees(late)
    cluster.sees(kept, lambda pod: pod.metadata.annotations == {"team": "blue"})
    wait_for(lambda: len(cluster.index) == 2, "the deleted pod is gone")
    assert cluster.index.by_uid(gone)
    assert cluster.ledger.noted["kubernetes_relist"] == 0
    wait_for(lambda: watch.health == f"watching the pods of node {cluster.node}", "health says so")
    lost, back = [record for record in caplog.records if record.name == "podwitness"]
    assert (lost.levelname, back.levelname) == ("WARNING", "INFO"), "each change once, however many attempts"
    assert "cannot watch pods" in lost.getMessage()
    assert back.getMessage() == f"watching the pods of node {cluster.node} again"


def test_when_a_new_api_server_has_no_history_everything_is_listed_again(cluster: Cluster) -> None:
    kept, gone = cluster.create("kept"), cluster.create("gone")
    line = cluster.line()
    cluster.watch(kubeconfig=cluster.kubeconfig({"token": cluster.api.token}, f"https://127.0.0.1:{line.port}"))
    wait_for(lambda: len(cluster.index) == 2, "both pods are known")

    line.cut()
    cluster.delete("gone")
    cluster.annotate("kept", team="blue")
    os.kill(cluster.api._server.pid, signal.SIGKILL)
    cluster.api.restart()
    line.mend()

    wait_for(lambda: len(cluster.index) == 1, "the deleted pod is gone", 60)
    cluster.sees(kept, lambda pod: pod.metadata.annotations == {"team": "blue"})
    assert cluster.index.by_uid(gone)
    assert cluster.ledger.noted["kubernetes_relist"] >= 1
    late = cluster.create("late")
    cluster.sees(late)


def test_a_bookmark_moves_the_version_on_without_any_pod_of_ours(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The API server sends one two seconds before a watch ends, and else about once a minute.
    monkeypatch.setattr(kubernetes, "WATCH_SECONDS", (4, 4))
    watch = cluster.synced()
    cluster.create("elsewhere", node=f"{cluster.node}-other")
    now = int(cluster.annotate("elsewhere", team="blue")["metadata"]["resourceVersion"])
    assert int(watch._version) < now

    wait_for(lambda: int(watch._version) >= now, "a bookmark")

    cluster.sees(cluster.create("here"))
    assert cluster.ledger.noted["kubernetes_relist"] == 0
    cluster.delete("elsewhere")


def service_account(cluster: Cluster, *verbs: str) -> str:
    """The token of a ServiceAccount that may do this with pods."""
    api, name = cluster.api, cluster.node
    api.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": name}})
    grant(cluster, *verbs)
    return api.token_of("default", name)


def grant(cluster: Cluster, *verbs: str) -> None:
    api, name, rbac = cluster.api, cluster.node, "/apis/rbac.authorization.k8s.io/v1"
    if not verbs:
        return
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": list(verbs)}]
    api.request("POST", f"{rbac}/clusterroles", {"metadata": {"name": name}, "rules": rules})
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
    }
    api.request("POST", f"{rbac}/clusterrolebindings", binding)


def test_a_missing_right_is_named_and_the_watch_begins_once_it_is_given(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "podwitness")
    uid = cluster.create("early")
    watch = cluster.watch(kubeconfig=cluster.kubeconfig({"token": service_account(cluster)}))

    wait_for(lambda: "not allowed to list pods" in watch.health, "the refusal is told")
    assert "verbs list and watch on pods" in watch.health
    assert f"system:serviceaccount:default:{cluster.node}" in watch.health
    assert not watch.synced.is_set()
    wait_for(lambda: cluster.ledger.noted["kubernetes_retry"] >= 2, "another attempt")

    grant(cluster, "list", "watch")
    cluster.sees(uid)
    wait_for(lambda: len(caplog.records) > 1, "the recovery is logged")
    refused, back = [record.getMessage() for record in caplog.records if record.name == "podwitness"]
    assert "not allowed to list pods" in refused
    assert back.endswith("again")


def test_a_right_to_list_but_not_to_watch_is_told_as_that(cluster: Cluster) -> None:
    watch = cluster.watch(kubeconfig=cluster.kubeconfig({"token": service_account(cluster, "list")}))

    wait_for(lambda: "not allowed to watch pods" in watch.health, "the refusal is told")


def test_a_token_that_nobody_knows_is_told_and_tried_again(cluster: Cluster) -> None:
    kubeconfig = cluster.kubeconfig({"token": "wrong"})
    watch = cluster.watch(kubeconfig=kubeconfig)
    wait_for(lambda: "does not accept our credentials: 401" in watch.health, "the refusal is told")
    assert "trying again" in watch.health

    os.replace(cluster.kubeconfig({"token": cluster.api.token}), kubeconfig)  # noqa: PTH105

    assert watch.synced.wait(30), "a renewed kubeconfig is read"


def test_an_exec_plugin_gives_the_token(cluster: Cluster) -> None:
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": cluster.api.token},
    }
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/bin/echo",
        "args": [json.dumps(credential)],
        "interactiveMode": "Never",
    }

    assert cluster.watch(kubeconfig=cluster.kubeconfig({"exec": plugin})).synced.wait(30)


def mount_service_account(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, token: str) -> Path:
    """What the kubelet gives a pod: files and two variables. The token's file."""
    path = cluster.folder / "token"
    path.write_text(token)
    host, port = cluster.api.url.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(path))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(cluster.api.ca))
    return path


def test_in_a_pod_the_service_account_is_used_without_any_setting(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount_service_account(cluster, monkeypatch, service_account(cluster, "list", "watch"))
    uid = cluster.create("early")

    cluster.watch(kubeconfig=None)

    cluster.sees(uid)


def test_a_service_account_token_that_was_renewed_is_read_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = mount_service_account(cluster, monkeypatch, "expired")
    watch = cluster.watch(kubeconfig=None)
    wait_for(lambda: "does not accept our credentials: 401" in watch.health, "the refusal is told")

    token.write_text(service_account(cluster, "list", "watch"))

    assert watch.synced.wait(30)


def test_close_ends_the_thread_in_the_middle_of_a_watch(cluster: Cluster) -> None:
    watch = cluster.synced()

    watch.close()

    assert not watch._thread.is_alive()
    assert watch.health == "closed"


def test_close_ends_the_thread_in_the_middle_of_a_pause(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "FIRST_PAUSE", 600.0)
    monkeypatch.setattr(kubernetes, "LONGEST_PAUSE", 600.0)
    watch = cluster.watch(kubeconfig=cluster.kubeconfig({"token": "wrong"}))
    wait_for(lambda: "trying again" in watch.health, "the pause")

    watch.close()

    assert not watch._thread.is_alive()
