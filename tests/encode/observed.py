"""What the encoders' tests encode: a pod's Resource, a host's, processes and their events."""

from exporter.model import Attributes, Event, Kind, Process, Resource, Value
from exporter.probes import KINDS

CONTAINER_ID = "3f1b" + "0" * 60


def pod(*without: str) -> Resource:
    """The Resource of a container in the pod `default/xwing`, except for some attributes."""
    attributes: Attributes = {
        "service.name": "xwing",
        "k8s.node.name": "node-1",
        "k8s.namespace.name": "default",
        "k8s.pod.name": "xwing",
        "k8s.pod.uid": "275ecb36-5aa8-4c2a-9c47-d8bb681b9aff",
        "k8s.pod.label.app.kubernetes.io/name": "xwing",
        "k8s.pod.annotation.example.com/owner": "rebels",
        "k8s.container.name": "spaceship",
        "k8s.container.restart_count": 0,
        "container.id": CONTAINER_ID,
        "container.image.name": "quay.io/tgraf/netperf",
        "container.image.tags": ("v1.0", "latest"),
    }
    return Resource({name: value for name, value in attributes.items() if name not in without})


def host() -> Resource:
    """The Resource of what runs outside of any container."""
    return Resource({"host.name": "node-1", "os.type": "linux"})


def process(resource: Resource, *argv: str) -> Process:
    """A process image that runs `argv`."""
    attributes: Attributes = {
        "process.pid": 41822,
        "process.parent_pid": 1,
        "process.user.id": 0,
        "process.executable.path": argv[0],
        "process.command": argv[0],
        "process.command_args": argv,
        "process.interactive": False,
    }
    return Process(
        pid=41822,
        start_time=5,
        exec_id=1,
        number=0,
        started=5,
        entity_id="ZQ==",
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        parent_span_id=b"",
        lineage={},
        cgroup=7,
        attributes=attributes,
        resource=resource,
    )


def kind(name: str) -> Kind:
    """The kind of this name."""
    return next(kind for kind in KINDS if kind.name == name)


def event(of: str, process: Process, *, time: int = 1795166102114000001, **values: Value) -> Event:
    """An event of the kind `of`; `values` by the last part of their names."""
    own = kind(of).own
    return Event(
        kind=kind(of),
        uid="boot-ring-1-0",
        boot_time=9,
        pid=process.pid,
        start_time=process.start_time,
        exec_id=process.exec_id,
        cgroup=process.cgroup,
        values=tuple(values.get(name.rpartition(".")[2]) for name in own),
        time=time,
        observed=time + 5_500_000,
        process=process,
        resource=process.resource,
    )
