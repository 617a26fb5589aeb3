"""A kernel that says what a test wants, for what the commands do with one."""

from collections.abc import Collection, Iterator, Mapping
from typing import cast

from exporter.model import RawSample
from exporter.source.hooks import Probe
from exporter.source.programs import Kernel, Lost, Seen
from tests.test_agent import OFFSET, Source


class Scripted(Source):
    """Holds `samples` in one ring, each a byte long as far as positions go; `resumed` says that probes were pinned."""

    sees_host = True
    probes: tuple[Probe, ...] = ()
    RING = 7

    def __init__(self, samples: list[RawSample] | None = None, *, resumed: bool = False, boot_id: str = "b007") -> None:
        self.samples, self.resumed, self.boot_id = samples or [], resumed, boot_id
        self.cursor = self.acknowledged = 0
        self.news: list[Lost] = []
        self.restored = b""
        self.unsaved = False
        self.adopted = 0
        self.renewed, self.left_out = 0, list[set[str]]()

    def positions(self) -> dict[int, int]:
        return {self.RING: self.cursor}

    def written(self) -> dict[int, int]:
        return {self.RING: len(self.samples)}

    def seek(self, positions: Mapping[int, int]) -> None:
        if self.resumed:
            self.cursor = positions.get(self.RING, self.cursor)

    def wait(self, *, pending: bool = False, reading: bool = True) -> bool:
        return reading and self.cursor < len(self.samples)

    def read(self) -> list[RawSample]:
        found = self.samples[self.cursor : self.cursor + 2]
        self.cursor += len(found)
        return found

    def rest(self) -> Iterator[list[RawSample]]:
        while self.cursor < len(self.samples):
            yield self.read()

    def acknowledge(self, positions: Mapping[int, int], *, told: bool = True) -> None:
        self.acknowledged = positions.get(self.RING, self.acknowledged)

    def snapshot(self) -> list[Seen]:
        return []

    def offset(self) -> int:
        return OFFSET

    def losses(self) -> list[Lost]:
        found, self.news = self.news, []
        return found

    def loss_state(self) -> bytes:
        return b"told"

    def restore_losses(self, state: bytes) -> None:
        self.restored = state

    def adopt_losses(self) -> int:
        self.adopted += 1
        return 77

    def renew(self) -> None:
        self.renewed += 1

    def shed(self, kinds: Collection[str]) -> None:
        self.left_out.append(set(kinds))

    @property
    def kernel(self) -> Kernel:
        """As the commands know it."""
        return cast(Kernel, self)
