"""A real kube-apiserver on a real etcd, on the loopback address, with its own certificates.

The `apiserver` fixture of tests/conftest.py starts one a session. There are no controllers and no
kubelet: objects stay as a test makes them, and a test plays the kubelet by patching a pod's status.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
import yaml

from tests.peers.processes import Server, accepts, free_port

TOKEN = "admin-of-the-tests"
MERGE_PATCH = "application/merge-patch+json"


class Etcd:
    """An etcd with one member and its data in `folder`, which is made if need be."""

    def __init__(self, binary: Path, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        client, peer = free_port(), free_port()
        self.url = f"http://127.0.0.1:{client}"
        member = f"http://127.0.0.1:{peer}"
        command = [
            str(binary), f"--data-dir={folder / 'data'}", "--name=tests", "--logger=zap", "--log-level=warn",
            f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={member}", f"--initial-advertise-peer-urls={member}",
            f"--initial-cluster=tests={member}",
        ]  # fmt: skip
        self._server = Server(command, folder / "etcd.log", lambda: accepts(client))
        self.start, self.stop, self.restart = self._server.start, self._server.stop, self._server.restart


class ApiServer:
    """The API server; it keeps its port, certificates and objects over `stop` and `start`.

    `kubeconfig` is a file for the administrator (system:masters) whose token is `token`; `ca` is the
    file that a client trusts.
    """

    def __init__(self, binary: Path, etcd: Etcd, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        port = free_port()
        self.url = f"https://127.0.0.1:{port}"
        self.token = TOKEN
        self.ca = folder / "certificates" / "apiserver.crt"
        self.kubeconfig = folder / "kubeconfig.yaml"
        self._folder = folder
        self._server = Server(self._command(binary, etcd.url, port), folder / "apiserver.log", self._ready)
        self.restart, self.stop = self._server.restart, self._server.stop

    def start(self) -> None:
        self._server.start()
        self.kubeconfig.write_text(yaml.safe_dump(self.kubeconfig_for(self.token)))

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        token: str | None = None,
        expect: int | None = None,
    ) -> dict[str, Any]:
        """One call of the API: the JSON of its answer, whose status must be `expect` or else a success."""
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": content_type}
        with urllib3.PoolManager(ca_certs=str(self.ca), retries=False, timeout=30.0) as http:
            encoded = None if body is None else json.dumps(body).encode()
            answer = http.request(method, self.url + path, body=encoded, headers=headers)
        found: dict[str, Any] = json.loads(answer.data)
        fits = answer.status == expect if expect else answer.status < 300
        assert fits, f"{method} {path}: {answer.status}: {found.get('message', found)}"
        return found

    @contextmanager
    def watch(self, path: str) -> Iterator[Iterator[dict[str, Any]]]:
        """What happens to the objects of `path` after now, one event each, for as long as the block runs."""
        # From the list's version on: a watch from "now" needs a newer etcd than distributions have.
        version = self.request("GET", path)["metadata"]["resourceVersion"]
        url = f"{self.url}{path}{'&' if '?' in path else '?'}watch=1&resourceVersion={version}"
        headers = {"Authorization": f"Bearer {self.token}"}
        with urllib3.PoolManager(ca_certs=str(self.ca), retries=False, timeout=30.0) as http:
            answer = http.request("GET", url, headers=headers, preload_content=False)
            assert answer.status == 200, f"watch {path}: {answer.status}"
            try:
                yield _lines(answer)
            finally:
                answer.close()

    def token_of(self, namespace: str, service_account: str) -> str:
        """A token of this ServiceAccount, as the kubelet would mount it into a pod."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        made = self.request(
            "POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        )
        return str(made["status"]["token"])

    def kubeconfig_for(self, token: str) -> dict[str, Any]:
        """What a kubeconfig file says for the owner of `token`."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
            "clusters": [{"name": "tests", "cluster": {"server": self.url, "certificate-authority": str(self.ca)}}],
            "users": [{"name": "tests", "user": {"token": token}}],
        }

    def _ready(self) -> bool:
        if not self.ca.exists():
            return False
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            with urllib3.PoolManager(ca_certs=str(self.ca), retries=False, timeout=5.0) as http:
                return http.request("GET", f"{self.url}/readyz", headers=headers).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _command(self, binary: Path, etcd: str, port: int) -> list[str]:
        tokens = self._folder / "tokens.csv"
        tokens.write_text(f'{self.token},admin,admin,"system:masters"\n')
        key = self._folder / "service-accounts.key"
        make_key = ["openssl", "ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", str(key)]
        subprocess.run(make_key, check=True, capture_output=True)
        return [
            str(binary), f"--etcd-servers={etcd}", f"--token-auth-file={tokens}", "--authorization-mode=RBAC",
            f"--secure-port={port}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
            # It makes its certificate there at the first start; the file holds its issuer too.
            f"--cert-dir={self.ca.parent}",
            "--service-cluster-ip-range=10.0.0.0/24",
            # Pods without a ServiceAccount, which no controller would make here.
            "--disable-admission-plugins=ServiceAccount",
            f"--service-account-issuer={self.url}", f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
        ]  # fmt: skip


def _lines(answer: urllib3.BaseHTTPResponse) -> Iterator[dict[str, Any]]:
    """The JSON lines of a streamed answer, each as soon as it is whole."""
    rest = b""
    for chunk in answer.stream(65_536):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines if line)
