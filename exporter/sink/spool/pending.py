"""Values and journal entries on their way into the spool: sealed once, kept until a transaction holds them."""

from collections.abc import Iterable, Mapping

from exporter.sink.spool.cipher import Cipher
from exporter.sink.spool.disk import Work
from exporter.sink.spool.rows import Statement, Stored

STREAM = "stream."
"""Values of this name are in the statement too: their numbers must not be given out twice."""

_JOURNAL_BYTES = 16 * 1024 * 1024  # of entries that wait for a disk that fails


class Pending:
    """All values, and those and the entries that are not on disk yet."""

    def __init__(self, cipher: Cipher) -> None:
        self.wants_checkpoint = False
        self._cipher = cipher
        self._values: dict[str, bytes] = {}
        self._sealed: dict[str, bytes] = {}
        self._changed: set[str] = set()
        self._journal: list[tuple[int, bytes]] = []
        self._journal_bytes = 0
        self._first = 1  # entry of the journal, on disk or here
        self._next = 1
        self._other_state_goes = self._older_journal_goes = False

    def recall(
        self, state: Mapping[str, bytes], journal: Iterable[tuple[int, bytes]]
    ) -> tuple[dict[str, bytes], list[bytes], bool]:
        """What the last run left, unsealed, and whether all of it could be."""
        self._sealed = dict(state)
        for name, value in state.items():
            if (plain := self._cipher.unseal(value, value_place(name))) is not None:
                self._values[name] = plain
        entries = [(number, self._cipher.unseal(value, _entry(number))) for number, value in journal]
        whole = len(self._values) == len(state) and all(plain is not None for _, plain in entries)
        self._sealed = {name: state[name] for name in self._values}
        if entries:
            self._first, self._next = entries[0][0], entries[-1][0] + 1
        return dict(self._values), [plain for _, plain in entries if plain is not None], whole

    def rewrite(self, journal: Iterable[bytes]) -> None:
        """What is on disk is not what was recalled: write all of it anew."""
        self.replace_all()
        self._first = self._next
        for entry in journal:
            self._append(entry)

    def restate(self) -> None:
        """The database is a new one, with what could be read of the values: write them all again."""
        self._changed = set(self._sealed)

    def replace_all(self) -> None:
        """What is on disk is of another run: what is here takes its place."""
        self.restate()
        self._other_state_goes = self._older_journal_goes = True

    def add(self, state: Mapping[str, bytes], journal: bytes, *, checkpoint: bool) -> None:
        """What a commit brings."""
        for name, value in state.items():
            if self._values.get(name) != value:
                self._values[name] = value
                self._sealed[name] = self._cipher.seal(value, value_place(name))
                self._changed.add(name)
        if checkpoint:
            self._empty_journal(wanting=False)
        if journal and not self.wants_checkpoint:
            self._append(journal)
        if self._journal_bytes > _JOURNAL_BYTES:
            # A journal with a hole would tell of processes that have ended: better none until the next checkpoint.
            self._empty_journal(wanting=True)

    @property
    def any(self) -> bool:
        """Whether there is something to write."""
        return bool(self._changed or self._journal or self._other_state_goes or self._older_journal_goes)

    @property
    def streams(self) -> dict[str, bytes]:
        """The sealed values of streams."""
        return {name: value for name, value in self._sealed.items() if name.startswith(STREAM)}

    @property
    def states(self) -> int:
        """How many values there are."""
        return len(self._sealed)

    @property
    def entries(self) -> tuple[int, int]:
        """The first entry of the journal and the one after its last."""
        return self._first, self._next

    def work(self, statement: Statement, rows: list[Stored], gone: list[tuple[int, int]]) -> Work:
        """The transaction that holds these rows and all that is pending."""
        changed = {name: self._sealed[name] for name in self._changed}
        return Work(statement, rows, gone, changed, self._journal, self._other_state_goes, self._older_journal_goes)

    def written(self) -> None:
        """It is on disk."""
        self._changed = set()
        self._journal = []
        self._journal_bytes = 0
        self._other_state_goes = self._older_journal_goes = False

    def _append(self, entry: bytes) -> None:
        self._journal.append((self._next, self._cipher.seal(entry, _entry(self._next))))
        self._next += 1
        self._journal_bytes += len(entry)

    def _empty_journal(self, *, wanting: bool) -> None:
        self._journal, self._journal_bytes, self._first = [], 0, self._next
        self._older_journal_goes, self.wants_checkpoint = True, wanting


def value_place(name: str) -> str:
    """What a sealed value is bound to."""
    return f"state:{name}"


def _entry(number: int) -> str:
    return f"journal:{number}"
