"""Which connection the settings ask for, and how a stream becomes lines; no server is needed."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.config import incluster_config

from exporter.config import Kubernetes
from exporter.enrich.apiserver import RefusedError, configure, lines, one_line
from exporter.errors import KubernetesError


@pytest.fixture(autouse=True)
def outside_of_any_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def kubeconfig(folder: Path, **user: object) -> str:
    path = folder / "kubeconfig"
    content = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1:6443", "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_off_and_auto_without_a_cluster_need_none(tmp_path: Path) -> None:
    assert configure(Kubernetes()) is None
    assert configure(Kubernetes(mode="off", kubeconfig=kubeconfig(tmp_path, token="t"))) is None


def test_auto_takes_a_kubeconfig(tmp_path: Path) -> None:
    found = configure(Kubernetes(kubeconfig=kubeconfig(tmp_path, token="t")))

    assert found
    assert found.host == "https://192.0.2.1:6443"


def test_on_outside_of_a_cluster_is_refused_with_what_to_do() -> None:
    with pytest.raises(KubernetesError, match=r"kubernetes\.mode: no service account.*set kubeconfig or mode: off"):
        configure(Kubernetes(mode="on"))


def test_in_a_pod_without_a_token_the_start_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "192.0.2.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))

    with pytest.raises(KubernetesError, match=r"token file does not exist.*let the pod mount"):
        configure(Kubernetes())


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubernetesError, match=r"kubernetes\.kubeconfig: there is no file .*nowhere"):
        configure(Kubernetes(kubeconfig=str(tmp_path / "nowhere")))


@pytest.mark.parametrize(
    "content", ["", "[", "a: b", "- a", "23", "contexts: 23\ncurrent-context: x", "\x00", "clusters: [{}]"]
)
def test_a_broken_kubeconfig_is_our_error_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken"
    path.write_text(content)

    with pytest.raises(KubernetesError, match="broken cannot be used") as error:
        configure(Kubernetes(kubeconfig=str(path)))
    assert "\n" not in str(error.value)


def test_a_context_that_is_not_in_the_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubernetesError, match="elsewhere"):
        configure(Kubernetes(kubeconfig=kubeconfig(tmp_path, token="t"), context="elsewhere"))


def test_an_exec_plugin_that_fails_is_not_taken_for_an_anonymous_user(tmp_path: Path) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/false", "interactiveMode": "Never"}

    with pytest.raises(KubernetesError, match=r"gives no credentials for https.*exec plugin failed"):
        configure(Kubernetes(kubeconfig=kubeconfig(tmp_path, exec=plugin)))


@given(st.lists(st.binary().map(lambda line: line.replace(b"\n", b""))), st.data())
def test_lines_come_out_whole_however_the_stream_is_cut(wanted: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in wanted)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    assert list(lines(chunks, 1 << 20)) == [line for line in wanted if line]


def test_a_line_cut_off_at_the_end_is_not_given_out() -> None:
    assert list(lines([b"one\ntw"], 100)) == [b"one"]


@pytest.mark.parametrize(
    "chunks", [[b"x" * 11], [b"x" * 6, b"x" * 5], [b"x" * 11 + b"\n"], [b"ok\n", b"x" * 9, b"xx\n"]]
)
def test_a_line_over_the_limit_is_refused_before_it_is_gathered(chunks: list[bytes]) -> None:
    with pytest.raises(RefusedError, match="over 10 bytes"):
        list(lines(chunks, 10))


def test_a_line_of_just_the_limit_passes() -> None:
    assert list(lines([b"x" * 4, b"x" * 6 + b"\n", b"y" * 10 + b"\n"], 10)) == [b"x" * 10, b"y" * 10]


def test_foreign_text_stays_on_one_short_line() -> None:
    assert one_line("a\x1b[31m\nb" + "c" * 1000) == "a [31m b" + "c" * 492
