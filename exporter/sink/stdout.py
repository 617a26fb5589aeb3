"""Lines in the terminal or the container's log.

Called by the sink's `Outbox`. Goes past `sys.stdout` to the file descriptor: Python's buffer keeps what it
could not write and would write it twice when the payload is sent again.
"""

import errno
import os
import select
import sys

from exporter.errors import ConfigError
from exporter.model import Delivery, Payload
from exporter.sink.gzipped import plain

CLOSED = frozenset({errno.EPIPE, errno.EBADF, errno.EIO})
"""The reader is gone: a pipe, the descriptor itself, a terminal."""


class Stdout:
    """The standard output, or another descriptor.

    Raises:
        ConfigError: the agent was started without a standard output.
    """

    endpoint = "stdout"
    gzip = False

    def __init__(self, fd: int = 1) -> None:
        # Without one at start, Python says None, and the number goes to whatever file is opened next.
        if fd == 1 and sys.stdout is None:
            raise ConfigError("there is no standard output", where="stdout", hint="start without `>&-`")
        self._fd = fd
        self._begun: tuple[Payload, int] | None = None

    def send(self, payload: Payload) -> Delivery:
        """Write the payload; after a failure halfway the next attempt writes what is missing."""
        done = self._begun[1] if self._begun and self._begun[0] is payload else 0
        try:
            data = plain(payload)
        except ValueError as error:
            return Delivery("refused", str(error))
        try:
            while done < len(data):
                done += self._write(memoryview(data)[done:])
        except OSError as error:
            if error.errno in CLOSED:
                return Delivery("closed", "stdout is closed")
            self._begun = payload, done
            return Delivery("retry", error.strerror or str(error))
        self._begun = None
        return Delivery("accepted")

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            # The other end of a pipe can make it non-blocking for both; 1 s, so that the end is not held up.
            select.select([], [self._fd], [], 1.0)
            return os.write(self._fd, data)

    def close(self) -> None:
        """Nothing to do: the descriptor belongs to the process."""
