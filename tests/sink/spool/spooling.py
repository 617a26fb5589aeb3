"""A spool in a folder, its payloads, and what it tells of losses."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from exporter import config
from exporter.model import Loss, Payload, Ranges, Stream
from exporter.sink.spool.rows import numbers
from exporter.sink.spool.spool import Commit, Spool, SpoolQueue
from exporter.telemetry import Ledger

ROOMY = config.Queue(max_bytes=1 << 20)


class Numbered:
    """Makes payloads of numbered records, as an encoder does."""

    def __init__(self, sink: str = "a", first: int = 1, id: str = "stream") -> None:
        self.stream = Stream(sink, id, first)

    def payload(self, records: int = 1, size: int = 50) -> Payload:
        first, self.stream.next = self.stream.next, self.stream.next + records
        sequences = ((first, self.stream.next - 1),)
        return Payload("logs", content(sequences, size), records, sequences=sequences, stream=self.stream.id)

    @property
    def state(self) -> dict[str, bytes]:
        return {f"stream.{self.stream.sink}": msgspec.msgpack.encode(self.stream)}


def content(sequences: Ranges, size: int = 50) -> bytes:
    """Data that tells which records it is of."""
    return repr(sequences).encode().ljust(size, b".")


def commit(spool: Spool, *made: Numbered, position: int = 0, journal: bytes = b"", checkpoint: bool = False) -> int:
    """One commit; up to where ring 7 is safe."""
    state = {name: value for one in made for name, value in one.state.items()}
    return spool.commit(Commit({7: position}, state, journal, checkpoint)).get(7, -1)


class Opened:
    """An open spool with one queue."""

    def __init__(self, folder: Path, queue: config.Queue, wire: str, settings: dict[str, Any], how: Any) -> None:
        self.ledger = Ledger()
        self.spool = Spool.open(config.Spool(path=str(folder), **settings), self.ledger, **how)
        self.queue: SpoolQueue = self.spool.queue("a", wire, queue)
        self.spool.forget_others()

    def drain(self) -> list[int]:
        """Deliver all that can be sent; the records' numbers in order."""
        found: list[int] = []
        while (payload := self.queue.head()) is not None:
            assert payload.data.startswith(content(payload.sequences, 0))
            found += numbers(payload.sequences)
            self.queue.settle()
        return found

    def losses(self) -> list[Loss]:
        """What the pipeline tells of."""
        self.spool.mark_told()
        return self.ledger.losses()

    @property
    def dropped(self) -> dict[str, int]:
        return {f"{drop.sink} {drop.reason}": count for drop, count in self.ledger.dropped.items()}

    def close(self) -> int:
        kept = self.queue.close()
        self.spool.close()
        return kept


@contextmanager
def opened(
    folder: Path, queue: config.Queue = ROOMY, wire: str = "otlp", how: dict[str, Any] | None = None, **settings: Any
) -> Iterator[Opened]:
    """A spool, closed at the end as the agent closes it."""
    one = Opened(folder, queue, wire, settings, how or {})
    try:
        yield one
    finally:
        one.close()


def lost_numbers(losses: list[Loss]) -> set[int]:
    return {number for loss in losses for number in numbers(loss.sequences)}
