"""Files that hold a secret: read only where nobody else can.

Asked once at start, for keys that the settings name.
"""

import os
import stat

from exporter.errors import ConfigError

LARGEST = 64 * 1024
"""Bytes of a key file, at most."""


def read_private(path: str, *, where: str) -> bytes:
    """What the regular file `path` holds; `where` names the setting in errors.

    Raises:
        ConfigError: it cannot be read, is no file, is too large to be a key, or every user of this machine may use it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hold up the start
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{path} is no file", where=where)
            if mode & 0o007:
                hint = f"chmod o-rwx {path}; for a Kubernetes Secret set defaultMode: 0400"
                raise ConfigError(f"{path} is open to every user of this machine", where=where, hint=hint)
            data = os.read(descriptor, LARGEST + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", where=where) from error
    except ValueError as error:  # a NUL in the path
        raise ConfigError(f"{path!r} cannot be read: {error}", where=where) from error
    if len(data) > LARGEST:
        raise ConfigError(f"{path} is larger than {LARGEST} bytes: that is no key", where=where)
    return data
