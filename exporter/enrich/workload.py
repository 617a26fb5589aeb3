"""The workload of a pod: the object a user wrote, which made the pod perhaps through another.

Read from the pod alone, without a watch on anybody else: the owner is in `ownerReferences`, and the
owner's owner shows in its name. Resources call it.
"""

import re
from typing import NamedTuple

from exporter.enrich.pods import Owner, Pod

SCHEDULED = re.compile(r"(.+)-[0-9]{8,}$")
"""A Job's name as the CronJob controller makes it: the CronJob's and the scheduled time in minutes."""


class Workload(NamedTuple):
    """Kind (`Deployment`) and name."""

    kind: str
    name: str


def owner(pod: Pod) -> Owner | None:
    """The object that controls the pod, else its first owner; never the node, which owns static pods."""
    owners = [found for found in pod.metadata.owner_references or () if found.kind != "Node"]
    return next((found for found in owners if found.controller), owners[0] if owners else None)


def workload(pod: Pod) -> Workload:
    """The Deployment behind a ReplicaSet, the CronJob behind a Job, else the owner, else the pod itself."""
    found = owner(pod)
    if found is None:
        return Workload("Pod", pod.metadata.name)
    template = (pod.metadata.labels or {}).get("pod-template-hash")
    if (
        found.kind == "ReplicaSet"
        and template
        and (name := found.name.removesuffix(f"-{template}")) not in ("", found.name)
    ):
        return Workload("Deployment", name)
    if found.kind == "Job" and (scheduled := SCHEDULED.match(found.name)):
        return Workload("CronJob", scheduled[1])
    return Workload(found.kind, found.name)
