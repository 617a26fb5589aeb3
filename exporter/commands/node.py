"""What a command needs to know of where it runs: this host, its cgroups, its pods, its kernel."""

from pathlib import Path

from exporter import probes
from exporter.channel import check_awaited, is_kept
from exporter.commands.advice import advice
from exporter.config import Config
from exporter.enrich.cgroups import Hierarchy, Tree, choose, parse
from exporter.enrich.host import host_attributes
from exporter.enrich.kubernetes import PodWatch
from exporter.enrich.pods import PodIndex
from exporter.enrich.resources import Resources
from exporter.model import Kind
from exporter.shape.select import observed
from exporter.source.objects import GATHERED
from exporter.source.programs import Asked, Cgroups, Kernel
from exporter.telemetry import Ledger, log

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


def looked_at(config: Config, *, where: str = "settings") -> tuple[Kind, ...]:
    """The kinds of event that the settings ask for. Raises ConfigError where these name some that there are not."""
    return observed(config.observe.types, probes.KINDS, probes.LIFE, where=f"{where}: observe.types")


def check_observed(config: Config, *, where: str) -> None:
    """Raises ConfigError for a sink that would wait for ever for what is not looked at; warns of rules."""
    check_awaited(config.sinks, probes.TOLD, looked_at(config, where=where), where=where)
    for line in advice(config.observe):
        log.warning("%s: %s", where, line)


def open_kernel(config: Config, tree: Hierarchy, keep: Path | None = None, *, where: str = "settings") -> Kernel:
    """The probes, attached; pinned ones only with a directory to `keep` their objects in. `where` names the settings.

    What cannot be seen here is said in one line each. Raises KernelError where nothing can be, ConfigError where the
    settings name event types that there are not.
    """
    kernel = attach(config, tree, keep, where=where)
    for probe in kernel.probes:
        if not probe.hook:
            log.warning(
                "%s cannot be seen here: %s; `observe.types.exclude: [%s]` leaves it out",
                probe.type,
                probe.reason,
                probe.type,
            )
    return kernel


def attach(config: Config, tree: Hierarchy, keep: Path | None = None, *, where: str = "settings") -> Kernel:
    """As `open_kernel`, without a word about what cannot be seen."""
    kinds = looked_at(config, where=where)
    cgroups = Cgroups(tree.name, lambda path: parse(path) is not None, tree.mount)
    asked = Asked(kinds, config.observe, _ungathered(config, where) if keep else frozenset())
    return Kernel.open(config.kernel, cgroups, asked, keep=keep)


def _ungathered(config: Config, where: str) -> frozenset[str]:
    """What the probes need not gather, because no sink keeps what is made of it; a recorder keeps all."""
    return frozenset(
        name for name, attributes in GATHERED.items() if not is_kept(config.sinks, probes.TOLD, attributes, where=where)
    )
