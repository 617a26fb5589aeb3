"""The manifests of deploy/kustomize, as a real API server takes them and as the agent will find itself in them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import config, probes, resident
from exporter.channel import check_sink
from tests.peers.kube import ApiServer

FOLDER = Path(__file__).parents[2] / "deploy" / "kustomize"


def manifests(folder: Path) -> list[dict[str, Any]]:
    """The objects of a kustomization, in its order."""
    return [
        manifest
        for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        for manifest in yaml.safe_load_all((folder / name).read_text())
    ]


OBJECTS = manifests(FOLDER)
[UNLOAD] = manifests(FOLDER / "unload")
COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/podwitness/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "ConfigMap": "/api/v1/namespaces/podwitness/configmaps",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/podwitness/networkpolicies",
    "DaemonSet": "/apis/apps/v1/namespaces/podwitness/daemonsets",
}
PODS = "/api/v1/namespaces/podwitness/pods"
STRICT = "fieldValidation=Strict"
MIB = 1 << 20


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
def test_what_removes_the_pins_is_taken_too(installed: ApiServer) -> None:
    template = UNLOAD["spec"]["template"]
    pod = {"kind": "Pod", "metadata": template["metadata"] | {"name": "unload"}, "spec": template["spec"]}

    installed.request("POST", f"{COLLECTIONS['DaemonSet']}?dryRun=All&{STRICT}", UNLOAD)
    installed.request(
        "POST", f"{PODS}?dryRun=All&{STRICT}", pod | {"spec": pod["spec"] | {"serviceAccountName": "podwitness"}}
    )


@pytest.mark.peers
def test_the_agent_may_list_pods_and_nothing_else(installed: ApiServer) -> None:
    token = installed.token_of("podwitness", "podwitness")

    installed.request("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1", token=token)
    for path in ("/api/v1/secrets", "/api/v1/nodes", "/api/v1/namespaces", f"{PODS}/agent"):
        installed.request("GET", path, token=token, expect=403)
    installed.request("DELETE", PODS, token=token, expect=403)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> config.Config:
    """Those of the ConfigMap, with what the DaemonSet's environment has for them and nothing else."""
    for variable in agent()["env"]:
        monkeypatch.setenv(variable["name"], f"the-{variable['name'].lower()}")
    return config.parse(one("ConfigMap")["data"]["config.yaml"], where="config.yaml")


def agent() -> dict[str, Any]:
    """The container of the DaemonSet."""
    [container] = one("DaemonSet")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def mounts(container: dict[str, Any], pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Where each volume is, and which: by path in the container."""
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    return {mount["mountPath"]: mount | volumes[mount["name"]] for mount in container["volumeMounts"]}


def test_the_settings_are_those_of_this_agent_and_its_environment_has_what_they_ask_for(
    settings: config.Config,
) -> None:
    mounted = mounts(agent(), one("DaemonSet")["spec"]["template"]["spec"])

    assert settings.kubernetes.node_name == "the-node_name"
    assert settings.kernel.cgroup_root in mounted
    assert Path(agent()["args"][-1]).parent.as_posix() in mounted
    for name, sink in settings.sinks.items():
        check_sink(sink, probes.KINDS, where=name)


def test_pins_and_spool_outlive_the_pod(settings: config.Config) -> None:
    mounted = mounts(agent(), one("DaemonSet")["spec"]["template"]["spec"])

    assert settings.kernel.persist
    pins, spool = mounted[Path(settings.kernel.pin_path).parent.as_posix()], mounted[settings.spool.path]
    assert pins["hostPath"]["path"] == "/sys/fs/bpf", "the host's, where the next pod finds them"
    assert spool["hostPath"]["path"] == settings.spool.path
    assert not any(mount.get("readOnly") for mount in (pins, spool))


def test_the_kubelet_asks_where_the_agent_answers(settings: config.Config) -> None:
    [port] = agent()["ports"]
    assert settings.health
    assert settings.health.host == "the-pod_ip"
    assert port["containerPort"] == settings.health.port
    for probe, path in (("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        assert agent()[probe]["httpGet"] == {"path": path, "port": port["name"]}


def test_the_end_has_the_time_and_the_container_the_memory_that_the_settings_promise(settings: config.Config) -> None:
    pod = one("DaemonSet")["spec"]["template"]["spec"]
    patience = max(sink.queue.shutdown_seconds for sink in settings.sinks.values())
    allowed = int(agent()["resources"]["limits"]["memory"].removesuffix("Mi")) * MIB

    assert pod["terminationGracePeriodSeconds"] > 2 * patience
    assert resident.ceiling(settings.memory.limit_bytes, allowed) == settings.memory.limit_bytes
    assert allowed - settings.memory.limit_bytes >= 64 * MIB


def test_what_removes_the_pins_looks_where_the_agent_puts_them() -> None:
    pod = UNLOAD["spec"]["template"]["spec"]
    [unload] = pod["initContainers"]
    there = mounts(agent(), one("DaemonSet")["spec"]["template"]["spec"])
    mounted = mounts(unload, pod)

    assert all(there[path] == mount for path, mount in mounted.items() if "hostPath" in mount)
    assert unload["args"] == ["unload", *agent()["args"][1:]]
    assert unload["env"] == agent()["env"], "the settings ask for it"
