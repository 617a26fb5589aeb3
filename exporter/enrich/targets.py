"""The process that something is done to: what the table knows of it, beside what the kernel said.

The process table calls `add` for each event of a kind with a target (`probes/target.py`).
"""

from collections.abc import Mapping

from exporter.enrich.facts import number
from exporter.enrich.journal import Key
from exporter.enrich.resources import Resources
from exporter.model import Event, Process, Value
from exporter.probes.target import TARGET_DERIVED
from exporter.probes.times import iso

_NOBODY: tuple[Value | None, ...] = (None,) * len(TARGET_DERIVED)


class Targets:
    """Fills in TARGET_DERIVED."""

    def __init__(self, images: Mapping[Key, Process], resources: Resources) -> None:
        """`images` are those that the table holds."""
        self._images, self._resources = images, resources

    def add(self, event: Event) -> None:
        """Set the derived values of an event that has a target; without effect on others."""
        facts = event.facts
        if facts and "target.start_time" in facts:
            event.values = (*event.values, *self._told(event, number(facts, "target.start_time")))

    def _told(self, event: Event, start_time: int) -> tuple[Value | None, ...]:
        facts = event.facts or {}
        pid = number(facts, "target.pid")
        if not pid:
            return _NOBODY
        image = self._images.get((pid, start_time, number(facts, "target.exec_id")))
        resource = self._resources.of(number(facts, "target.cgroup"))
        return (
            iso(start_time + event.time - event.boot_time),
            image.entity_id if image else None,
            image.attributes.get("process.executable.path") if image else None,
            facts.get("target.comm"),
            resource.attributes.get("container.id"),
        )
