"""The rendered infra/k8s: Kubernetes' schemas, a policy checker, and our own rules."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from infra.manifests import STAGES, Manifest, ManifestError, serving, training
from tests.support.checkouts import ROOT, environment

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl, which renders infra/k8s")
IMAGE = f"registry.example.org/roadmap/serving@sha256:{'a' * 64}"
PROJECTS = list(yaml.safe_load((ROOT / "params.yaml").read_text())["projects"])
KUBERNETES = ("1.32", "1.37")  # the oldest version with all features used, and the newest with available schemas
NO_SCHEMA = {"HTTPRoute"}  # of Gateway API; checked by test_the_route_*
VERSION, CANARY = "0123456789ab", "ba9876543210"

every_stage = pytest.mark.parametrize("stage", STAGES)


def objects(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


def everything(stage: str) -> list[Manifest]:
    return [
        *serving("mnist", stage, IMAGE, VERSION, CANARY),
        *training("house_prices", stage, IMAGE.replace("serving", "train"), gpu=True),
    ]


def pods(manifests: list[Manifest]) -> list[dict[str, Any]]:
    return [one["spec"]["template"] for one in manifests if one["kind"] in ("Deployment", "Job")]


@pytest.mark.parametrize("kubernetes", KUBERNETES)
@every_stage
def test_manifests_fit_the_kubernetes_schema(stage: str, kubernetes: str) -> None:
    for manifest in everything(stage):
        if manifest["kind"] not in NO_SCHEMA:
            kubernetes_validate.validate(manifest, kubernetes, strict=True)


def test_unknown_fields_are_detected() -> None:
    (policy,) = objects(serving("mnist", "staging", IMAGE, VERSION), "PodDisruptionBudget").values()
    policy["spec"]["maxUnavailble"] = policy["spec"].pop("maxUnavailable")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(policy, KUBERNETES[-1], strict=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None and not (Path(sys.executable).parent / "uv").exists(), reason="needs uv")
def test_policy_checks_pass(tmp_path: Path) -> None:
    for stage in STAGES:
        (tmp_path / f"{stage}.yaml").write_text(yaml.safe_dump_all(everything(stage)))
    done = subprocess.run(
        [ROOT / "infra" / "k8s" / "check.sh", str(tmp_path)], env=environment(), capture_output=True, text=True
    )
    if done.returncode == 75:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr


@every_stage
def test_pods_have_least_privilege(stage: str) -> None:
    manifests = everything(stage)
    (namespace,) = objects(manifests, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for template in pods(manifests):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False and not spec.get("hostNetwork")
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert {"cpu", "memory"} <= set(container["resources"]["limits"])
            assert "@sha256:" in container["image"]
    for account in objects(manifests, "ServiceAccount").values():
        assert account["automountServiceAccountToken"] is False
    assert not objects(manifests, "Role") and not objects(manifests, "Secret")


@every_stage
def test_everything_is_in_the_stages_namespace(stage: str) -> None:
    for manifest in everything(stage):
        if manifest["kind"] == "Namespace":
            assert manifest["metadata"]["name"] == f"roadmap-{stage}"
        else:
            assert manifest["metadata"]["namespace"] == f"roadmap-{stage}"


def test_stages_differ_only_in_replicas_resources_and_hosts() -> None:
    one, other = (serving("mnist", stage, IMAGE, VERSION) for stage in STAGES)
    named = {"minReplicas", "maxReplicas", "requests", "limits", "hostnames", "cidr", "BUNDLES"}
    for left, right in zip(one, other, strict=True):
        assert differing(left, right) <= named | {"namespace", "name"}, left["kind"]


def differing(left: Any, right: Any, at: str = "") -> set[str]:
    """The keys below which they differ."""
    if at in ("requests", "limits", "hostnames"):
        return {at} if left != right else set()
    if isinstance(left, dict) and set(left) == set(right):
        return set().union(*(differing(left[key], right[key], key) for key in left))
    if isinstance(left, list) and len(left) == len(right):
        return set().union(*(differing(a, b, at) for a, b in zip(left, right, strict=True)))
    return {at} if left != right and not names_of_config(left, right) else set()


def names_of_config(left: Any, right: Any) -> bool:
    """Names that end with a hash of the content."""
    return isinstance(left, str) and left[:-11] == right[:-11] and left.startswith("mnist-serving")


def test_another_version_is_another_rollout() -> None:
    before, after = (objects(serving("mnist", "staging", IMAGE, v), "Deployment") for v in (VERSION, CANARY))
    (was,), (is_) = config_of(before["mnist-serving"]), config_of(after["mnist-serving"])
    assert [was] != is_


def config_of(deployment: Manifest) -> list[str]:
    (bundle,) = deployment["spec"]["template"]["spec"]["initContainers"]
    return [s["configMapRef"]["name"] for s in bundle["envFrom"] if not s["configMapRef"].get("optional")]


def test_stable_and_canary_differ_only_in_version() -> None:
    manifests = serving("mnist", "staging", IMAGE, VERSION, CANARY)
    deployments, maps = objects(manifests, "Deployment"), objects(manifests, "ConfigMap")
    for name, version in (("mnist-serving", VERSION), ("mnist-serving-canary", CANARY)):
        (config,) = config_of(deployments[name])
        assert maps[config]["data"]["VERSION"] == version and maps[config]["data"]["PROJECT"] == "mnist"
    stable, canary = (json.dumps(deployments[name]["spec"]["template"], sort_keys=True) for name in sorted(deployments))
    assert deployments["mnist-serving-canary"]["spec"]["replicas"] == 0
    assert "replicas" not in deployments["mnist-serving"]["spec"]  # set by the autoscaler
    for track in ("canary", "stable"):
        stable, canary = stable.replace(track, ""), canary.replace(track, "")
    assert len(stable.replace("-", "")) == pytest.approx(len(canary.replace("-", "")), abs=2)


def test_selectors_find_their_own_pods_and_no_others() -> None:
    manifests = [*serving("mnist", "staging", IMAGE, VERSION), *serving("titanic", "staging", IMAGE, VERSION)]
    labels = {
        name: one["spec"]["template"]["metadata"]["labels"] for name, one in objects(manifests, "Deployment").items()
    }
    assert len(labels) == 4
    for name, service in objects(manifests, "Service").items():
        selected = [pod for pod, has in labels.items() if service["spec"]["selector"].items() <= has.items()]
        assert selected == [name]
    for name, budget in objects(manifests, "PodDisruptionBudget").items():
        wanted = budget["spec"]["selector"]["matchLabels"].items()
        assert [pod for pod, has in labels.items() if wanted <= has.items()] == [name]
    for name, scaler in objects(manifests, "HorizontalPodAutoscaler").items():
        assert scaler["spec"]["scaleTargetRef"]["name"] == name


@pytest.mark.parametrize("project", PROJECTS)
def test_the_route_has_both_services_of_the_project(project: str) -> None:
    manifests = serving(project, "production", IMAGE, VERSION)
    (route,) = objects(manifests, "HTTPRoute").values()
    (rule,) = route["spec"]["rules"]
    services = objects(manifests, "Service")
    assert [one["name"] for one in rule["backendRefs"]] == sorted(services)
    for one in rule["backendRefs"]:
        assert set(one) == {"name", "port", "weight"}
        assert one["port"] in [port["port"] for port in services[one["name"]]["spec"]["ports"]]
    assert [one["weight"] for one in rule["backendRefs"]] == [100, 0]
    assert [one["path"] for one in rule["matches"]] == [
        {"type": "PathPrefix", "value": f"{root}/{project}"} for root in ("/models", "/v2/models")
    ]
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1" and route["spec"]["parentRefs"]
    assert all(len(one["metadata"]["name"]) <= 63 for one in manifests)


@every_stage
def test_network_policies_deny_by_default(stage: str) -> None:
    policies = objects(everything(stage), "NetworkPolicy")
    deny = policies["mnist-default-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, policy in policies.items():
        for way, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(way, []):
                assert rule["ports"] and rule[peers], f"{name} allows everyone"
                assert {} not in rule[peers]
    internet = [p["ipBlock"] for r in policies["mnist-serving"]["spec"]["egress"] for p in r["to"] if "ipBlock" in p]
    assert {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]} in internet  # no access to the node's credentials


def test_a_gpu_is_requested_only_if_configured() -> None:
    plain, gpu = (objects(training("mnist", "staging", IMAGE, gpu=on), "Job")["mnist-training"] for on in (False, True))
    assert "nvidia" not in json.dumps(plain)
    spec = gpu["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "TRAINER", "value": "gpu"} in spec["containers"][0]["env"]


def test_the_command_prints_what_kubectl_applies() -> None:
    command = [sys.executable, "-m", "infra.manifests", "serving", "project=mnist", "stage=staging", f"image={IMAGE}"]
    done = subprocess.run([*command, f"version={VERSION}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and list(yaml.safe_load_all(done.stdout)) == serving("mnist", "staging", IMAGE, VERSION)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "version=" in done.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stage": "prod"}, "stage: found 'prod'; allowed: staging, production"),
        ({"version": "latest"}, "version: found 'latest'"),
        ({"image": "a b"}, "image: found 'a b'"),
        ({"project": "Mnist"}, "project: found 'Mnist'"),
    ],
)
def test_an_invalid_option_is_one_line(changes: dict[str, str], message: str) -> None:
    options = {"project": "mnist", "stage": "staging", "image": IMAGE, "version": VERSION}
    with pytest.raises(ManifestError, match=message):
        serving(**(options | changes))


def test_missing_kubectl_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ManifestError, match="found no kubectl"):
        serving("mnist", "staging", IMAGE, VERSION)
