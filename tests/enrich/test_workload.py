"""Who made a pod, read from the pod alone."""

import pytest

from exporter.enrich.pods import Metadata, Owner, Pod
from exporter.enrich.workload import Workload, owner, workload


def pod(*owners: Owner, **labels: str) -> Pod:
    return Pod(
        Metadata(name="me", labels={key.replace("_", "-"): v for key, v in labels.items()}, owner_references=owners)
    )


@pytest.mark.parametrize(
    ("made_by", "expected"),
    [
        (pod(Owner("ReplicaSet", "web-7d4b9c"), pod_template_hash="7d4b9c"), Workload("Deployment", "web")),
        (pod(Owner("ReplicaSet", "web-7d4b9c")), Workload("ReplicaSet", "web-7d4b9c")),
        (pod(Owner("ReplicaSet", "alone"), pod_template_hash="7d4b9c"), Workload("ReplicaSet", "alone")),
        (pod(Owner("ReplicaSet", "-7d4b9c"), pod_template_hash="7d4b9c"), Workload("ReplicaSet", "-7d4b9c")),
        (pod(Owner("Job", "backup-28412345")), Workload("CronJob", "backup")),
        (pod(Owner("Job", "backup-1714979280")), Workload("CronJob", "backup")),
        (pod(Owner("Job", "migrate-2024")), Workload("Job", "migrate-2024")),
        (pod(Owner("StatefulSet", "db")), Workload("StatefulSet", "db")),
        (pod(Owner("DaemonSet", "agent")), Workload("DaemonSet", "agent")),
        (pod(Owner("SparkApplication", "pi")), Workload("SparkApplication", "pi")),
        (pod(), Workload("Pod", "me")),
        (Pod(Metadata(name="me")), Workload("Pod", "me")),
    ],
)
def test_the_workload_is_what_a_user_wrote(made_by: Pod, expected: Workload) -> None:
    assert workload(made_by) == expected


def test_the_owner_is_the_one_that_controls_the_pod() -> None:
    controls = Owner("StatefulSet", "db", "uid", True)

    assert owner(pod(Owner("ConfigMap", "other"), controls)) is controls


def test_the_node_that_owns_a_static_pod_is_no_workload() -> None:
    assert workload(pod(Owner("Node", "node-1", "uid", True))) == Workload("Pod", "me")
