"""The Resource of a cgroup: complete where all is known, honest where it is not, the same as long as it is true."""

from typing import Any

import msgspec
import pytest

from exporter.config import Globs, Kubernetes
from exporter.enrich.annotations import LONGEST
from exporter.enrich.cgroups import Tree
from exporter.enrich.pods import Pod, PodIndex
from exporter.enrich.resources import Resources
from exporter.model import Attributes
from exporter.probes.resource import RESOURCE, TEMPLATES

HOST: Attributes = {"host.name": "metal", "os.type": "linux"}
UID = "6f5b1c2e-0d3a-4e5f-8a9b-0c1d2e3f4a5b"
APP, OLD, SIDE = "aa" * 32, "bb" * 32, "cc" * 32
SHA = "sha256:" + "0d" * 32


def path(container: str, uid: str = UID) -> str:
    return f"/kubepods.slice/kubepods-pod{uid.replace('-', '_')}.slice/cri-containerd-{container}.scope"


def pod(**changes: Any) -> Pod:
    """A pod of a Deployment with two containers; `changes` go into its metadata."""
    sent = {
        "metadata": {
            "name": "web-7d4b9c-x2x",
            "namespace": "shop",
            "uid": UID,
            "labels": {"pod-template-hash": "7d4b9c", "app": "web"},
            "annotations": {"example.com/owner": "blue"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d4b9c", "uid": "rs-uid", "controller": True}],
        }
        | changes,
        "spec": {
            "containers": [{"name": "app", "image": "registry:5000/team/app:1.2"}, {"name": "side", "image": "side"}]
        },
        "status": {
            "podIP": "10.0.0.9",
            "startTime": "2024-05-06T07:08:09Z",
            "containerStatuses": [
                {
                    "name": "app",
                    "containerID": f"containerd://{APP}",
                    "imageID": f"registry:5000/team/app@{SHA}",
                    "restartCount": 2,
                },
                {"name": "side", "containerID": f"containerd://{SIDE}"},
            ],
        },
    }
    return msgspec.convert(sent, Pod)


class Node:
    """Resources with their index and tree, as the agent has them."""

    def __init__(self, *pods: Pod, expect_pods: bool = True, **settings: Any) -> None:
        self.index = PodIndex()
        self.index.replace(pods)
        chosen = Kubernetes(**{"node_name": "node-1", "cluster_name": "prod"} | settings)
        self.resources = Resources(HOST, self.index, Tree(None), chosen, expect_pods)

    def attributes(self, container: str = APP) -> dict[str, Any]:
        return self.resources.of(int(container[:8], 16), path(container)).attributes


BASE = {**HOST, "k8s.node.name": "node-1", "k8s.cluster.name": "prod"}


def test_a_process_in_a_known_pod_has_everything() -> None:
    settings: dict[str, Any] = {"labels": Globs(include=("app",)), "annotations": Globs(include=("example.com/*",))}

    assert Node(pod(), **settings).attributes() == {
        **BASE,
        "k8s.pod.uid": UID,
        "k8s.pod.name": "web-7d4b9c-x2x",
        "k8s.namespace.name": "shop",
        "k8s.pod.ip": "10.0.0.9",
        "k8s.pod.start_time": "2024-05-06T07:08:09Z",
        "k8s.deployment.name": "web",
        "k8s.replicaset.name": "web-7d4b9c",
        "k8s.replicaset.uid": "rs-uid",
        "podwitness.workload.kind": "Deployment",
        "podwitness.workload.name": "web",
        "k8s.container.name": "app",
        "k8s.container.restart_count": 2,
        "container.id": APP,
        "container.image.name": "registry:5000/team/app",
        "container.image.tags": ("1.2",),
        "container.image.repo_digests": (f"registry:5000/team/app@{SHA}",),
        "container.runtime.name": "containerd",
        "k8s.pod.label.app": "web",
        "k8s.pod.annotation.example.com/owner": "blue",
        "service.name": "web",
        "service.namespace": "shop",
        "service.version": "1.2",
        "service.instance.id": "shop.web-7d4b9c-x2x.app",
    }


def test_labels_and_annotations_are_told_only_if_asked_for() -> None:
    assert not [name for name in Node(pod()).attributes() if name.startswith(TEMPLATES)]


def test_a_process_of_the_host_has_host_node_and_cluster_only() -> None:
    node = Node(pod())

    assert node.resources.of(1, "/system.slice/sshd.service").attributes == BASE
    assert node.resources.of(2, "/").attributes == BASE


def test_without_kubernetes_nothing_is_said_of_it() -> None:
    node = Node(expect_pods=False, node_name=None, cluster_name=None)

    assert node.resources.of(1, "/init.scope").attributes == HOST
    assert node.resources.of(2, f"/docker/{APP}").attributes == {
        **HOST,
        "container.id": APP,
        "container.runtime.name": "docker",
    }


def test_all_processes_of_the_host_share_one_resource() -> None:
    resources = Node().resources

    assert resources.of(1, "/a.service") is resources.of(2, "/b.service")


def test_a_pod_not_seen_yet_is_named_as_missing_and_found_as_soon_as_it_comes() -> None:
    node = Node()
    assert node.attributes() == {
        **BASE,
        "k8s.pod.uid": UID,
        "container.id": APP,
        "container.runtime.name": "containerd",
        "podwitness.metadata.missing": ("pod",),
    }

    node.index.apply(pod())
    node.resources.refresh()

    assert node.attributes()["k8s.pod.name"] == "web-7d4b9c-x2x"
    assert "podwitness.metadata.missing" not in node.attributes()


def test_a_container_that_the_kubelet_has_not_reported_is_named_as_missing() -> None:
    found = Node(pod()).attributes("dd" * 32)

    assert found["podwitness.metadata.missing"] == ("container",)
    assert found["k8s.pod.name"] == "web-7d4b9c-x2x"
    assert found["container.id"] == "dd" * 32
    assert "k8s.container.name" not in found
    assert "service.instance.id" not in found


def test_a_cgroup_that_cannot_be_found_is_named_as_missing_until_somebody_knows_it() -> None:
    node = Node(pod())
    assert node.resources.of(7).attributes["podwitness.metadata.missing"] == ("cgroup",)

    assert node.resources.of(7, path(APP)).attributes["k8s.container.name"] == "app"


def test_a_cgroup_that_cannot_be_found_is_looked_up_again_with_the_next_batch() -> None:
    index, tree = PodIndex(), Tree(None)
    resources = Resources(HOST, index, tree, Kubernetes(), False)
    resources.of(7)
    tree.learn(7, "/system.slice")

    resources.refresh()

    assert resources.of(7).attributes == HOST


def test_a_change_that_shows_makes_a_new_resource_and_leaves_the_old_one_as_it_was() -> None:
    node = Node(pod(), annotations=Globs(include=("*",)))
    before = node.resources.of(1, path(APP))

    node.index.apply(pod(annotations={"example.com/owner": "red"}))
    assert node.resources.of(1) is before, "within a batch nothing changes"
    node.resources.refresh()

    after = node.resources.of(1)
    assert before.attributes["k8s.pod.annotation.example.com/owner"] == "blue"
    assert after.attributes["k8s.pod.annotation.example.com/owner"] == "red"


def test_a_change_that_does_not_show_keeps_the_very_same_resource() -> None:
    node = Node(pod())
    before = node.resources.of(1, path(APP))
    before.fragments["encoder"] = b"costly"

    node.index.apply(pod(annotations={"example.com/owner": "red"}, resourceVersion="9"))
    node.resources.refresh()

    assert node.resources.of(1) is before


def test_a_change_of_one_pod_leaves_the_others_alone() -> None:
    other = "11111111-2222-3333-4444-555555555555"
    node = Node(pod(), annotations=Globs(include=("*",)))
    host, mine = node.resources.of(1, "/init.scope"), node.resources.of(2, path(APP))

    node.index.apply(pod(uid=other, annotations={"a": "b"}))
    node.resources.refresh()

    assert node.resources.of(1) is host
    assert node.resources.of(2) is mine


def test_two_containers_of_a_pod_have_a_resource_each() -> None:
    node = Node(pod())

    assert node.attributes(APP)["k8s.container.name"] == "app"
    assert node.attributes(SIDE)["k8s.container.name"] == "side"


def test_the_last_events_of_a_deleted_pod_still_have_it() -> None:
    node = Node(pod())
    node.index.remove(UID)
    node.resources.refresh()

    assert node.attributes()["k8s.pod.name"] == "web-7d4b9c-x2x"


def test_a_container_without_a_pod_in_its_path_is_found_by_its_id() -> None:
    assert Node(pod()).resources.of(1, f"/docker/{APP}").attributes["k8s.pod.uid"] == UID


def test_the_path_decides_whose_container_it_is_not_what_a_pod_says_of_itself() -> None:
    thief = pod(uid="22222222-2222-3333-4444-555555555555", name="thief")

    assert Node(pod(), thief).attributes()["k8s.pod.name"] == "web-7d4b9c-x2x"


SERVICE = "resource.opentelemetry.io/service."


@pytest.mark.parametrize(
    ("labels", "annotations", "expected"),
    [
        ({}, {f"{SERVICE}name": "said"}, {"service.name": "said"}),
        ({"app.kubernetes.io/instance": "i", "app.kubernetes.io/name": "n"}, {}, {"service.name": "i"}),
        ({"app.kubernetes.io/name": "n"}, {}, {"service.name": "n"}),
        ({"app.kubernetes.io/instance": "i"}, {f"{SERVICE}name": "said"}, {"service.name": "said"}),
        ({}, {f"{SERVICE}namespace": "ns"}, {"service.namespace": "ns"}),
        ({"app.kubernetes.io/version": "7"}, {}, {"service.version": "7"}),
        ({"app.kubernetes.io/version": "7"}, {f"{SERVICE}version": "8"}, {"service.version": "8"}),
        ({}, {f"{SERVICE}instance.id": "me"}, {"service.instance.id": "me"}),
        (
            {},
            {"resource.opentelemetry.io/deployment.environment.name": "staging"},
            {"deployment.environment.name": "staging"},
        ),
    ],
)
def test_a_pod_can_say_which_service_it_is(
    labels: dict[str, str], annotations: dict[str, str], expected: dict[str, str]
) -> None:
    found = Node(pod(labels=labels, annotations=annotations)).attributes()

    assert found | expected == found


@pytest.mark.parametrize("attribute", ["k8s.pod.uid", "k8s.namespace.name", "host.name", "___", "container.id"])
def test_a_pod_cannot_call_itself_another(attribute: str) -> None:
    honest = Node(pod()).attributes()

    lying = Node(pod(annotations={f"resource.opentelemetry.io/{attribute}": "forged"})).attributes()

    assert lying == honest


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        ({"kind": "StatefulSet", "name": "db", "uid": "u"}, {"k8s.statefulset.name": "db", "k8s.statefulset.uid": "u"}),
        (
            {"kind": "Job", "name": "backup-28412345", "uid": "u"},
            {"k8s.cronjob.name": "backup", "k8s.job.name": "backup-28412345", "k8s.job.uid": "u"},
        ),
    ],
)
def test_the_owner_is_told_with_its_uid(owner: dict[str, str], expected: dict[str, str]) -> None:
    found = Node(pod(ownerReferences=[owner])).attributes()

    assert found | expected == found
    assert found["service.name"] == found["podwitness.workload.name"]


