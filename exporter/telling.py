"""What the agent says of itself in the sinks' streams: above all, what was lost from them.

The pipeline has one `Telling`. Losses are told at most once a second, and ever less often where each record that tells
of one is lost itself: a receiver that refuses everything must not be told so for ever.
"""

from collections.abc import Sequence

import msgspec

from exporter.channel import Channel
from exporter.enrich.own import Own
from exporter.keeping import Keeping
from exporter.model import Event, Loss
from exporter.telemetry import ALL_SINKS, Ledger, log, merged

_SECOND = 1.0
_LONGEST = 300.0  # seconds
_REMEMBERED = 256  # records of losses of each sink, which may be lost themselves


class Telling:
    """Puts the agent's own events into the streams."""

    def __init__(self, own: Own, channels: Sequence[Channel], ledger: Ledger, keeping: Keeping) -> None:
        self.own = own
        self._channels = {channel.name: channel for channel in channels}
        self._ledger, self._keeping = ledger, keeping
        self._statements: dict[str, dict[int, Loss]] = {}  # by sink: what the record of this number tells of
        self._looked = 0.0  # monotonic
        self._told: dict[str, tuple[float, float]] = {}  # by sink: when losses were told last, seconds until the next

    def tell(self, events: Sequence[Event], now: float, sink: str = ALL_SINKS) -> None:
        """These events go into the stream of `sink`, or of all; `now` is monotonic, in seconds."""
        self._ledger.see(event.kind.name for event in events)
        for name, channel in self._channels.items():
            if sink in (ALL_SINKS, name):
                channel.take(events, (), now)
        self._keeping.took(len(events), now)

    def look(self, now: float) -> None:
        """Once a second: tell what was lost since, and sign."""
        if now - self._looked >= _SECOND:
            self.losses(now)

    def losses(self, now: float, *, last: bool = False) -> None:
        """What was lost since the last call becomes records of the streams it was lost from; then they are signed.

        `last`: nothing is told later.
        """
        self._looked = now
        due = {sink for sink in (ALL_SINKS, *self._channels) if last or self._is_due(sink, now)}
        self._keeping.tell(due)
        for loss in self._ledger.losses():
            if loss.sink in self._ledger.closed:  # nobody is there to be told, and a record of it would be lost as well
                if loss.reason == "sink_removed":  # once, and there is no stream to tell it in
                    _log(loss)
                continue
            if loss.sink in due:
                self._tell(loss, now)
            else:
                self._ledger.lack(loss)
        for channel in self._channels.values():
            channel.sign(self.own.signed())

    def _is_due(self, sink: str, now: float) -> bool:
        told, wait = self._told.get(sink, (-_LONGEST, _SECOND))
        return now - told >= wait

    def _tell(self, loss: Loss, now: float) -> None:
        _log(loss)
        told, wait = self._told.get(loss.sink, (-_LONGEST, _SECOND))
        if told != now:  # else it is another reason
            again = now - told < 4 * wait
            self._told[loss.sink] = now, min(2 * wait, _LONGEST) if again else _SECOND
        for one in merged((loss, *self._untold(loss))):
            self._state(one, now)

    def _state(self, loss: Loss, now: float) -> None:
        """Put it into the streams, and remember in which record: what is lost again is told again."""
        for event in self.own.lost(loss):
            for name, channel in self._channels.items():
                if loss.sink in (ALL_SINKS, name):
                    statements = self._statements.setdefault(name, {})
                    statements[channel.next] = loss
                    if len(statements) > _REMEMBERED:
                        del statements[next(iter(statements))]
            self.tell([event], now, loss.sink)

    def _untold(self, loss: Loss) -> list[Loss]:
        """What records among those lost had told of."""
        statements = self._statements.get(loss.sink, {})
        channel = self._channels.get(loss.sink)
        if channel is None or loss.stream not in ("", channel.stream):
            return []  # numbers of an older stream
        numbers = [n for n in statements if any(first <= n <= last for first, last in loss.sequences)]
        return [msgspec.structs.replace(statements.pop(n), sink=loss.sink) for n in numbers]


def _log(loss: Loss) -> None:
    log.warning("lost %s records of sink %s: %s (%s)", loss.count or "some", loss.sink, loss.reason, loss.stage)
