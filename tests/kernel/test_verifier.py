"""What the verifier makes of our programs under other constants: it sees other code where a type or a rule is out."""

from contextlib import closing
from pathlib import Path

import pytest

from exporter import config, probes
from exporter.config import CgroupPaths, Observe
from exporter.config_observe import Files, Network, Networks, Places, Ports, Users
from exporter.model import Kind
from exporter.source.attached import Attached, Cgroups
from exporter.source.objects import Asked, objects_directory

pytestmark = pytest.mark.kernel

RULED = Observe(
    cgroups=CgroupPaths(exclude=("/no-such-cgroup",)),
    users=Users(exclude=(4_000_000_000,)),
    binaries=Places(exclude=("/no/such/program",)),
    files=Files(paths=Places(exclude=("/no/such/file",)), access=("write", "create")),
    network=Network(addresses=Networks(exclude=("255.255.255.254",)), ports=Ports(exclude=(1,)), metrics=True),
)


def refused(kinds: tuple[Kind, ...], asked: Asked) -> dict[str, str]:
    """Programs that were planned for these kinds, and that the kernel did not take."""
    kernel = config.Kernel(activity_ring_bytes=65536, lifecycle_ring_bytes=65536)
    cgroups = Cgroups("v2", lambda _path: False, Path("/sys/fs/cgroup"))
    with closing(Attached(kernel, cgroups, asked, objects_directory(), None)) as attached:
        assert {choice.kind for choice in attached.plan.choices} == set(kinds)
        return attached.faults


@pytest.mark.parametrize("kind", probes.KINDS, ids=lambda kind: kind.name)
def test_a_type_is_taken_when_it_is_the_only_one(kind: Kind) -> None:
    kinds = tuple(dict.fromkeys((*probes.LIFE, kind)))
    assert refused(kinds, Asked(kinds)) == {}


@pytest.mark.parametrize("observe", [Observe(), RULED], ids=["without rules", "with every sort of rule"])
def test_all_types_are_taken_at_once(observe: Observe) -> None:
    assert refused(probes.KINDS, Asked(probes.KINDS, observe, frozenset({"args", "cwd"}))) == {}
