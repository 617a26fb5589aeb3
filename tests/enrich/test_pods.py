"""Pods out of the API's own JSON, and finding them again."""

import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Globs, Kubernetes
from exporter.enrich.pods import ContainerStatus, Metadata, Owner, Pod, PodIndex, Status, trimmed

FIRST, SECOND = "aa" * 32, "bb" * 32

# As `kubectl get pod -o json` gives it, with members that nobody here reads.
AS_SENT = """{
 "kind": "Pod", "apiVersion": "v1",
 "metadata": {
  "name": "web-7d4b9c-x2x", "namespace": "shop", "uid": "u-1", "resourceVersion": "4711",
  "labels": {"app": "web"}, "annotations": {"team": "blue"}, "managedFields": [{"manager": "kubelet"}],
  "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d4b9c", "uid": "rs", "controller": true}],
  "deletionTimestamp": "2024-05-06T07:09:00Z"
 },
 "spec": {"nodeName": "n1", "hostname": "h", "containers": [{"name": "app", "image": "app:1"}],
  "initContainers": [{"name": "init", "image": "init:2"}],
  "ephemeralContainers": [{"name": "debug", "image": "sh:3"}]},
 "status": {
  "podIP": "10.0.0.9", "hostIP": "192.0.2.7", "startTime": "2024-05-06T07:08:09Z", "phase": "Running",
  "containerStatuses": [{"name": "app", "containerID": "containerd://FIRST", "image": "app:1",
    "imageID": "app@sha256:00", "restartCount": 3, "ready": true}],
  "initContainerStatuses": [{"name": "init", "containerID": "containerd://SECOND",
    "image": "init:2", "restartCount": 0}],
  "ephemeralContainerStatuses": [{"name": "debug", "image": "sh:3", "imageID": "", "state": {"waiting": {}}}]
 }
}""".replace("FIRST", FIRST).replace("SECOND", SECOND)


def test_every_member_is_read_under_kubernetes_own_spelling() -> None:
    pod = msgspec.json.decode(AS_SENT, type=Pod)

    assert pod.metadata == Metadata(
        name="web-7d4b9c-x2x",
        namespace="shop",
        uid="u-1",
        labels={"app": "web"},
        annotations={"team": "blue"},
        owner_references=(Owner("ReplicaSet", "web-7d4b9c", "rs", True),),
        resource_version="4711",
        deletion_timestamp="2024-05-06T07:09:00Z",
    )
    assert (pod.spec.node_name, pod.spec.hostname) == ("n1", "h")
    assert [pod.image(name) for name in ("app", "init", "debug", "none")] == ["app:1", "init:2", "sh:3", None]
    assert (pod.status.pod_ip, pod.status.host_ip) == ("10.0.0.9", "192.0.2.7")
    assert pod.status.start_time == "2024-05-06T07:08:09Z"
    app, init, debug = pod.statuses()
    assert (app.id, app.runtime, app.image_id, app.restart_count) == (FIRST, "containerd", "app@sha256:00", 3)
    assert (init.id, debug.id, debug.runtime) == (SECOND, "", "")


def test_a_bookmark_with_its_nulls_is_a_pod_too() -> None:
    sent = '{"metadata":{"resourceVersion":"9","creationTimestamp":null},"spec":{"containers":null},"status":{}}'

    assert msgspec.json.decode(sent, type=Pod).metadata.resource_version == "9"


def pod(uid: str, *containers: str, team: str = "blue", **metadata: object) -> Pod:
    tag = {"name": f"pod-{uid}", "uid": uid, "labels": {"team": team}} | metadata
    statuses = tuple(ContainerStatus(name=f"c{at}", container_id=f"cri-o://{id_}") for at, id_ in enumerate(containers))
    return Pod(msgspec.convert(tag, Metadata), status=Status(container_statuses=statuses))


def test_a_pod_is_found_by_uid_and_by_each_of_its_containers() -> None:
    index = PodIndex()
    one = pod("1", FIRST, SECOND)

    index.apply(one)

    assert index.by_uid("1") is index.by_container(FIRST) is index.by_container(SECOND) is one
    assert index.by_uid("2") is index.by_container("cc" * 32) is None
    assert index.container("cc" * 32) is None


def test_the_generation_moves_with_changes_only() -> None:
    index = PodIndex()
    index.apply(pod("1", FIRST))
    before = index.generation

    index.apply(pod("1", FIRST))
    index.remove("never seen")
    assert index.generation == before

    index.apply(pod("1", FIRST, team="red"))
    assert index.generation > before


def test_a_restarted_container_stays_known_under_its_old_id() -> None:
    index = PodIndex()
    index.apply(pod("1", FIRST))

    index.apply(pod("1", SECOND))

    old = index.container(FIRST)
    assert old
    assert old.name == "c0"
    assert index.by_container(FIRST) is index.by_container(SECOND)


def test_of_a_container_that_restarts_for_ever_only_the_last_ids_are_kept() -> None:
    index = PodIndex(former=3)
    for number in range(10):
        index.apply(pod("1", f"{number:064x}"))

    known = [number for number in range(10) if index.by_container(f"{number:064x}")]
    assert known == [7, 8, 9]


