"""Pods as the Kubernetes API tells them, and the index the pipeline looks them up in.

The structs hold only the members that somebody reads, decoded by msgspec straight from the API's JSON; the
rest of a pod is skipped. Names are spelled out: a blanket camel-case rule would look for `containerId`
where Kubernetes says `containerID`, and read nothing without complaint. The watch trims each pod to what
can be told of it and writes the index, Resources read it.
"""

import threading
from collections.abc import Iterable

import msgspec

from exporter.config import Kubernetes
from exporter.enrich.annotations import STATIC, useful


class Owner(msgspec.Struct, frozen=True):
    """One of `metadata.ownerReferences`."""

    kind: str
    name: str
    uid: str = ""
    controller: bool | None = None


class Metadata(msgspec.Struct, frozen=True):
    """The object's name tag."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: tuple[Owner, ...] | None = msgspec.field(default=None, name="ownerReferences")
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    deletion_timestamp: str | None = msgspec.field(default=None, name="deletionTimestamp")


class Container(msgspec.Struct, frozen=True):
    """A container as its user wrote it."""

    name: str = ""
    image: str | None = None


class Spec(msgspec.Struct, frozen=True):
    """What the user asked for."""

    node_name: str | None = msgspec.field(default=None, name="nodeName")
    hostname: str | None = None
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = msgspec.field(default=None, name="initContainers")
    ephemeral_containers: tuple[Container, ...] | None = msgspec.field(default=None, name="ephemeralContainers")


class ContainerStatus(msgspec.Struct, frozen=True):
    """A container as it runs; `container_id` is `containerd://<64 hex>`, `image_id` holds the digest."""

    name: str = ""
    container_id: str | None = msgspec.field(default=None, name="containerID")
    image: str | None = None
    image_id: str | None = msgspec.field(default=None, name="imageID")
    restart_count: int = msgspec.field(default=0, name="restartCount")

    @property
    def id(self) -> str:
        """The id without the runtime's scheme; empty before the container was made."""
        return (self.container_id or "").rpartition("://")[2]

    @property
    def runtime(self) -> str:
        """The scheme: containerd, cri-o, docker."""
        return (self.container_id or "").partition("://")[0]


class Status(msgspec.Struct, frozen=True):
    """What became of it."""

    pod_ip: str | None = msgspec.field(default=None, name="podIP")
    host_ip: str | None = msgspec.field(default=None, name="hostIP")
    start_time: str | None = msgspec.field(default=None, name="startTime")
    container_statuses: tuple[ContainerStatus, ...] | None = msgspec.field(default=None, name="containerStatuses")
    init_statuses: tuple[ContainerStatus, ...] | None = msgspec.field(default=None, name="initContainerStatuses")
    ephemeral_statuses: tuple[ContainerStatus, ...] | None = msgspec.field(
        default=None, name="ephemeralContainerStatuses"
    )


class Pod(msgspec.Struct, frozen=True):
    """A pod, one version of it."""

    metadata: Metadata
    spec: Spec = Spec()
    status: Status = Status()

    def statuses(self) -> tuple[ContainerStatus, ...]:
        """Its containers of every sort, as they run."""
        said = self.status
        return (
            *(said.container_statuses or ()),
            *(said.init_statuses or ()),
            *(said.ephemeral_statuses or ()),
        )

    def image(self, container: str) -> str | None:
        """The image its user wrote for the container of this name."""
        asked = self.spec
        everyone = (
            *(asked.containers or ()),
            *(asked.init_containers or ()),
            *(asked.ephemeral_containers or ()),
        )
        return next((found.image for found in everyone if found.name == container), None)


def trimmed(pod: Pod, settings: Kubernetes) -> Pod:
    """The pod without the labels and annotations that nobody will read: each may have 256 KiB of them."""
    tag = pod.metadata
    labels, annotations = useful(tag.labels, settings.labels), useful(tag.annotations, settings.annotations)
    tag = msgspec.structs.replace(tag, labels=labels, annotations=annotations)
    return msgspec.structs.replace(pod, metadata=tag)


