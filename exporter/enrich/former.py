"""What the agent before this one knew of cgroups that this one knows less of.

A container that ended while no agent ran has no cgroup any more, and its pod may be gone from the API; the events of
its last moments are still in the rings. Before the watch has listed the pods, all of them are like that. The process
table restores this from the journal, Resources ask it for each Resource that they find.
"""

from collections.abc import Mapping, Set

from exporter import config
from exporter.enrich.annotations import selected
from exporter.model import Attributes, Resource
from exporter.probes.resource import ANNOTATION, LABEL

_GAPS = {"container": 1, "pod": 2, "cgroup": 3}
"""What `podwitness.metadata.missing` names; each takes with it what stands before it."""


class Former:
    """Resources by cgroup id, as they were."""

    def __init__(self, host: Attributes, settings: config.Kubernetes) -> None:
        """`host` are this agent's own attributes of every Resource."""
        self._host, self._settings = host, settings
        self._known: dict[int, Resource] = {}

    def restore(self, known: Mapping[int, Resource]) -> None:
        """Take over what an agent before this one knew."""
        chosen = {resource: Resource(self._chosen(resource.attributes)) for resource in known.values()}
        self._known = {cgroup_id: chosen[resource] for cgroup_id, resource in known.items()}

    def settle(self, cgroups: Set[int]) -> None:
        """Forget all but `cgroups`: nothing more comes from the others."""
        self._known = {cgroup_id: known for cgroup_id, known in self._known.items() if cgroup_id in cgroups}

    def better(self, cgroup_id: int, found: Resource) -> Resource:
        """`found`, or the former Resource of the same place, as long as more is known in that."""
        former = self._known.get(cgroup_id)
        if former is None:
            return found
        if _unknown(former) < _unknown(found) and _same_place(former, found):
            return former
        del self._known[cgroup_id]
        return found

    def _chosen(self, attributes: Attributes) -> Attributes:
        """Without labels and annotations that are not asked for any more; what the host is called is ours to say."""
        found = dict(attributes)
        for prefix, globs in ((LABEL, self._settings.labels), (ANNOTATION, self._settings.annotations)):
            for name in attributes:
                if name.startswith(prefix) and not selected(name.removeprefix(prefix), globs):
                    del found[name]
        return found | self._host


def _unknown(resource: Resource) -> int:
    """How much of a Resource is missing; 0: nothing."""
    missing = resource.attributes.get("podwitness.metadata.missing")
    return max((_GAPS.get(str(what), 0) for what in missing), default=0) if isinstance(missing, tuple) else 0


def _same_place(former: Resource, found: Resource) -> bool:
    """Whether the cgroup is of the container that it was of: the kernel may have given its number to another."""
    for name in ("container.id", "k8s.pod.uid"):
        if name in found.attributes:
            return former.attributes.get(name) == found.attributes[name]
    return True
