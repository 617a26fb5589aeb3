"""The manifests of deploy/kustomize, as a real API server takes them and as the agent will find itself in them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import config
from tests.peers.kube import ApiServer

FOLDER = Path(__file__).parents[2] / "deploy" / "kustomize"
OBJECTS: list[dict[str, Any]] = [
    manifest
    for name in yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    for manifest in yaml.safe_load_all((FOLDER / name).read_text())
]
COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/podwitness/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "ConfigMap": "/api/v1/namespaces/podwitness/configmaps",
    "DaemonSet": "/apis/apps/v1/namespaces/podwitness/daemonsets",
}
PODS = "/api/v1/namespaces/podwitness/pods"
STRICT = "fieldValidation=Strict"


def one(kind: str) -> dict[str, Any]:
    [found] = [manifest for manifest in OBJECTS if manifest["kind"] == kind]
    return found


@pytest.fixture(scope="module")
def installed(apiserver: ApiServer) -> ApiServer:
    """The API server with everything applied, in the order of the kustomization, no unknown field let through."""
    for manifest in OBJECTS:
        path = f"{COLLECTIONS[manifest['kind']]}/{manifest['metadata']['name']}"
        apiserver.request(
            "PATCH",
            f"{path}?fieldManager=tests&{STRICT}",
            manifest,
            content_type="application/apply-patch+yaml",
        )
    return apiserver


@pytest.mark.peers
def test_every_object_is_taken_under_strict_validation(installed: ApiServer) -> None:
    for manifest in OBJECTS:
        path = f"{COLLECTIONS[manifest['kind']]}/{manifest['metadata']['name']}"
        assert installed.request("GET", path)["metadata"]["name"] == manifest["metadata"]["name"]


@pytest.mark.peers
def test_a_misspelt_field_would_be_refused(installed: ApiServer) -> None:
    misspelt = one("DaemonSet") | {"metadata": {"name": "misspelt"}}
    misspelt["spec"] = misspelt["spec"] | {"minReadySecond": 1}

    refused = installed.request("POST", f"{COLLECTIONS['DaemonSet']}?dryRun=All&{STRICT}", misspelt, expect=400)

    assert "minReadySecond" in refused["message"]


@pytest.mark.peers
def test_the_namespace_admits_the_pods_of_the_daemonset_and_an_ordinary_one_does_not(
    installed: ApiServer,
) -> None:
    template = one("DaemonSet")["spec"]["template"]
    pod = {"kind": "Pod", "metadata": template["metadata"] | {"name": "agent"}, "spec": template["spec"]}
    restricted = {"metadata": {"name": "restricted", "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    installed.request("POST", "/api/v1/namespaces", restricted)

    installed.request("POST", f"{PODS}?dryRun=All&{STRICT}", pod)
    refused = installed.request("POST", "/api/v1/namespaces/restricted/pods?dryRun=All", pod, expect=403)

    assert "hostPID" in refused["message"]


@pytest.mark.peers
def test_the_agent_may_list_pods_and_nothing_else(installed: ApiServer) -> None:
    token = installed.token_of("podwitness", "podwitness")

    installed.request("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1", token=token)
    for path in ("/api/v1/secrets", "/api/v1/nodes", "/api/v1/namespaces", f"{PODS}/agent"):
        installed.request("GET", path, token=token, expect=403)
    installed.request("DELETE", PODS, token=token, expect=403)


def test_the_settings_are_those_of_this_agent_and_its_environment_has_what_they_ask_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [container] = one("DaemonSet")["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], f"the-{variable['name'].lower()}")

    settings = config.parse(one("ConfigMap")["data"]["config.yaml"], where="config.yaml")

    assert settings.kubernetes.node_name == "the-node_name"
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert settings.kernel.cgroup_root in mounted
    assert Path(container["args"][-1]).parent.as_posix() in mounted
