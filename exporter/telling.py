"""What the agent says of itself in the sinks' streams: above all, what was lost from them.

The pipeline has one `Telling`. Losses are told at most once a second, and ever less often where each record that tells
of one is lost itself: a receiver that refuses everything must not be told so for ever.
"""

from collections.abc import Sequence

from exporter.channel import Channel
from exporter.enrich.own import Own
from exporter.keeping import Keeping
from exporter.model import Event, Loss
from exporter.telemetry import ALL_SINKS, Ledger, log

_SECOND = 1.0
_LONGEST = 300.0  # seconds


class Telling:
    """Puts the agent's own events into the streams."""

    def __init__(self, own: Own, channels: Sequence[Channel], ledger: Ledger, keeping: Keeping) -> None:
        self.own = own
        self._channels, self._ledger, self._keeping = channels, ledger, keeping
        self._looked = 0.0  # monotonic
        self._told: dict[str, tuple[float, float]] = {}  # by sink: when losses were told last, seconds until the next

    def tell(self, events: Sequence[Event], now: float, sink: str = ALL_SINKS) -> None:
        """These events go into the stream of `sink`, or of all; `now` is monotonic, in seconds."""
        self._ledger.see(event.kind.name for event in events)
        for channel in self._channels:
            if sink in (ALL_SINKS, channel.name):
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
        self._keeping.tell()
        for loss in self._ledger.losses():
            if loss.sink in self._ledger.closed:  # nobody is there to be told, and a record of it would be lost as well
                continue
            if last or self._may_tell(loss.sink, now):
                self._tell(loss, now)
            else:
                self._ledger.lack(loss)
        for channel in self._channels:
            channel.sign(self.own.signed())

    def _may_tell(self, sink: str, now: float) -> bool:
        """Whether losses of `sink` may be told; from now on seldom, where they never end."""
        told, wait = self._told.get(sink, (-_LONGEST, _SECOND))
        if told == now:  # another reason
            return True
        if now - told < wait:
            return False
        again = now - told < 4 * wait
        self._told[sink] = now, min(2 * wait, _LONGEST) if again else _SECOND
        return True

    def _tell(self, loss: Loss, now: float) -> None:
        log.warning("lost %s records of sink %s: %s (%s)", loss.count or "some", loss.sink, loss.reason, loss.stage)
        self.tell(self.own.lost(loss), now, loss.sink)
