"""TLS to a receiver: made of the files in `config.Tls`, and made again when those files change.

Transports ask before each attempt and open a new connection where the generation is another one; so certificates that
cert-manager or an operator renews are used without a restart. Kubernetes changes files by swapping a symbolic link;
`stat` follows it. Files that cannot be used in the middle of a change (half written, a key that is not the
certificate's) leave the old in force: that is said once, and tried again.
"""

import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from exporter import config
from exporter.errors import ConfigError

log = logging.getLogger("podwitness.sink")

RETRY_SECONDS = 10.0
"""When to look again at files that could not be used and have not changed since."""

Made = TypeVar("Made")
_Version = tuple[tuple[int, ...] | None, ...]


class Renewed(Generic[Made]):
    """What `make` makes of `tls`, kept up to date with the files.

    Raises:
        ConfigError: files that cannot be used at start; `where` is `tls.` and the setting.
    """

    def __init__(self, tls: config.Tls, make: Callable[[config.Tls], Made]) -> None:
        self._tls, self._make = tls, make
        names = (tls.ca_file or system_cas(), tls.certificate_file, tls.key_file)
        self._files = [Path(name) for name in names if name]  # made once: each attempt asks for all of them
        self._seen = self._version()  # before the files are read: what changes meanwhile is seen as new
        self._made, self._generation = make(tls), 1
        self._again: float | None = None  # monotonic: when to try what was no good; None: it was

    def current(self) -> tuple[Made, int]:
        """What is in force, and its generation: another number means that connections have to be made anew."""
        version = self._version()
        if version != self._seen or (self._again is not None and time.monotonic() >= self._again):
            self._seen = version
            self._renew()
        return self._made, self._generation

    def _renew(self) -> None:
        try:
            self._made = self._make(self._tls)
        except ConfigError as error:
            if self._again is None:
                log.warning("the TLS files have changed and cannot be used, the old ones stay in force: %s", error)
            self._again = time.monotonic() + RETRY_SECONDS
            return
        self._again = None
        self._generation += 1
        log.info("the TLS files have changed and are in use: %s", ", ".join(map(str, self._files)))

    def _version(self) -> _Version:
        return tuple(_version(file) for file in self._files)


class Contexts(Renewed[ssl.SSLContext]):
    """The `ssl.SSLContext` for `tls`; `tls.server_name`, where set, is the `server_hostname` to wrap with."""

    def __init__(self, tls: config.Tls) -> None:
        super().__init__(tls, context)


def context(tls: config.Tls) -> ssl.SSLContext:
    """A context that always verifies, from TLS 1.2 on; ConfigError for files that cannot be used."""
    try:
        made = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{tls.ca_file} cannot be used: {error}", where="tls.ca_file") from error
    made.minimum_version = ssl.TLSVersion.TLSv1_2  # Python 3.11 leaves that to the distribution
    if tls.certificate_file is None:
        if tls.key_file is not None:
            raise ConfigError("is set without certificate_file", where="tls.key_file")
        return made
    try:
        # An encrypted key would make OpenSSL ask on the terminal.
        made.load_cert_chain(tls.certificate_file, tls.key_file, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        files = " and ".join(file for file in (tls.certificate_file, tls.key_file) if file)
        raise ConfigError(f"{files} cannot be used: {error}", where="tls.certificate_file") from error
    return made


def system_cas() -> str | None:
    """The file of the system's CA certificates, where it keeps them in one."""
    return ssl.get_default_verify_paths().cafile


def _version(file: Path) -> tuple[int, ...] | None:
    """Another one when the file is another or has changed; None where there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
