"""What tests of every stage share: the real servers, and the two marks that need more than Python.

A server that this machine cannot have, or a kernel that we may not touch, skips the tests that need
it, each by name and with the reason at the end of the run. CI sets REQUIRE_PEERS=1 and
REQUIRE_KERNEL=1, which make the same a failure.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.absent import absent
from tests.peers import builds
from tests.peers.collector import Collector
from tests.peers.fluent_server import FluentServer, Start
from tests.peers.kube import ApiServer, Etcd
from tests.peers.rotel import Rotel

# No test is about time: a machine may be busy.
settings.register_profile("podwitness", deadline=None)
settings.load_profile("podwitness")


@pytest.fixture(autouse=True)
def _same_directory() -> Iterator[None]:
    """A test that leaves this directory and does not come back fails itself, not those after it."""
    here = Path.cwd()
    yield
    stayed = here.samefile(".")
    os.chdir(here)
    assert stayed, "the test changed the working directory; let it take monkeypatch.chdir()"


@pytest.fixture(scope="session")
def collector_binary() -> Path:
    """The OpenTelemetry Collector."""
    return _peer(builds.collector)


@pytest.fixture
def collector(collector_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A running Collector of this test's own."""
    collector = Collector(collector_binary, tmp_path_factory.mktemp("collector"))
    collector.start()
    yield collector
    collector.stop()


@pytest.fixture
def fluent_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a Forward server that is not the Collector's, as often as the test asks."""
    home, started = _peer(builds.fluent_server), list[FluentServer]()

    def start(*, security: dict[str, Any] | None = None, tls: dict[str, Any] | None = None) -> FluentServer:
        options = {"security": security, "tlsOptions": tls}
        server = FluentServer(home, tmp_path_factory.mktemp("fluent-server"), options)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def rotel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rotel]:
    """A running OTLP receiver that is not the Collector."""
    rotel = Rotel(tmp_path_factory.mktemp("rotel"))
    rotel.start()
    yield rotel
    rotel.stop()


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """A running etcd."""
    etcd = Etcd(_peer(builds.etcd), tmp_path_factory.mktemp("etcd"))
    etcd.start()
    yield etcd
    etcd.stop()


@pytest.fixture(scope="session")
def apiserver(etcd: Etcd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A running kube-apiserver, one for all tests: make objects under names of your own."""
    apiserver = ApiServer(_peer(builds.kube_apiserver), etcd, tmp_path_factory.mktemp("apiserver"))
    apiserver.start()
    yield apiserver
    apiserver.stop()


@pytest.fixture
def anyone() -> Iterator[Path]:
    """A folder of nobody's own, which pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="podwitness-"))
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    yield folder
    shutil.rmtree(folder)


def _peer(build: Callable[[], Path]) -> Path:
    try:
        return build()
    except builds.PeerUnavailableError as error:
        reason = str(error)
    return absent("PEERS", reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests with the mark `kernel` load real BPF programs."""
    if item.get_closest_marker("kernel") is None:
        return
    if os.geteuid() != 0:
        absent("KERNEL", "loading BPF programs needs root")
    if not Path("/sys/kernel/btf/vmlinux").exists():
        absent("KERNEL", "this kernel has no BTF at /sys/kernel/btf/vmlinux")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every skipped test: pytest itself folds them into one line a reason."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section(f"{len(skipped)} not run here")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")
