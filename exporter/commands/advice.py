"""What is allowed in the rules on paths, and probably not meant: told by `check` and at the start, refused by nobody.

A rule can be for containers alone, whose files are others than those that are here.
"""

from collections.abc import Iterator
from pathlib import Path

from exporter.config import Observe


def advice(observe: Observe) -> Iterator[str]:
    """A line for each rule that matches less than it seems to."""
    for name, places in (("files.paths", observe.files.paths), ("binaries", observe.binaries)):
        for sort in ("include", "exclude"):
            for path in getattr(places, sort):
                if said := _of_path(path):
                    yield f"observe.{name}.{sort}: {said}"


def _of_path(path: str) -> str:
    """What is to be said of `path`, as it is on this machine; empty where that is what it seems to be."""
    written = path.rpartition("/")[0] or "/" if path.endswith(("*", "/")) else path
    try:
        real = Path(written).resolve(strict=True)
    except (OSError, RuntimeError):  # it is not there, is not for us to see, or leads round in a circle
        return ""
    if str(real) != written:
        return f"{path} leads to {real}{path.removeprefix(written)} here, and that is the path which the kernel tells"
    if path == written != "/" and real.is_dir():
        return f"{path} is a directory here, and only itself is meant: write {path}/ for all beneath it"
    return ""