class Known(msgspec.Struct):
    """A pod in the index: its newest version, and every container it has had since we know it.

    A container that was restarted is no longer in the pod's status, while its events are still under way.
    """

    pod: Pod
    containers: dict[str, ContainerStatus]


class PodIndex:
    """The pods of this node by uid and by container id; the watch writes, the pipeline reads.

    `generation` counts the changes: whoever keeps something made of a pod looks again when it has moved.
    Deleted pods stay to be found, `remember` of them, because the events of their last moments arrive
    later. A pod's former containers stay up to `former`. `listed` is true once `replace` has told of all
    pods there are.
    """

    def __init__(self, *, remember: int = 1024, former: int = 32) -> None:
        self.generation = 0
        self.listed = False
        self._remember, self._former = remember, former
        self._lock = threading.Lock()
        self._live: dict[str, Known] = {}
        self._deleted: dict[str, Known] = {}
        self._by_container: dict[str, Known] = {}
        self._static: dict[str, Known] = {}

    def __len__(self) -> int:
        """How many pods are alive."""
        return len(self._live)

    def apply(self, pod: Pod) -> None:
        """A new pod or a new version of one; the same version again changes nothing."""
        with self._lock:
            self._apply(pod)

    def remove(self, uid: str) -> None:
        """The pod is gone from the API; it stays findable for a while."""
        with self._lock:
            self._remove(uid)

    def replace(self, pods: Iterable[Pod]) -> None:
        """All pods there are, after a time we did not see: those not among them are gone."""
        with self._lock:
            listed = {pod.metadata.uid: pod for pod in pods}
            for uid in self._live.keys() - listed.keys():
                self._remove(uid)
            for pod in listed.values():
                self._apply(pod)
            if not self.listed:
                self.listed = True
                self.generation += 1  # that there is no pod is news too

    def by_uid(self, uid: str) -> Pod | None:
        """The newest version of the pod with this uid, or with this as a static pod's hash."""
        with self._lock:
            known = self._live.get(uid) or self._deleted.get(uid) or self._static.get(uid)
        return known.pod if known else None

    def by_container(self, container_id: str) -> Pod | None:
        """The newest version of the pod that has or had this container."""
        with self._lock:
            known = self._by_container.get(container_id)
        return known.pod if known else None

    def container(self, container_id: str) -> ContainerStatus | None:
        """The last that was said of this container."""
        with self._lock:
            known = self._by_container.get(container_id)
            return known.containers.get(container_id) if known else None

    def _apply(self, pod: Pod) -> None:
        uid = pod.metadata.uid
        known = self._live.get(uid) or self._deleted.pop(uid, None)
        if known is None:
            known = Known(pod, {})
        elif known.pod == pod and uid in self._live:
            return
        self._live[uid] = known
        known.pod = pod
        for status in pod.statuses():
            if status.id:
                known.containers.pop(status.id, None)  # to the end: the youngest
                known.containers[status.id] = status
                self._by_container[status.id] = known
        while len(known.containers) > max(self._former, len(pod.statuses())):
            self._unlink(oldest := next(iter(known.containers)), known)
            del known.containers[oldest]
        for name in STATIC:
            if alias := (pod.metadata.annotations or {}).get(name):
                # The first to claim a hash keeps it: anybody can write an annotation.
                self._static.setdefault(alias, known)
        self.generation += 1

    def _remove(self, uid: str) -> None:
        known = self._live.pop(uid, None)
        if known is None:
            return
        self._deleted[uid] = known
        while len(self._deleted) > self._remember:
            self._forget(self._deleted.pop(next(iter(self._deleted))))
        self.generation += 1

    def _forget(self, gone: Known) -> None:
        for container_id in gone.containers:
            self._unlink(container_id, gone)
        for alias in [alias for alias, known in self._static.items() if known is gone]:
            del self._static[alias]

    def _unlink(self, container_id: str, known: Known) -> None:
        """The id no longer leads to this pod; where another pod has claimed it since, it leads there."""
        if self._by_container.get(container_id) is known:
            del self._by_container[container_id]