def test_a_pod_of_an_unknown_kind_of_owner_is_a_service_of_its_own_name() -> None:
    found = Node(pod(ownerReferences=[{"kind": "SparkApplication", "name": "pi"}])).attributes()

    assert found["podwitness.workload.kind"] == "SparkApplication"
    assert found["service.name"] == "web-7d4b9c-x2x"


def test_an_enormous_annotation_is_cut_and_the_cut_is_told() -> None:
    node = Node(pod(annotations={"big": "x" * 100_000}), annotations=Globs(include=("*",)))

    assert node.attributes()["k8s.pod.annotation.big"] == "x" * LONGEST
    assert node.attributes()["podwitness.metadata.truncated"] == ("k8s.pod.annotation.big",)


def test_the_oldest_resources_are_forgotten_beyond_the_limit() -> None:
    resources = Resources(HOST, PodIndex(), Tree(None), Kubernetes(), False, limit=2)
    first = resources.of(1, f"/docker/{APP}")
    assert resources.of(1) is first

    for number in (2, 3):
        resources.of(number, f"/docker/{OLD}")

    assert resources.of(1) is not first
    assert resources.of(1).attributes == first.attributes


def test_every_attribute_is_declared() -> None:
    everything = Globs(include=("*",))
    owners = [
        {"kind": kind, "name": "o-28412345", "uid": "u"}
        for kind in ("ReplicaSet", "StatefulSet", "DaemonSet", "Job", "Deployment", "CronJob")
    ]
    annotations = {
        f"{SERVICE}name": "s",
        "resource.opentelemetry.io/deployment.environment.name": "e",
        "big": "x" * 9999,
    }
    written: set[str] = set()
    for owner in owners:
        node = Node(pod(ownerReferences=[owner], annotations=annotations), labels=everything, annotations=everything)
        written |= (
            node.attributes().keys() | node.attributes("dd" * 32).keys() | node.resources.of(99).attributes.keys()
        )

    undeclared = {name for name in written if name not in RESOURCE and not name.startswith(TEMPLATES)}
    assert not undeclared
    assert "podwitness.metadata.missing" in written


