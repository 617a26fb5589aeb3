"""Readiness and liveness, asked over real sockets, by people, kubelets and those who mean no good."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
import urllib3

from exporter import config
from exporter.errors import ConfigError
from exporter.health import serve
from exporter.vitals import LIVE_SECONDS, Vitals
from tests.peers.processes import free_port
from tests.waiting import wait_for


@contextmanager
def served(vitals: Vitals, host: str = "127.0.0.1") -> Iterator[int]:
    port = free_port()
    end = serve(config.Health(host=host, port=port), vitals, where="config.yaml")
    try:
        yield port
    finally:
        end()


def ask(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    answer = urllib3.request("GET", f"http://{host}:{port}{path}", retries=False, timeout=10)
    return answer.status, answer.data.decode()


def healthy() -> Vitals:
    vitals = Vitals()
    vitals.attach()
    return vitals


def test_an_agent_with_probes_and_a_working_sink_is_ready_and_alive() -> None:
    vitals = healthy()
    vitals.require({"collector": lambda: True})
    with served(vitals) as port:
        assert ask(port, "/readyz") == (200, "ok\n")
        assert ask(port, "/livez") == (200, "ok\n")
        assert ask(port, "/readyz?verbose") == (200, "ok\n")


def test_an_agent_that_is_not_ready_says_why_in_one_line() -> None:
    vitals = Vitals()
    vitals.require({"collector": lambda: False, "loki": lambda: False})
    with served(vitals) as port:
        status, body = ask(port, "/readyz")
        assert status == 503
        assert body.count("\n") == 1
        assert json.loads(body) == ["the probes are not attached", "no required sink delivers: collector, loki"]
        assert ask(port, "/livez") == (200, "ok\n"), "to start it anew would mend nothing"


def test_a_loop_that_does_not_come_round_is_dead_and_one_that_does_again_is_not() -> None:
    vitals = healthy()
    now = time.monotonic()
    vitals.beat(now - LIVE_SECONDS - 7)
    assert vitals.dead(now) == ["the reader's loop has not come round for 37 s"]
    with served(vitals) as port:
        assert ask(port, "/livez")[0] == 503
        vitals.beat(now)
        assert ask(port, "/livez")[0] == 200


def test_a_wrong_path_or_method_gets_one_line_too() -> None:
    with served(healthy()) as port:
        assert ask(port, "/metrics") == (404, "there are /readyz and /livez\n")
        refused = urllib3.request("POST", f"http://127.0.0.1:{port}/readyz", retries=False)
        assert refused.status == 501
        assert refused.data.count(b"\n") == 1
        assert "Python" not in str(refused.headers)


def test_a_port_that_is_taken_refuses_the_start_and_says_what_to_do() -> None:
    with served(healthy()) as port, pytest.raises(ConfigError) as caught:
        serve(config.Health(port=port), Vitals(), where="config.yaml")
    assert str(caught.value).startswith(f"config.yaml: health: cannot listen on 127.0.0.1 port {port}: Address already")
    assert "health.port has to be free" in str(caught.value)


def test_a_host_that_is_not_ours_refuses_the_start() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1 port 7443"):
        serve(config.Health(host="192.0.2.1"), Vitals(), where="config.yaml")


def test_a_host_may_be_an_ipv6_address() -> None:
    with served(healthy(), host="::1") as port:
        assert ask(port, "/readyz", host="[::1]") == (200, "ok\n")


def test_the_port_is_free_again_at_the_end_and_no_thread_stays() -> None:
    before = set(threading.enumerate())
    with served(healthy()) as port:
        ask(port, "/livez")
    wait_for(lambda: set(threading.enumerate()) <= before, "all threads have ended")
    serve(config.Health(port=port), Vitals(), where="")()


def test_who_hangs_on_or_trickles_does_not_keep_others_from_an_answer() -> None:
    """More connections than there are places: those beyond are hung up on, the others after two seconds."""
    with served(healthy()) as port, ExitStack() as opened:
        idle = [opened.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(12)]
        for one in idle:
            one.settimeout(10)

        def answered() -> bool:
            for one in idle[:2]:
                with suppress(OSError):
                    one.send(b"G")  # a byte now and then must not buy more time
            try:
                return ask(port, "/livez") == (200, "ok\n")
            except urllib3.exceptions.HTTPError:
                return False

        wait_for(answered, "a place is free again")
        assert all(ended(one) for one in idle)


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_a_request_without_end_is_cut_off() -> None:
    with served(healthy()) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\n" + b"a: b\r\n" * 600)
        assert connection.recv(100) == b"", "hung up on after two seconds"
    with served(healthy()) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"\0\xff" * 2048)
        assert b" 400 " in connection.recv(100)


def test_who_hangs_up_at_once_is_no_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    with served(healthy()) as port:
        for _ in range(20):
            socket.create_connection(("127.0.0.1", port)).close()
        wait_for(lambda: answers(port), "it answers the next one")
    assert capsys.readouterr().err == ""


def answers(port: int) -> bool:
    try:
        return ask(port, "/livez") == (200, "ok\n")
    except urllib3.exceptions.HTTPError:
        return False
