"""The observed workload: every attribute a Resource can carry.

Names from OpenTelemetry semantic conventions 1.44.0. Resources are made of these, and field filters are
checked against them.
"""

OWNERS = ("deployment", "replicaset", "statefulset", "daemonset", "job", "cronjob")
"""The kinds of owner that OpenTelemetry has names for."""

RESOURCE = (
    "service.name",
    "service.namespace",
    "service.version",
    "service.instance.id",
    "deployment.environment.name",
    "k8s.cluster.name",
    "k8s.cluster.uid",
    "k8s.node.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.pod.uid",
    "k8s.pod.ip",
    "k8s.pod.hostname",
    "k8s.pod.start_time",
    "k8s.container.name",
    "k8s.container.restart_count",
    *(f"k8s.{owner}.{leaf}" for owner in OWNERS for leaf in ("name", "uid")),
    "podwitness.workload.name",
    "podwitness.workload.kind",
    "container.id",
    "container.name",
    "container.image.name",
    "container.image.tags",
    "container.image.repo_digests",
    "container.image.id",
    "container.runtime.name",
    "host.name",
    "host.id",
    "host.arch",
    "os.type",
    "podwitness.metadata.missing",
    "podwitness.metadata.truncated",
)

LABEL = "k8s.pod.label."
ANNOTATION = "k8s.pod.annotation."
TEMPLATES = (LABEL, ANNOTATION)
"""Prefixes of attributes whose last part is the user's: the key as it stands, dots and slashes included."""
