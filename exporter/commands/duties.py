"""What the agent does once a second besides reading: its account, its lease, its health, its memory.

`run` calls `look` each time its loop comes round; it costs nothing until a second has passed.
"""

import gc
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from exporter.agent import Pipeline
from exporter.commands.node import looked_at
from exporter.config import Config
from exporter.enrich.processes import ProcessTable
from exporter.model import Loss
from exporter.notify import Notifier
from exporter.pressure import Pressure, Step, dispensable, ladder
from exporter.resident import ceiling, cgroup_limit, give_back, resident
from exporter.source.programs import Kernel
from exporter.telemetry import ALL_SINKS, log
from exporter.traffic import Traffic
from exporter.vitals import Vitals

_SECOND = 1.0
_SHORT = 256
"""Bytes of arguments kept of each process while memory is short."""


class Duties:
    """The duties of one run of the agent."""

    def __init__(
        self,
        config: Config,
        kernel: Kernel,
        pipeline: Pipeline,
        vitals: Vitals,
        notifier: Notifier,
        show: Callable[[], None] = lambda: None,
        traffic: Traffic | None = None,
    ) -> None:
        """`show` puts the agent's status where others can look at it; `traffic` is sent where somebody asked."""
        self._kernel, self._pipeline, self._show, self._traffic = kernel, pipeline, show, traffic
        self._vitals, self._notifier = vitals, notifier
        self._sinks = tuple(config.sinks.values())
        self._pins = Path(config.kernel.pin_path) / "word" if config.kernel.persist else None
        self._left_out: set[str] = set()
        limit = ceiling(config.memory.limit_bytes, cgroup_limit())
        if limit < config.memory.limit_bytes:
            log.warning(
                "memory: %d MiB, not the %d of the settings: the cgroup allows no more",
                limit >> 20,
                config.memory.limit_bytes >> 20,
            )
        measure = partial(resident, limit // 2)
        self._pressure = Pressure(
            limit, self._steps(dispensable(looked_at(config))), measure=measure, relieve=give_back
        )
        self._looked = 0.0
        self._failing = ""

    def look(self, *, now: bool = False) -> None:
        """Do what is due; `now`: all of it."""
        at = time.monotonic()
        self._vitals.beat(at)
        self._notifier.look(self._vitals, at)  # has a rhythm of its own: a watchdog can be short
        for change in self._pressure.look(at):  # and so has this: what waits in a ring is read fast
            self._tell(change.step, change.state, change.memory, change.limit)
        if not now and at - self._looked < _SECOND:
            return
        self._looked = at
        self._kernel.renew()
        self._count_losses()
        self._tell_trouble()
        self._look_for_pins()
        if self._traffic:
            self._traffic.look(at, last=now)
        self._show()

    def stop(self) -> None:
        """The loop has ended as it should; what is left is read and sent."""
        self._vitals.stop()
        self._notifier.stopping(max(sink.queue.shutdown_seconds for sink in self._sinks))

    def _count_losses(self) -> None:
        offset, ledger = self._kernel.offset(), self._pipeline.ledger
        news = self._kernel.losses()
        for lost in news:
            ledger.lose(lost.ring, lost.samples)
            if lost.reason == "ring_full":
                text = "ring %s was full: raise kernel.%s_ring_bytes, and memory.limit_bytes with it"
                log.warning(text, lost.ring, lost.ring)
            stage = f"ring {lost.ring}"
            ledger.lack(Loss(ALL_SINKS, stage, lost.reason, lost.samples, lost.since + offset, lost.until + offset))
        if news:  # at once: the next commit says that they are told
            self._pipeline.tell_losses()
        self._kernel.loss_state()  # where nothing is kept on disk, telling is all there is

    def _look_for_pins(self) -> None:
        """Without their pins the probes are gone, and nothing comes any more: that is not a quiet node."""
        if self._pins is None or self._pins.exists():
            return
        log.error("the pins in %s were removed, and the probes with them; start the agent again", self._pins.parent)
        self._vitals.fail("the probes were removed")
        now = time.time_ns()
        self._pipeline.ledger.lack(Loss(ALL_SINKS, "kernel", "pins_removed", None, now - 10**9, now))
        self._pins = None

    def _tell_trouble(self) -> None:
        """A disk that fails is a step of its own: the agent goes on in memory, and says so."""
        failing = self._pipeline.failing
        if bool(failing) != bool(self._failing):
            if failing:
                log.warning("spool: %s; events wait in memory and in the rings until it works again", failing)
            self._tell("spool", "begun" if failing else "undone", self._pressure.memory, self._pressure.limit)
        self._failing = failing

    def _tell(self, step: str, state: str, memory: int, limit: int) -> None:
        log.warning("degradation %s: %s (memory %d of %d MiB)", state, step, memory >> 20, limit >> 20)
        self._pipeline.ledger.note(f"degradation.{step}.{state}")
        self._pipeline.tell([self._pipeline.own.degraded(step, state, memory, limit)])

    def _steps(self, kinds: Sequence[str]) -> list[Step]:
        """What the agent can do less of, the least painful first; `kinds` are event types that can go."""
        table, pipeline = self._pipeline.table, self._pipeline
        return ladder(
            caches=(partial(_clear, table), _nothing),
            activity=[(kind, (partial(self._shed, kind), partial(self._admit, kind))) for kind in kinds],
            arguments=(partial(table.shorten, _SHORT), partial(table.shorten, None)),
            queues=(partial(pipeline.squeeze, 0.1), partial(pipeline.squeeze, 1.0)),
            processes=(partial(table.bound, 0.1), partial(table.bound, 1.0)),
        )

    def _shed(self, kind: str) -> None:
        self._left_out.add(kind)
        self._kernel.shed(self._left_out)

    def _admit(self, kind: str) -> None:
        self._left_out.discard(kind)
        self._kernel.shed(self._left_out)


def _clear(table: ProcessTable) -> None:
    table.clear_fragments()
    gc.collect()


def _nothing() -> None:
    """A cache fills by itself."""
