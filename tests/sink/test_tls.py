"""TLS made of files, and made again when they change."""

import logging
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from exporter import config
from exporter.errors import ConfigError
from exporter.sink.tls import Contexts
from tests.sink.conftest import Certificates


class Mounted:
    """CA, certificate and key in a folder, as an agent's settings name them."""

    def __init__(self, folder: Path, now: Certificates) -> None:
        self.ca, self.certificate, self.key = (folder / name for name in ("ca.crt", "tls.crt", "tls.key"))
        self.replace_all(now)
        self.settings = config.Tls(ca_file=str(self.ca), certificate_file=str(self.certificate), key_file=str(self.key))

    def replace_all(self, new: Certificates) -> None:
        for own, source in zip((self.ca, self.certificate, self.key), (new.ca, *new.of("client")), strict=True):
            shutil.copy(source, own)


@pytest.fixture
def mounted(tmp_path: Path, certificates: Certificates) -> Mounted:
    return Mounted(tmp_path, certificates)


def authority(context: ssl.SSLContext) -> str:
    """The serial number of the one CA that is trusted."""
    (found,) = context.get_ca_certs()
    return str(found["serialNumber"])


def test_a_receiver_is_always_verified_and_old_versions_of_tls_are_not_spoken() -> None:
    context, _ = Contexts(config.Tls()).current()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.get_ca_certs(), "the system's CAs"


def test_files_that_stay_the_same_are_read_once(mounted: Mounted) -> None:
    contexts = Contexts(mounted.settings)
    assert contexts.current() == contexts.current()
    assert contexts.current()[1] == 1


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("ca_file", {"ca_file": "missing.pem"}),
        ("ca_file", {"ca_file": "no.pem"}),
        ("key_file", {"key_file": "tls.key"}),
        ("certificate_file", {"certificate_file": "missing.pem", "key_file": "tls.key"}),
        ("certificate_file", {"certificate_file": "tls.crt"}),
        ("certificate_file", {"certificate_file": "tls.crt", "key_file": "other.key"}),
    ],
)
def test_files_that_cannot_be_used_stop_the_start(
    mounted: Mounted, certificates: Certificates, setting: str, names: dict[str, str]
) -> None:
    folder = mounted.ca.parent
    (folder / "no.pem").write_text("not a certificate")
    shutil.copy(certificates.of("server")[1], folder / "other.key")
    with pytest.raises(ConfigError) as caught:
        Contexts(config.Tls(**{name: str(folder / file) for name, file in names.items()}))
    assert caught.value.where == f"tls.{setting}"


def test_an_encrypted_key_stops_the_start_and_asks_nobody(mounted: Mounted) -> None:
    encrypted = f"{mounted.key}.encrypted"
    command = f"openssl pkey -in {mounted.key} -out {encrypted} -aes256 -passout pass:hunter2"
    subprocess.run(command.split(), check=True, capture_output=True)
    with pytest.raises(ConfigError, match=r"tls\.key\.encrypted"):
        Contexts(config.Tls(certificate_file=str(mounted.certificate), key_file=encrypted))


def test_new_files_are_used_from_then_on(mounted: Mounted, renewed: Certificates) -> None:
    contexts = Contexts(mounted.settings)
    before, _ = contexts.current()
    mounted.replace_all(renewed)
    after, generation = contexts.current()
    assert authority(before) != authority(after)
    assert generation == 2
    assert contexts.current() == (after, 2)


def test_a_secret_that_kubernetes_swaps_is_seen(
    tmp_path: Path, certificates: Certificates, renewed: Certificates
) -> None:
    for version, files in (("..1", certificates), ("..2", renewed)):
        (tmp_path / version).mkdir()
        shutil.copy(files.ca, tmp_path / version / "ca.crt")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "ca.crt").symlink_to("..data/ca.crt")
    contexts = Contexts(config.Tls(ca_file=str(tmp_path / "ca.crt")))
    before, _ = contexts.current()
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    after, generation = contexts.current()
    assert (generation, authority(before) != authority(after)) == (2, True)


def test_a_half_written_file_leaves_the_old_in_force_and_is_told_once(
    mounted: Mounted, renewed: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    contexts = Contexts(mounted.settings)
    old = contexts.current()
    whole = Path(renewed.ca).read_bytes()
    for length in (0, 100, 200):
        mounted.ca.write_bytes(whole[:length])
        assert contexts.current() == old
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"tls.ca_file: {mounted.ca} cannot be used" in caplog.text
    mounted.ca.write_bytes(whole)
    assert contexts.current()[1] == 2


def test_a_certificate_waits_for_its_key(mounted: Mounted, renewed: Certificates) -> None:
    contexts = Contexts(mounted.settings)
    old = contexts.current()
    certificate, key = renewed.of("client")
    shutil.copy(certificate, mounted.certificate)
    assert contexts.current() == old
    shutil.copy(key, mounted.key)
    assert contexts.current()[1] == 2


def test_a_file_that_goes_and_comes_back_is_read_again(mounted: Mounted, certificates: Certificates) -> None:
    contexts = Contexts(mounted.settings)
    old = contexts.current()
    mounted.ca.unlink()
    assert contexts.current() == old
    shutil.copy(certificates.ca, mounted.ca)
    assert contexts.current()[1] == 2


def test_a_file_that_was_no_good_is_tried_again_though_it_looks_the_same(
    mounted: Mounted, renewed: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = Contexts(mounted.settings)
    mounted.ca.write_text("half")
    assert contexts.current()[1] == 1
    seen = contexts._version()
    shutil.copy(renewed.ca, mounted.ca)
    monkeypatch.setattr(contexts, "_version", lambda: seen)  # a clock too coarse to tell
    assert contexts.current()[1] == 1, "not with every payload"
    monkeypatch.setattr(contexts, "_again", 0.0)
    assert contexts.current()[1] == 2
