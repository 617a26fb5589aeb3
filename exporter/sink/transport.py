"""One way to one receiver: what an outbox needs of it, whatever the protocol."""

from typing import Protocol

from exporter.model import Delivery, Payload


class Transport(Protocol):
    """One way to one receiver. All calls come from one thread."""

    @property
    def endpoint(self) -> str:
        """Where it sends to, for the log; without secrets."""

    @property
    def gzip(self) -> bool:
        """Whether payloads should be gzip'ed before they are queued; it takes them either way."""

    def send(self, payload: Payload) -> Delivery:
        """Make one attempt; may block up to a timeout of its own, never raises for network or receiver."""

    def close(self) -> None:
        """Let go of connections and files."""
