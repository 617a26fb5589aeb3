"""The Resource of a cgroup: which pod, container and host its events belong to.

Enrich asks `of` for every event (one dictionary look-up) and calls `refresh` once a batch. A Resource never
changes: when its pod does, the next event gets a new one, and an unchanged pod keeps the very same object
with all bytes that encoders have cached in it. What is not known yet is named in
`podwitness.metadata.missing` and looked up again when the pods have changed. Attribute names are those of
OpenTelemetry semantic conventions 1.44.0.
"""

from typing import NamedTuple

from exporter import config
from exporter.enrich import cgroups
from exporter.enrich.annotations import LONGEST, OVERRIDES, SERVICE, select
from exporter.enrich.former import Former
from exporter.enrich.host import node_name
from exporter.enrich.images import digest, name_and_tag
from exporter.enrich.pods import ContainerStatus, Pod, PodIndex
from exporter.enrich.workload import owner, workload
from exporter.model import Attributes, Resource
from exporter.probes.resource import ANNOTATION, LABEL, OWNERS
from exporter.telemetry import log


class Entry(NamedTuple):
    """A Resource and what it was made of."""

    resource: Resource
    container: str | None
    uid: str | None
    pod: Pod | None


class Resources:
    """All Resources of the node, by cgroup id. One thread uses it.

    Args:
        host: attributes of every Resource.
        pods: the index that the watch fills.
        tree: the cgroup hierarchy.
        settings: cluster name, and which labels and annotations are told.
        expect_pods: whether a watch fills `pods`: then a host process is a fact and not a gap.
        limit: Resources kept; the oldest leave first.
    """

    def __init__(
        self,
        host: Attributes,
        pods: PodIndex,
        tree: cgroups.Tree,
        settings: config.Kubernetes,
        expect_pods: bool,
        *,
        limit: int = 16_384,
    ) -> None:
        self._pods, self._tree, self._settings = pods, tree, settings
        self._expect_pods, self._limit = expect_pods, limit
        self._base = dict(host)
        if expect_pods or settings.node_name:
            self._base["k8s.node.name"] = node_name(settings)
        if settings.cluster_name:
            self._base["k8s.cluster.name"] = settings.cluster_name
        self._generation = pods.generation
        self._found: dict[int, Resource] = {}
        self._paths: dict[int, str] = {}
        self._elsewhere = False  # said that the cluster may know this node under another name
        self._entries: dict[int, Entry] = {}
        self._placeless: set[int] = set()
        self.former = Former(self._base, settings)
        self.host = Resource(self._base)
        """What runs outside of pods, and the agent itself."""
        self._nowhere = Resource(self._base | {"podwitness.metadata.missing": ("cgroup",)})

    def of(self, cgroup_id: int, path: str | None = None) -> Resource:
        """The Resource of this cgroup; `path` is its path where the kernel has told it."""
        found = self._found.get(cgroup_id)
        # Another path than before: the cgroup is gone and the kernel has given its number to a new one.
        if found is None or (path and path != self._paths.get(cgroup_id)):
            return self._find(cgroup_id, path)
        return found

    @property
    def generation(self) -> int:
        """Another number where the Resource of a cgroup that was asked for before may be another."""
        return self._generation

    def refresh(self) -> None:
        """Let the next event look again where a pod has changed or something was missing; once a batch."""
        for cgroup_id in self._placeless:
            self._found.pop(cgroup_id, None)
        self._placeless.clear()
        if self._generation == self._pods.generation:
            return
        self._generation = self._pods.generation
        for cgroup_id, entry in list(self._entries.items()):
            pod = self._pod(entry.container, entry.uid)
            if pod is not entry.pod:
                self._renew(cgroup_id, entry, pod)
            elif pod is None:
                self._doubt_node_name(entry)

    def _find(self, cgroup_id: int, path: str | None) -> Resource:
        if path:
            self._tree.learn(cgroup_id, path)
        else:
            path = self._tree.path_of(cgroup_id)
        old = self._entries.pop(cgroup_id, None)
        if path is None:
            self._placeless.add(cgroup_id)
            return self._keep(cgroup_id, self._nowhere)
        self._placeless.discard(cgroup_id)
        self._paths[cgroup_id] = path
        container = cgroups.parse(path)
        uid = container.pod_uid if container else cgroups.pod_uid(path)
        if container is None and uid is None:
            return self._keep(cgroup_id, self.host)
        entry = self._make(container.id if container else None, uid, container.runtime if container else None)
        if old:
            entry = _unless_equal(entry, old)
        self._doubt_node_name(entry)
        self._entries[cgroup_id] = entry
        return self._keep(cgroup_id, entry.resource)

    def _keep(self, cgroup_id: int, resource: Resource) -> Resource:
        resource = self.former.better(cgroup_id, resource)
        self._found[cgroup_id] = resource
        while len(self._found) > self._limit:
            oldest = next(iter(self._found))
            del self._found[oldest]
            self._entries.pop(oldest, None)
            self._paths.pop(oldest, None)
        return resource

    def _doubt_node_name(self, entry: Entry) -> None:
        """Say once that a pod runs here while the API server tells of none for the name we asked by."""
        if self._elsewhere or entry.pod or not entry.uid or not self._pods.listed or len(self._pods):
            return
        self._elsewhere = True
        log.warning(
            "a pod runs here (uid %s), but the API server has none for node %s; "
            "if this node has another name in the cluster, set kubernetes.node_name",
            entry.uid,
            self._base.get("k8s.node.name"),
        )

    def _pod(self, container: str | None, uid: str | None) -> Pod | None:
        """By the uid in the cgroup's path where there is one: the kernel's word before anybody else's."""
        if uid:
            return self._pods.by_uid(uid)
        return self._pods.by_container(container) if container else None

    def _renew(self, cgroup_id: int, old: Entry, pod: Pod | None) -> None:
        """Take the new version of the pod; if nothing that shows has changed, the Resource stays."""
        runtime = old.resource.attributes.get("container.runtime.name")
        new = _unless_equal(self._make(old.container, old.uid, str(runtime) if runtime else None), old)
        self._entries[cgroup_id] = new
        self._keep(cgroup_id, new.resource)

    def _make(self, container: str | None, uid: str | None, runtime: str | None) -> Entry:
        pod = self._pod(container, uid)
        status = self._pods.container(container) if container and pod else None
        found = dict(self._base)
        if pod:
            found |= pod_attributes(pod, self._settings) | service(pod, status)
        elif uid:
            found["k8s.pod.uid"] = uid
        if container:
            found["container.id"] = container
        if runtime:
            found["container.runtime.name"] = runtime
        if pod and status:
            found |= container_attributes(pod, status)
        missing = self._missing(container, uid, pod, status)
        if missing:
            found["podwitness.metadata.missing"] = missing
        return Entry(Resource(found), container, uid, pod)

    def _missing(
        self, container: str | None, uid: str | None, pod: Pod | None, status: ContainerStatus | None
    ) -> tuple[str, ...]:
        """What a process in a pod should have and has not: the pod, or its container's name and image."""
        if pod is None:
            return ("pod",) if uid or self._expect_pods else ()
        return ("container",) if container and status is None else ()


