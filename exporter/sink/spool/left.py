"""What the last run left: whose rows are on disk, what ought to be there, and what nobody can know."""

import time
from collections.abc import Collection, Iterable

from exporter.model import Loss, Stream, joined
from exporter.sink.spool.cipher import Cipher
from exporter.sink.spool.contents import Contents, Found
from exporter.sink.spool.disk import Loaded
from exporter.sink.spool.pending import STREAM, value_place
from exporter.sink.spool.rows import PLACES, Holding, Tally, decoded, without
from exporter.telemetry import Ledger

SPOOL_CORRUPT = "spool_corrupt"


class Left:
    """The rows that were found, by sink, until a queue takes them."""

    def __init__(self) -> None:
        self.lost = SPOOL_CORRUPT
        """The reason for what ought to be there and is not."""
        self.strays: list[int] = []
        """Rows to be removed, which are nobody's."""
        self._rows: dict[str, tuple[Holding, dict[str, Found]]] = {}
        self._numbers = 0  # the last sink's number

    def find(self, loaded: Loaded, cipher: Cipher) -> None:
        """Take note of what is on disk."""
        contents, statement = loaded.contents, loaded.contents.statement
        self.lost, self.strays = loaded.lost, contents.strays
        if statement is not None:
            self._rows = {name: (one, contents.rows.get(name, {})) for name, one in statement.queues.items()}
        else:
            self._rows = {name: (_guessed(name, contents, cipher), found) for name, found in contents.rows.items()}
        self._numbers = max((holding.number for holding, _ in self._rows.values()), default=0)

    @property
    def sinks(self) -> list[str]:
        """Whose rows nobody has taken."""
        return list(self._rows)

    @property
    def holdings(self) -> dict[str, Holding]:
        """What ought to be there and nobody has taken."""
        return {name: holding for name, (holding, _) in self._rows.items()}

    def take(self, name: str) -> tuple[Holding, dict[str, Found]]:
        """What is there of a sink, which is new where it is nothing."""
        if name in self._rows:
            return self._rows.pop(name)
        self._numbers += 1
        return Holding(self._numbers, 1, Tally()), {}


class Doubts:
    """Losses that no row stands for: in the statement until they are told, so that a kill does not hide them.

    Those that nobody can count, and those that the last run had no time to tell.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._untold: list[Loss] = []
        self._told: list[Loss] = []  # by records that no commit holds yet

    def add(self, sink: str, reason: str, since: int) -> None:
        """Something of `sink` is lost, and nobody can know how much; Unix ns."""
        until = time.time_ns()
        self.recall(Loss(sink, "spool", reason, None, min(since, until), until))

    def recall(self, loss: Loss) -> None:
        """It is still to be told."""
        self._untold.append(loss)
        self._ledger.lack(loss)

    def leave(self, losses: Iterable[Loss]) -> None:
        """The run ends: all that is in the ledger is for the next one to tell, what is untold here among it."""
        self._untold, self._told = [*self._told, *losses], []

    def mark_told(self, sinks: Collection[str] | None, known: Collection[str]) -> None:
        """The next commit holds what tells of those of `sinks`, None for all; nobody is told of those not `known`."""
        still = {*known}.difference(known if sinks is None else sinks)
        self._told += [loss for loss in self._untold if loss.sink not in still]
        self._untold = [loss for loss in self._untold if loss.sink in still]

    @property
    def untold(self) -> tuple[Loss, ...]:
        """What the next commit does not tell of."""
        return tuple(self._untold)

    @property
    def owed(self) -> tuple[Loss, ...]:
        """What no commit tells of."""
        return (*self._told, *self._untold)

    def written(self) -> None:
        """That commit is done."""
        self._told = []


def _guessed(name: str, contents: Contents, cipher: Cipher) -> Holding:
    """Nobody can say what ought to be there: what is, and the numbers from the first of it to the stream's next."""
    tally = Tally().plus(*(one.tally for one in contents.rows[name].values()))
    sealed = contents.state.get(STREAM + name, b"")
    stream = decoded(cipher.unseal(sealed, value_place(STREAM + name)) or b"", Stream)
    last = tally.rows[-1][1]
    if stream is not None:
        tally = tally.plus(_holes(tally, stream))
    return Holding(contents.numbers[name], (last & ((1 << PLACES) - 1)) + 1, tally)


def _holes(tally: Tally, stream: Stream) -> Tally:
    named = tally.streams.get(stream.id, ())
    if not (there := joined(named, tally.sequences)):
        return Tally()
    holes = without(((there[0][0], stream.next - 1),), there)
    records = sum(end - first + 1 for first, end in holes)
    return Tally((), records, () if named else holes, {stream.id: holes} if named and holes else {})
