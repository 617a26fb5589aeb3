"""What the node's own spool says of each stream, read beside a running agent: nothing is changed, no lock is taken.

`podwitness verify --spool` compares it with what arrived.
"""

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from exporter.errors import ConfigError
from exporter.model import Ranges, Stream, joined
from exporter.sink.spool.cipher import Cipher, read_key
from exporter.sink.spool.contents import Contents, OtherKeyError, examine
from exporter.sink.spool.database import SQL_ERRORS, damaged, reading
from exporter.sink.spool.pending import STREAM, Pending
from exporter.sink.spool.rows import decoded

DATABASE = "spool.db"


class Spooled(NamedTuple):
    """A sink's stream as the spool knows it: its id, the next number, and the numbers that wait to be delivered."""

    stream: str
    next: int
    waiting: Ranges


def spooled(folder: Path, key_file: Path | None = None) -> dict[str, Spooled]:
    """The streams in the spool of this directory, by sink; `key_file` as in the settings.

    Raises ConfigError where it cannot be read.
    """
    path = (folder / DATABASE).absolute()
    if not path.is_file():
        raise ConfigError(f"there is no {DATABASE} in it", where=str(folder), hint="give the agent's spool.path")
    cipher = Cipher(read_key(str(key_file) if key_file else None))
    try:
        with closing(reading(path)) as connection:
            contents = examine(connection, cipher, None)
    except OtherKeyError as error:
        raise ConfigError("is encrypted, with another key or with one", where=str(path), hint="give its key") from error
    except SQL_ERRORS as error:
        what = "is damaged" if damaged(error) else "cannot be read"
        raise ConfigError(f"{what}: {error}", where=str(path)) from error
    return _streams(contents, cipher)


def _streams(contents: Contents, cipher: Cipher) -> dict[str, Spooled]:
    found = {}
    values, _journal, _whole = Pending(cipher).recall(contents.state, ())
    for name, value in values.items():
        stream = decoded(value, Stream) if name.startswith(STREAM) else None
        if stream is not None:
            found[stream.sink] = Spooled(stream.id, stream.next, _waiting(contents, stream))
    return found


def _waiting(contents: Contents, stream: Stream) -> Ranges:
    holding = contents.statement.queues.get(stream.sink) if contents.statement else None
    return joined(holding.tally.sequences, holding.tally.streams.get(stream.id, ())) if holding else ()