def _unless_equal(new: Entry, old: Entry) -> Entry:
    """`new` with the Resource of `old`, and all that is cached in it, where both say the same."""
    return new._replace(resource=old.resource) if new.resource.attributes == old.resource.attributes else new


def pod_attributes(pod: Pod, settings: config.Kubernetes) -> Attributes:
    """Name, address, owner, and the chosen labels and annotations under their own keys."""
    tag = pod.metadata
    made_by, top = owner(pod), workload(pod)
    known: dict[str, str | None] = {
        "k8s.pod.uid": tag.uid,
        "k8s.pod.name": tag.name,
        "k8s.namespace.name": tag.namespace,
        "k8s.pod.ip": pod.status.pod_ip,
        "k8s.pod.start_time": pod.status.start_time,
        "podwitness.workload.kind": top.kind,
        "podwitness.workload.name": top.name,
    }
    if top.kind.lower() in OWNERS:
        known[f"k8s.{top.kind.lower()}.name"] = top.name
    if made_by and made_by.kind.lower() in OWNERS:
        known[f"k8s.{made_by.kind.lower()}.name"] = made_by.name
        known[f"k8s.{made_by.kind.lower()}.uid"] = made_by.uid
    told = {LABEL + key: value for key, value in select(tag.labels or {}, settings.labels).items()}
    chosen = select(tag.annotations or {}, settings.annotations)
    told |= {ANNOTATION + key: value for key, value in chosen.items()}
    found: Attributes = {name: value for name, value in known.items() if value}
    found |= {name: value[:LONGEST] for name, value in told.items()}
    if cut := tuple(name for name, value in told.items() if len(value) > LONGEST):
        found["podwitness.metadata.truncated"] = cut
    return found


def container_attributes(pod: Pod, status: ContainerStatus) -> Attributes:
    """Its name in the pod, its image, how often it was restarted."""
    found: Attributes = {
        "k8s.container.name": status.name,
        "k8s.container.restart_count": status.restart_count,
    }
    if status.runtime:
        found["container.runtime.name"] = status.runtime
    image, tag = name_and_tag(pod.image(status.name) or status.image or "")
    if image:
        found["container.image.name"] = image
    if tag:
        found["container.image.tags"] = (tag,)
    if digests := digest(status.image_id or "", image):
        found["container.image.repo_digests"] = (digests,)
    return found


def service(pod: Pod, status: ContainerStatus | None) -> Attributes:
    """`service.*` of a workload, in the order of OpenTelemetry's rules for Kubernetes."""
    tag, labels = pod.metadata, pod.metadata.labels or {}
    top, name = workload(pod), status.name if status else None
    computed: dict[str, str | None] = {
        "service.name": labels.get("app.kubernetes.io/instance")
        or labels.get("app.kubernetes.io/name")
        or (top.name if top.kind.lower() in OWNERS else tag.name),
        "service.namespace": tag.namespace,
        "service.version": labels.get("app.kubernetes.io/version") or (_image_version(pod, status) if status else None),
        "service.instance.id": f"{tag.namespace}.{tag.name}.{name}" if name else None,
    }
    said = tag.annotations or {}
    for attribute in OVERRIDES:
        computed[attribute] = said.get(SERVICE + attribute) or computed.get(attribute)
    return {attribute: value[:LONGEST] for attribute, value in computed.items() if value}


def _image_version(pod: Pod, status: ContainerStatus) -> str | None:
    """The image's tag, its digest, or both as `tag@digest`."""
    image, tag = name_and_tag(pod.image(status.name) or status.image or "")
    _, _, sha = (digest(pod.image(status.name) or "", image) or "").partition("@")
    return "@".join(part for part in (tag, sha) if part) or None
