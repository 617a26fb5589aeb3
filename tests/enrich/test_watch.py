"""What an API server should never send, and the watch goes on all the same.

No real API server can be made to say these things: a small server says them, over real HTTP.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from exporter.config import Kubernetes
from exporter.enrich import kubernetes
from exporter.enrich.kubernetes import PodWatch
from exporter.enrich.pods import PodIndex
from exporter.telemetry import Ledger
from tests.waiting import wait_for


def pod(uid: str, version: object) -> dict[str, Any]:
    return {"metadata": {"name": f"pod-{uid}", "uid": uid, "resourceVersion": version}}


def event(uid: str, version: object, kind: str = "ADDED") -> bytes:
    return json.dumps({"type": kind, "object": pod(uid, version)}).encode() + b"\n"


class Server(ThreadingHTTPServer):
    """Lists `pods` at `version`; a watch from a version in `says` is told that, and then held open."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.pods: list[dict[str, Any]] = []
        self.version = "10"
        self.says: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.ended = threading.Event()


class Answers(BaseHTTPRequestHandler):
    """Lists and watches as the test says."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if "watch" not in query:
            self.server.asked.append("list")
            tree = {"metadata": {"resourceVersion": self.server.version}, "items": self.server.pods}
            self._chunk(json.dumps(tree).encode())
            self._chunk(b"")
            return
        version = query["resourceVersion"][0]
        self.server.asked.append(version)
        if said := self.server.says.get(version):
            self._chunk(said)
        self.server.ended.wait(30)

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.ended.set()
    server.shutdown()
    thread.join()
    server.server_close()


class Watching:
    """A watch of that server."""

    def __init__(self, server: Server, folder: Path) -> None:
        path = folder / "kubeconfig"
        here = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "u", "user": {}}],
        }
        path.write_text(yaml.safe_dump(here))
        self.index, self.ledger = PodIndex(), Ledger()
        watch = PodWatch.open(Kubernetes(kubeconfig=str(path), node_name="n"), self.index, self.ledger)
        assert watch
        self.watch = watch

    def __enter__(self) -> "Watching":
        self.watch.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.watch.close()

    def sees(self, *uids: str) -> None:
        wait_for(lambda: all(map(self.index.by_uid, uids)), f"pods {uids}")


def test_a_pod_that_cannot_be_read_is_counted_and_the_same_watch_goes_on(server: Server, tmp_path: Path) -> None:
    odd = json.dumps({"type": "ADDED", "object": pod("odd", "12") | {"spec": 3}}).encode() + b"\n"
    server.says["10"] = event("1", "11") + odd + event("2", 13) + event("3", "14")

    with Watching(server, tmp_path) as watching:
        watching.sees("1", "3")

    assert watching.index.by_uid("odd") is watching.index.by_uid("2") is None
    assert watching.ledger.noted == {"kubernetes_pod_unreadable": 2}
    assert server.asked == ["list", "10"]
    assert watching.watch._version == "14"


def test_the_version_of_a_pod_that_cannot_be_read_is_taken(server: Server, tmp_path: Path) -> None:
    server.says["10"] = json.dumps({"type": "ADDED", "object": pod("odd", "12") | {"spec": 3}}).encode() + b"\n"

    with Watching(server, tmp_path) as watching:
        wait_for(lambda: watching.watch._version == "12", "the version of the odd pod")


ENORMOUS = b'{"type": "ADDED", "object": "' + b"x" * 3000


@pytest.mark.parametrize(
    "bad",
    [b"not JSON\n", b'{"object": {}}\n', b'{"type": "\xff"}\n', ENORMOUS],
    ids=["no JSON", "no type", "no text", "too long"],
)
def test_a_line_that_would_come_again_for_ever_is_gone_around_by_a_list(
    server: Server, tmp_path: Path, bad: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kubernetes, "LINE_BYTES", 2000)
    caplog.set_level("INFO", "podwitness")
    server.says["10"] = event("1", "11") + bad
    server.says["11"] = bad

    with Watching(server, tmp_path) as watching:
        watching.sees("1")
        server.pods, server.version = [pod("1", "11"), pod("2", "12")], "20"
        server.says["20"] = event("3", "21")
        watching.sees("2", "3")
        wait_for(lambda: caplog.messages[-1:] == ["watching the pods of node n again"], "the recovery is logged")

    assert server.asked == ["list", "10", "11", "list", "20"]
    assert watching.ledger.noted["kubernetes_relist"] == 1
    assert len(caplog.messages) == 2, "lost, and back again"


def test_an_error_in_the_watch_that_stays_leads_to_a_list(server: Server, tmp_path: Path) -> None:
    status = {"kind": "Status", "code": 500, "message": "etcd event received with PrevKv=nil"}
    server.says["10"] = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"

    with Watching(server, tmp_path) as watching:
        wait_for(lambda: server.asked.count("10") == 1, "the watch")
        server.pods, server.version = [pod("1", "12")], "12"
        watching.sees("1")

    assert server.asked[:4] == ["list", "10", "10", "list"]
