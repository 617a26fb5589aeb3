"""Certificates for receivers with TLS, made by openssl once a run."""

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Certificates(NamedTuple):
    """A CA, a server certificate for 127.0.0.1, one for another host, and a client's."""

    folder: Path

    @property
    def ca(self) -> str:
        return str(self.folder / "ca.pem")

    def of(self, name: str) -> tuple[str, str]:
        """Certificate and key of `server`, `elsewhere` or `client`."""
        return str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key")

    def server(self, name: str = "server", *, ask_client: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca)
        context.load_cert_chain(*self.of(name))
        context.verify_mode = ssl.CERT_REQUIRED if ask_client else ssl.CERT_NONE
        return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return _made(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def renewed(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The same of another CA: what `certificates` are replaced with."""
    return _made(tmp_path_factory.mktemp("renewed"))


def _made(folder: Path) -> Certificates:
    new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    _openssl(folder, f"{new} -keyout ca.key -out ca.pem -subj /CN=ca -addext keyUsage=critical,keyCertSign,cRLSign")
    names = {"server": "IP:127.0.0.1", "elsewhere": "DNS:elsewhere.example", "client": "DNS:client"}
    for name, alternative in names.items():
        signed = "-CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:FALSE"
        leaf = f"-subj /CN={name} -addext subjectAltName={alternative}"
        _openssl(folder, f"{new} -keyout {name}.key -out {name}.pem {leaf} {signed}")
    return Certificates(folder)


def _openssl(folder: Path, arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments.split()], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
