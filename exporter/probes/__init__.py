"""Probes: what is observed, one declaration a kind, in one literal tuple.

To add one, see "Add a probe" in CONTRIBUTING.md.
"""

from exporter.model import Kind
from exporter.probes.agent import (
    AGENT_KINDS,
    AGENT_STARTED,
    AGENT_STOPPED,
    CHAIN_SIGNED,
    DEGRADATION,
    EVENTS_LOST,
    PROBE_ATTACHED,
    PROBE_FAILED,
)
from exporter.probes.file import FILES
from exporter.probes.filesystem import FILESYSTEMS
from exporter.probes.kernel import KERNEL
from exporter.probes.namespace import NAMESPACES
from exporter.probes.network import NETWORK
from exporter.probes.privilege import PRIVILEGES
from exporter.probes.process import PROCESS_EXEC, PROCESS_EXIT, PROCESS_FORK, PROCESS_SNAPSHOT, PROCESSES, WHOLE

LIFE = (PROCESS_EXEC, PROCESS_FORK, PROCESS_EXIT)
"""Without these no other event has a process: they are always there."""

KINDS: tuple[Kind, ...] = (*LIFE, *PROCESSES, *FILES, *FILESYSTEMS, *NETWORK, *PRIVILEGES, *NAMESPACES, *KERNEL)
"""The kinds that the kernel sends and that become records."""

TOLD: tuple[Kind, ...] = (*KINDS, *AGENT_KINDS)
"""Every kind of record there is: what sinks and filters know."""

SNAPSHOT = PROCESS_SNAPSHOT
"""What the task iterator writes at start: fills the process table, is no record."""

__all__ = [
    "AGENT_KINDS",
    "AGENT_STARTED",
    "AGENT_STOPPED",
    "CHAIN_SIGNED",
    "DEGRADATION",
    "EVENTS_LOST",
    "KINDS",
    "LIFE",
    "PROBE_ATTACHED",
    "PROBE_FAILED",
    "PROCESS_EXEC",
    "PROCESS_EXIT",
    "PROCESS_FORK",
    "SNAPSHOT",
    "TOLD",
    "WHOLE",
]
