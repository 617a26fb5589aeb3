"""What systemd is told of the agent: that it is ready, how it is, that it lives, that it ends.

`commands.run` makes a `Notifier`; the reader's loop calls `look` each time it comes round, so that the watchdog is fed
only as long as it does. Datagrams to the socket that NOTIFY_SOCKET names, as in sd_notify(3); without that
variable nothing happens. A message that does not get through never holds up the loop: the next look sends it again.

systemd feels the watchdog only between READY=1 and STOPPING=1 (`service_set_state` in its core/service.c).
"""

import os
import socket
from collections.abc import MutableMapping

from exporter.telemetry import log
from exporter.vitals import Vitals

_LOOK_SECONDS = 1.0  # between two looks at the vitals
READY_PATIENCE = 30.0
"""Seconds with attached probes and no sink that works, after which systemd is told READY=1 all the same: it would end
an agent that collects, and spools, because a receiver is down. STATUS= then says what is missing."""
_DRAIN_SLACK = 10.0  # seconds beyond the sinks' patience, for the last commit and the ends of threads


class Notifier:
    """One service manager, or none. All calls come from the reader's thread; times are monotonic seconds."""

    def __init__(self, address: str, watchdog: float | None = None) -> None:
        """`address` is NOTIFY_SOCKET's, empty for none; `watchdog` the seconds after which systemd loses patience."""
        self._address = b"\0" + os.fsencode(address[1:]) if address.startswith("@") else os.fsencode(address)
        self._watchdog = watchdog
        self._every = min(_LOOK_SECONDS, watchdog / 4) if watchdog else _LOOK_SECONDS
        self._next = 0.0
        self._feed_at = 0.0
        self._attached_at: float | None = None
        self._ready = False
        self._status = ""
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> "Notifier":
        """Of the service manager that started us; its variables are taken out, they are not for children of ours."""
        address, usec, pid = (environ.pop(name, "") for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"))
        if address and address[0] not in "/@":
            log.warning("NOTIFY_SOCKET=%s is no socket of this machine; the service manager is told nothing", address)
            address = ""
        ours = usec.isdecimal() and int(usec) > 0 and pid in ("", str(os.getpid()))
        return cls(address, int(usec) / 1e6 if ours else None)

    def look(self, vitals: Vitals, now: float) -> None:
        """Tell what has changed, and feed the watchdog at half its time; at most once a second, else free."""
        if self._socket is None or now < self._next:
            return
        self._next = now + self._every
        reasons = vitals.unready()
        ready, status = self._ready or self._is_ready(vitals, reasons, now), _status(reasons)
        feed = bool(self._watchdog) and now >= self._feed_at and not vitals.dead(now)
        lines = ["READY=1"] if ready and not self._ready else []
        lines += [f"STATUS={status}"] if status != self._status else []
        lines += ["WATCHDOG=1"] if feed else []
        if lines and self._send(lines):
            self._ready, self._status = ready, status
            if feed and self._watchdog:
                self._feed_at = now + self._watchdog / 2

    def _is_ready(self, vitals: Vitals, reasons: list[str], now: float) -> bool:
        if vitals.attached and self._attached_at is None:
            self._attached_at = now
        return not reasons or (self._attached_at is not None and now - self._attached_at >= READY_PATIENCE)

    def stopping(self, seconds: float) -> None:
        """The end has begun and takes up to `seconds`: systemd waits for so long, whatever its TimeoutStopSec."""
        extension = int((seconds + _DRAIN_SLACK) * 1e6)
        self._send(["STOPPING=1", "STATUS=sending what is left", f"EXTEND_TIMEOUT_USEC={extension}"])

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, lines: list[str]) -> bool:
        if self._socket is None:
            return False
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:  # full, or the manager is being restarted
            log.debug("the service manager cannot be told %s: %s", lines, error)
            return False
        return True


def _status(reasons: list[str]) -> str:
    return f"not ready: {'; '.join(reasons)}" if reasons else "ready"
