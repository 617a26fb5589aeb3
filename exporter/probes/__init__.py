"""Probes: what is observed, one declaration a kind, in one literal tuple.

To add one, see "Add a probe" in CONTRIBUTING.md.
"""

from exporter.probes.agent import (
    AGENT_KINDS,
    AGENT_STARTED,
    AGENT_STOPPED,
    CHAIN_SIGNED,
    DEGRADATION,
    EVENTS_LOST,
)
from exporter.probes.process import PROCESS_EXEC, PROCESS_EXIT, PROCESS_FORK, PROCESS_SNAPSHOT, WHOLE

KINDS = (PROCESS_EXEC, PROCESS_FORK, PROCESS_EXIT)
"""The kinds that the kernel sends and that become records."""

TOLD = (*KINDS, *AGENT_KINDS)
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
    "PROCESS_EXEC",
    "PROCESS_EXIT",
    "PROCESS_FORK",
    "SNAPSHOT",
    "TOLD",
    "WHOLE",
]
