"""What a service manager hears, on a real datagram socket in its place."""

import os
import secrets
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from exporter.notify import READY_PATIENCE, Notifier
from exporter.vitals import LIVE_SECONDS, Vitals


class Manager:
    """Stands in for systemd: the other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def heard(self) -> list[str]:
        """The messages since the last call."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["a file", "an abstract name"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = f"@podwitness-{secrets.token_hex(8)}" if request.param == "an abstract name" else str(tmp_path / "notify")
    manager = Manager(name)
    yield manager
    manager.socket.close()


@pytest.fixture
def notifier(manager: Manager) -> Iterator[Notifier]:
    notifier = Notifier(manager.address, watchdog=20.0)
    yield notifier
    notifier.close()


def ready(now: float = 0.0) -> Vitals:
    vitals = Vitals()
    vitals.attach()
    vitals.beat(now)
    return vitals


def test_readiness_is_told_once_with_the_status_and_the_first_sign_of_life(
    manager: Manager, notifier: Notifier
) -> None:
    vitals = ready(100.0)
    notifier.look(vitals, 100.0)
    notifier.look(vitals, 101.0)
    assert manager.heard() == ["READY=1\nSTATUS=ready\nWATCHDOG=1"]


def test_what_is_missing_is_told_as_status_and_readiness_when_it_is_there(manager: Manager, notifier: Notifier) -> None:
    vitals = Vitals()
    vitals.beat(100.0)
    notifier.look(vitals, 100.0)
    vitals.attach()
    notifier.look(vitals, 102.0)
    assert manager.heard() == ["STATUS=not ready: the probes are not attached\nWATCHDOG=1", "READY=1\nSTATUS=ready"]


def test_the_watchdog_is_fed_at_half_its_time_and_only_while_the_loop_comes_round(
    manager: Manager, notifier: Notifier
) -> None:
    vitals = ready()
    for second in range(100, 131):
        vitals.beat(second)
        notifier.look(vitals, second)
    assert len([message for message in manager.heard() if "WATCHDOG=1" in message]) == 4  # at 100, 110, 120, 130
    for second in range(131, 300):
        notifier.look(vitals, second)
    fed = [message for message in manager.heard() if "WATCHDOG=1" in message]
    assert len(fed) == LIVE_SECONDS // 10, "the last beat is old by then"


def test_a_short_watchdog_is_fed_in_time(manager: Manager) -> None:
    notifier, vitals = Notifier(manager.address, watchdog=0.4), ready()
    times = []
    for tick in range(1000, 1100):
        vitals.beat(tick / 100)
        notifier.look(vitals, tick / 100)
        times += [tick / 100 for message in manager.heard() if "WATCHDOG=1" in message]
    assert max(later - earlier for earlier, later in pairwise(times)) <= 0.31
    notifier.close()


def test_without_a_watchdog_none_is_fed(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    notifier.look(ready(100.0), 100.0)
    assert manager.heard() == ["READY=1\nSTATUS=ready"]
    notifier.close()


def test_a_dead_receiver_does_not_keep_the_service_from_having_started(manager: Manager, notifier: Notifier) -> None:
    """It would end, again and again, an agent that collects and spools."""
    vitals = ready(100.0)
    vitals.require({"collector": lambda: False})
    notifier.look(vitals, 100.0)
    assert "READY=1" not in manager.heard()[0]
    notifier.look(vitals, 100.0 + READY_PATIENCE)
    assert "READY=1" in manager.heard()[0]


def test_the_end_is_told_with_the_time_it_may_take(manager: Manager, notifier: Notifier) -> None:
    notifier.stopping(45.0)
    assert manager.heard() == ["STOPPING=1\nSTATUS=sending what is left\nEXTEND_TIMEOUT_USEC=55000000"]


def test_a_manager_that_does_not_listen_holds_up_nothing_and_is_told_later(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    notifier, vitals = Notifier(address, watchdog=20.0), ready(100.0)
    notifier.look(vitals, 100.0)
    manager = Manager(address)
    notifier.look(vitals, 101.0)
    assert manager.heard() == ["READY=1\nSTATUS=ready\nWATCHDOG=1"]
    manager.socket.close()
    notifier.close()


def test_a_manager_that_is_too_slow_holds_up_nothing(manager: Manager, notifier: Notifier) -> None:
    """Its socket's queue is full: the kernel would have us wait."""
    vitals = ready(100.0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        filled = fill(other, manager.address)
        notifier.look(vitals, 100.0)
        assert len(manager.heard()) == filled
    notifier.look(vitals, 101.0)
    assert manager.heard() == ["READY=1\nSTATUS=ready\nWATCHDOG=1"]


def fill(sender: socket.socket, address: str) -> int:
    sent = 0
    while True:
        try:
            sender.sendto(b"X=1", "\0" + address[1:] if address.startswith("@") else address)
        except BlockingIOError:
            return sent
        sent += 1


def test_the_environment_says_whom_to_tell_and_is_kept_from_children(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid()), "A": ""}
    notifier = Notifier.from_environment(environ)
    assert environ == {"A": ""}
    notifier.look(ready(100.0), 100.0)
    assert manager.heard() == ["READY=1\nSTATUS=ready\nWATCHDOG=1"]
    notifier.close()


def test_a_watchdog_for_another_process_is_not_ours(manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}
    notifier = Notifier.from_environment(environ)
    notifier.look(ready(100.0), 100.0)
    assert manager.heard() == ["READY=1\nSTATUS=ready"]
    notifier.close()


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_without_a_service_manager_nothing_happens(address: str) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})
    notifier.look(ready(100.0), 100.0)
    notifier.stopping(5.0)
    notifier.close()
