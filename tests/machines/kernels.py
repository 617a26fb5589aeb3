"""Debian's kernels, from apt: of each series the newest that apt offers, unpacked once into the cache.

`make test` runs this file; tests/machines/conftest.py imports it. This machine's own package lists are asked first.
Where they do not know a series, or name a package that the mirror has no longer, the newest kernel in the cache will
do; where there is none, lists of our own are fetched: from the mirrors that this machine's apt knows, where it is of
another release those mirrors' Debian 12. apt checks signatures and sums. Nothing is installed.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.peers.builds import cache, locked

SERIES = {
    "6.1": r"linux-image-6\.1\.0-[0-9]+-amd64",
    "6.12": r"linux-image-6\.12\.[0-9]+\+deb12-amd64",
}
"""The packages of a series; neither its -cloud- flavour, which has no 9p, nor its -rt- one."""

RELEASE, KEYRING = "bookworm", "/usr/share/keyrings/debian-archive-keyring.gpg"


class KernelUnavailableError(Exception):
    """A kernel that cannot be had on this machine, and why."""


class Kernel(NamedTuple):
    """An unpacked kernel package: `release` is what its `uname -r` says."""

    release: str
    folder: Path

    @property
    def image(self) -> Path:
        """What a boot loader loads."""
        return self.folder / "boot" / f"vmlinuz-{self.release}"

    @property
    def modules(self) -> Path:
        """The folder with modules.dep."""
        return self.folder / "lib/modules" / self.release


def kernel(series: str) -> Kernel:
    """The kernel of `series`, fetched now if it is not in the cache.

    Raises:
        KernelUnavailableError: no mirror that this machine's apt knows has one.
    """
    failed = []
    for source in (_from_own_lists, _newest_in_cache, _from_new_lists):
        try:
            return source(series)
        except (OSError, KernelUnavailableError) as error:
            failed.append(str(error))
    raise KernelUnavailableError(f"no Linux {series} of Debian's: " + "; ".join(failed))


def newest(series: str, names: Sequence[str]) -> str:
    """The highest of the packages among `names` that are of `series`.

    Raises:
        KernelUnavailableError: none is.
    """
    found = [name for name in names if re.fullmatch(SERIES[series], name)]
    if not found:
        raise KernelUnavailableError(f"no package {SERIES[series]}")
    return max(found, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])


def _from_own_lists(series: str) -> Kernel:
    return _from_apt(series, [])


def _newest_in_cache(series: str) -> Kernel:
    return _unpacked(newest(series, [path.name for path in _home().iterdir()]))


def _from_new_lists(series: str) -> Kernel:
    """With package lists of our own, fetched anew: they are gone afterwards."""
    with tempfile.TemporaryDirectory(dir=_home(), prefix=".lists-") as folder:
        lists, sources = Path(folder, "lists"), Path(folder, "sources.list")
        (lists / "partial").mkdir(parents=True)
        options = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={folder}/cache"]
        _run(["apt-get", *options, *_AS_US, "--quiet", "update"])
        try:
            return _from_apt(series, options)
        except KernelUnavailableError:  # this machine's release is another
            shown = _run(["apt-get", *options, "indextargets", "--format", _SHOWN, "Created-By: Packages"])
            sources.write_text("".join(f"{line}\n" for line in release_lines(shown)))
        options += ["-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/dev/null"]
        _run(["apt-get", *options, *_AS_US, "--quiet", "update"])
        return _from_apt(series, options)


_SHOWN = "$(ORIGIN) $(CODENAME) $(REPO_URI)"


def release_lines(shown: str) -> list[str]:
    """Sources of our release on the mirrors that apt has shown as _SHOWN; of Debian's own archives only.

    Raises:
        KernelUnavailableError: none of them is Debian's.
    """
    places = [line.split() for line in shown.splitlines()]
    debian = dict.fromkeys((uri, codename.partition("-")[2]) for origin, codename, uri in places if origin == "Debian")
    wanted = [(uri, pocket) for uri, pocket in debian if pocket in ("", "security")]
    if not wanted:
        raise KernelUnavailableError("apt knows no mirror of Debian's here")
    at = f"deb [arch=amd64 signed-by={KEYRING}]"
    return [f"{at} {uri} {'-'.join(filter(None, (RELEASE, pocket)))} main" for uri, pocket in wanted]


def _from_apt(series: str, options: Sequence[str]) -> Kernel:
    listed = _run(["apt-cache", *options, "search", "--names-only", f"^{SERIES[series]}$"])
    package = newest(series, [line.split()[0] for line in listed.splitlines()])
    folder = _home() / package
    with locked(package):
        if not folder.exists():
            _fetch(package, options, folder)
    return _unpacked(package)


def _fetch(package: str, options: Sequence[str], folder: Path) -> None:
    _say(f"fetching {package} for the tests; only once, some minutes")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{package}-") as scratch:
        _run(["apt-get", *options, *_AS_US, "--quiet", "download", package], at=Path(scratch))
        (archive,) = Path(scratch).glob("*.deb")
        result = Path(scratch, "result")
        _run(["dpkg", "-x", str(archive), str(result)])
        release = package.removeprefix("linux-image-")
        _run([_busybox(), "depmod", "-b", str(result), release])
        result.chmod(0o755)
        result.rename(folder)


_AS_US = ("-o", "APT::Sandbox::User=root")
"""The user _apt, to whom apt changes when root runs it, may not read our cache."""


def _unpacked(package: str) -> Kernel:
    return Kernel(package.removeprefix("linux-image-"), _home() / package)


def _home() -> Path:
    folder = cache() / "kernels"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _busybox() -> str:
    found = shutil.which("busybox")
    if not found:
        raise KernelUnavailableError("busybox is not installed; `make setup` installs busybox-static")
    return found


def _run(command: Sequence[str], at: Path | None = None) -> str:
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, check=False)
    if done.returncode:
        last = " ".join(done.stderr.strip().splitlines()[-3:])
        raise KernelUnavailableError(f"`{command[0]}` failed ({command[-1]}): {last}")
    return done.stdout


def _say(line: str) -> None:
    sys.stderr.write(f"kernels: {line}\n")


def main() -> int:
    """Fetch all; the exit code counts what could not be had."""
    missing = 0
    for series in SERIES:
        try:
            kernel(series)
        except KernelUnavailableError as error:
            missing += 1
            _say(f"not available: {error}")
    return missing


if __name__ == "__main__":
    sys.exit(main())
