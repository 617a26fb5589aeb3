"""What a command needs to know of where it runs: this host, its cgroups, its pods, its kernel."""

from pathlib import Path

from exporter import probes
from exporter.config import Config
from exporter.enrich.cgroups import Hierarchy, Tree, choose, parse
from exporter.enrich.host import host_attributes
from exporter.enrich.kubernetes import PodWatch
from exporter.enrich.pods import PodIndex
from exporter.enrich.resources import Resources
from exporter.source.programs import Cgroups, Kernel
from exporter.telemetry import Ledger, log

PROGRAMS = tuple(dict.fromkeys(kind.program for kind in probes.KINDS))
_SYNC_SECONDS = 1.0  # the first events wait this long for the pods, in the rings


class Node:
    """Who runs here: this host, its cgroups, its pods. Open for as long as the agent runs."""

    def __init__(self, config: Config, ledger: Ledger, hierarchy: Hierarchy | None) -> None:
        """Raises KubernetesError when the settings ask for a cluster and there is none."""
        pods = PodIndex()
        self._watch = PodWatch.open(config.kubernetes, pods, ledger)
        self.resources = Resources(
            host_attributes(Path(config.kernel.proc_root)),
            pods,
            Tree(hierarchy),
            config.kubernetes,
            self._watch is not None,
        )

    def start(self) -> None:
        """Begin to follow the pods; waits a moment for them, never for long."""
        if self._watch:
            self._watch.start()
            if not self._watch.synced.wait(_SYNC_SECONDS):
                log.warning("%s; events go on without pod metadata until it answers", self._watch.health)

    def close(self) -> None:
        """Stop following the pods."""
        if self._watch:
            self._watch.close()


def hierarchy(config: Config) -> Hierarchy:
    """The cgroup tree that names containers here."""
    return choose(config.kernel.hierarchy, Path(config.kernel.cgroup_root))


def open_kernel(config: Config, tree: Hierarchy, keep: Path | None = None) -> Kernel:
    """The probes, attached; pinned ones only with a directory to `keep` their objects in.

    Raises KernelError where they cannot be.
    """
    cgroups = Cgroups(tree.name, lambda path: parse(path) is not None)
    return Kernel.open(config.kernel, cgroups, PROGRAMS, keep=keep)