def test_a_number_that_the_kernel_gives_to_a_new_cgroup_is_looked_up_by_the_path_it_tells() -> None:
    node = Node(pod())
    assert node.resources.of(1, path(APP)).attributes["container.id"] == APP

    assert node.resources.of(1, path(SIDE)).attributes["container.id"] == SIDE
    assert node.resources.of(1).attributes["container.id"] == SIDE
    assert node.resources.of(1, "/system.slice/sshd.service").attributes == BASE


def test_a_pod_that_changes_does_not_get_back_a_number_that_the_host_has_now() -> None:
    node = Node(pod())
    node.resources.of(1, path(APP))
    node.resources.of(1, "/system.slice/sshd.service")

    node.index.apply(pod(name="renamed"))
    node.resources.refresh()

    assert node.resources.of(1).attributes == BASE


def test_the_same_path_told_again_keeps_the_resource() -> None:
    node = Node(pod())
    before = node.resources.of(1, path(APP))

    assert node.resources.of(1, path(APP)) is before
    assert node.resources.of(1, path(APP) + "/inner") is before, "another path, the same container"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_pods_here_and_none_for_this_nodes_name_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    node = Node()

    node.attributes(APP)
    node.attributes(SIDE)

    (said,) = warnings(caplog)
    assert UID in said
    assert "none for node node-1" in said
    assert "set kubernetes.node_name" in said


def test_pods_seen_before_the_first_list_are_doubted_when_it_comes_and_is_empty(
    caplog: pytest.LogCaptureFixture,
) -> None:
    index = PodIndex()
    resources = Resources(HOST, index, Tree(None), Kubernetes(node_name="node-1"), True)
    resources.of(1, path(APP))
    resources.refresh()
    assert not warnings(caplog)

    index.replace([])
    resources.refresh()

    assert len(warnings(caplog)) == 1


def test_a_pod_not_seen_yet_beside_others_says_nothing_of_the_nodes_name(caplog: pytest.LogCaptureFixture) -> None:
    node = Node(pod(uid="another"))

    node.attributes()

    assert not warnings(caplog)
