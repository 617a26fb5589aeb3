"""Probes: what is observed, one declaration a kind, in one literal tuple.

To add one, see "Add a probe" in CONTRIBUTING.md.
"""

from exporter.probes.process import PROCESS_EXEC, PROCESS_EXIT, PROCESS_FORK, PROCESS_SNAPSHOT, WHOLE

KINDS = (PROCESS_EXEC, PROCESS_FORK, PROCESS_EXIT)
"""The kinds that become records."""

SNAPSHOT = PROCESS_SNAPSHOT
"""What the task iterator writes at start: fills the process table, is no record."""

__all__ = ["KINDS", "PROCESS_EXEC", "PROCESS_EXIT", "PROCESS_FORK", "SNAPSHOT", "WHOLE"]
