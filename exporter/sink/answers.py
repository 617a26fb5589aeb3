"""What a receiver's answers mean for the payload at the head of the queue, and what the log says of them.

Called by the `Outbox` with each answer, on its thread. A change between failing and not is one log line; what happens
to single payloads one a minute of each sort.
"""

import logging

from exporter import config
from exporter.model import Delivery, Payload, Ranges
from exporter.sink.failover import FAILURES, Failover
from exporter.sink.head import Head
from exporter.sink.notices import Notices
from exporter.telemetry import Ledger

log = logging.getLogger("podwitness.sink")


class Answers:
    """Judge of one sink's answers.

    Args:
        name: the sink's name in the settings and in the ledger.
        transport: whose answers they are.
        settings: how often an unanswered payload is sent again.
        ledger: where repeated attempts are noted.
    """

    def __init__(self, name: str, transport: Failover, settings: config.Queue, ledger: Ledger) -> None:
        self._name, self._transport, self._settings, self._ledger = name, transport, settings, ledger
        self._failing = False
        self._notices = Notices(self._subject)

    def raised(self, part: Payload) -> None:
        """The transport raised the exception that is being handled."""
        self._notices.say("internal error", "dropped %d records", part.records, traceback=True)

    def judge(self, head: Head, delivery: Delivery | None) -> None:
        """Do with the head's first part what the answer says; None: there is none, because of a bug."""
        if delivery is None:
            head.lose("internal_error")
            return
        if delivery.outcome in FAILURES:
            self._again(head, delivery)
            return
        if self._failing:
            log.warning("%s answers again", self._subject())
            self._failing = False
        match delivery.outcome:
            case "accepted":
                self._accept(head, delivery)
            case "too_large":
                self._halve(head, "too_large", delivery.reason)
            case "closed":
                self._close(head, delivery.reason)
            case _:
                head.lose("refused")
                self._notices.say("refused", "refused, dropped: %s", delivery.reason)

    def _again(self, head: Head, delivery: Delivery) -> None:
        self._ledger.note(f"retry.{self._name}")
        if not self._failing:
            log.warning("%s fails, will try again: %s", self._subject(), delivery.reason)
        self._failing = True
        if delivery.outcome == "retry":
            head.trust()
        elif head.doubt(self._settings.max_resends):
            self._halve(head, "unacknowledged", delivery.reason)

    def _accept(self, head: Head, delivery: Delivery) -> None:
        among = _told(head.part)
        rejected = head.accept(delivery.rejected)
        if rejected:
            self._notices.say("rejected", "rejected %d records%s: %s", rejected, among, delivery.reason)
        elif delivery.reason:
            self._notices.say("accepted", "accepted with a warning: %s", delivery.reason)

    def _halve(self, head: Head, reason: str, said: str) -> None:
        """Put the first part's halves in its place, or drop the record that it is."""
        records, which = (head.part.records if head.part else 0), _told(head.part)
        try:
            if head.halve():
                self._notices.say(f"{reason}, halved", "%d records go in halves, %s: %s", records, reason, said)
                return
        except Exception:  # a bug of ours, as above
            self._notices.say("internal error", "%d records cannot be split", records, traceback=True)
        head.lose(reason)
        self._notices.say(reason, "dropped %d records%s: %s: %s", records, which, reason, said)

    def _close(self, head: Head, reason: str) -> None:
        while head.part is not None:
            head.lose("closed")
        if reason:
            log.warning("sink %s: %s; nothing more goes there", self._name, reason)

    def _subject(self) -> str:
        return f"sink {self._name} ({self._transport.endpoint})"


def _told(part: Payload | None) -> str:
    """The numbers of its records for the log: ` (of 7-9,12)`; nothing where there are none."""
    sequences: Ranges = part.sequences if part is not None else ()
    text = ",".join(f"{first}-{last}" if last > first else str(first) for first, last in sequences)
    return f" (of {text})" if text else ""