def test_a_deleted_pod_stays_findable_until_enough_others_were_deleted() -> None:
    index = PodIndex(remember=2)
    for uid in "123":
        index.apply(pod(uid, uid * 64, annotations={"kubernetes.io/config.hash": f"hash-{uid}"}))
    for uid in "123":
        index.remove(uid)

    assert len(index) == 0
    for name in ("1", "hash-1"):
        assert index.by_uid(name) is None
    assert index.by_container("1" * 64) is None
    for uid in "23":
        assert index.by_uid(uid) is index.by_uid(f"hash-{uid}") is index.by_container(uid * 64) is not None


def test_a_new_list_removes_who_is_not_on_it_and_keeps_the_unchanged() -> None:
    index = PodIndex()
    kept = pod("1", FIRST)
    index.replace([kept, pod("2", SECOND)])

    index.replace([pod("1", FIRST), pod("3")])

    assert len(index) == 2
    assert index.by_uid("1") is kept, "the same object: what was made of it stays"
    assert index.by_uid("2"), "deleted, still findable"
    assert index.by_uid("3")


def test_a_pod_that_was_deleted_by_mistake_comes_back() -> None:
    index = PodIndex()
    index.replace([pod("1", FIRST)])
    index.replace([])

    index.replace([pod("1", FIRST)])

    assert len(index) == 1
    assert index.by_container(FIRST) is index.by_uid("1") is not None


@pytest.mark.parametrize("annotation", ["kubernetes.io/config.hash", "kubernetes.io/config.mirror"])
def test_a_static_pod_is_found_by_the_hash_in_its_cgroup(annotation: str) -> None:
    index = PodIndex()
    index.apply(pod("api-uid", annotations={annotation: "0123456789abcdef0123456789abcdef"}))

    found = index.by_uid("0123456789abcdef0123456789abcdef")
    assert found
    assert found.metadata.uid == "api-uid"


def test_nobody_can_take_another_pods_place_by_an_annotation() -> None:
    index = PodIndex()
    index.apply(pod("1", annotations={"kubernetes.io/config.hash": "hash"}))
    index.apply(pod("thief", annotations={"kubernetes.io/config.hash": "hash", "kubernetes.io/config.mirror": "1"}))

    assert [found.metadata.uid for name in ("hash", "1") if (found := index.by_uid(name))] == ["1", "1"]


UIDS, LETTERS = st.sampled_from("1234"), st.lists(st.sampled_from("abcdef"), max_size=3, unique=True)
CHANGES = st.lists(st.tuples(st.sampled_from(["apply", "apply", "remove"]), UIDS, LETTERS), max_size=40)


@given(CHANGES)
def test_whatever_happens_every_live_pod_is_found_by_its_uid_and_its_containers(
    changes: list[tuple[str, str, list[str]]],
) -> None:
    index = PodIndex(remember=1, former=4)
    live: dict[str, list[str]] = {}
    for what, uid, letters in changes:
        if what == "remove":
            index.remove(uid)
            live.pop(uid, None)
        else:
            live[uid] = [(uid + letter) * 32 for letter in letters]
            index.apply(pod(uid, *live[uid]))

    assert len(index) == len(live)
    for uid, containers in live.items():
        for found in (index.by_uid(uid), *map(index.by_container, containers)):
            assert found
            assert found.metadata.uid == uid
        assert all(map(index.container, containers))


def test_an_id_that_a_second_pod_has_claimed_stays_its_own_when_the_first_forgets_it() -> None:
    index = PodIndex(former=1)
    index.apply(pod("1", FIRST))
    second = pod("2", FIRST)
    index.apply(second)

    index.apply(pod("1", SECOND))

    assert index.by_container(FIRST) is second


def test_a_reader_never_meets_a_half_made_change() -> None:
    index, done = PodIndex(remember=4), threading.Event()
    wrong: list[str] = []

    def read() -> None:
        while not done.is_set():
            for uid in ("1", "2"):
                found = index.by_container(uid * 64)
                if found and found.metadata.uid != uid:
                    wrong.append(uid)
                if found and index.container(uid * 64) is None:
                    wrong.append(uid)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(2000):
        index.replace([pod("1", "1" * 64, team=str(number)), pod("2", "2" * 64, team=str(number))])
    done.set()
    reader.join()

    assert not wrong


def test_a_trimmed_pod_has_everything_but_labels_and_annotations_that_nobody_will_read() -> None:
    whole = pod("1", FIRST, annotations={"example.com/owner": "blue", "applied": "x" * 200_000})
    settings = Kubernetes(annotations=Globs(include=("example.com/*",)))

    less = trimmed(whole, settings)

    assert less.metadata.annotations == {"example.com/owner": "blue"}
    assert less.metadata.labels is None
    assert whole.metadata.labels
    assert (less.metadata.name, less.metadata.uid) == (whole.metadata.name, "1")
    assert (less.spec, less.status) == (whole.spec, whole.status)


def test_the_first_list_is_news_even_if_it_is_empty() -> None:
    index = PodIndex()
    assert not index.listed
    before = index.generation

    index.replace([])

    assert index.listed
    assert index.generation > before
