"""target=k8s against tests/standins/kubernetes_server.py: the real kubectl, bundles in S3, and real servers as pods."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest

import infra.deploy.targets.pods
from infra.deploy.target import DeployError, Options
from infra.deploy.targets import k8s
from roadmap.bundle import MANIFEST, Bundle
from roadmap.io.errors import TEMPORARY
from tests.standins.kubernetes_server import Cluster, kubeconfig, status
from tests.standins.protocol_server import Reply, running
from tests.support import bundles
from tests.support.infra import deployments

pytestmark = [
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl"),
]
BUCKET, SPACE = "roadmap-staging-models", "roadmap-staging"


@dataclass
class World:
    cluster: Cluster
    faults: list[Reply]
    bundles: list[Bundle]
    message: list[str] = field(default_factory=list)

    def target(self, **options: object) -> k8s.K8s:
        given = {"project": "titanic", "stage": "staging", "image": "roadmap/serving:1", "bake": 0.0, **options}
        return k8s.K8s(Options(**given))  # type: ignore[arg-type]

    def roll_out(self, number: int, **options: object) -> None:
        self.target(**options).roll_out(self.bundles[number], self.message.append)

    def versions(self, name: str) -> list[str]:
        """The versions of the pods behind a Service."""
        found = self.cluster.behind(SPACE, name)
        configs = [self.cluster.objects[SPACE, "configmaps", k8s.config_of(pod["spec"])] for pod in found]
        return [one["data"]["VERSION"] for one in configs]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: None) -> Iterator[World]:
    made = []
    for note in ("first", "second"):
        folder = tmp_path / note
        bundles.titanic(folder)
        bundles.another(folder, note)
        made.append(Bundle(folder))
    store = boto3.client("s3")
    store.create_bucket(Bucket=BUCKET)
    for one in store.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        store.delete_object(Bucket=BUCKET, Key=one["Key"])
    cluster, faults = Cluster(tmp_path), list[Reply]()
    monkeypatch.setattr(infra.deploy.targets.pods, "POLL_SECONDS", 0.05)
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path / "cache"))
    with running(cluster.routes, faults) as address:
        (tmp_path / "kubeconfig").write_text(kubeconfig(address))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield World(cluster, faults, made)
        cluster.stop()


def test_the_first_version_gets_all_traffic_and_the_second_steps(world: World) -> None:
    first, second = (one.manifest.version for one in world.bundles)
    assert world.target().serving() is None
    world.roll_out(0)
    assert world.target().serving() == first and world.versions("titanic-serving") == [first]
    assert world.cluster.weights[-1] == [100, 0] and not world.versions("titanic-serving-canary")
    world.cluster.weights.clear()

    world.roll_out(1)
    assert list(world.cluster.weights) == [[90, 10], [50, 50], [0, 100], [100, 0]]
    assert world.target().serving() == second and world.versions("titanic-serving") == [second]
    assert not world.versions("titanic-serving-canary")
    configs = [name for _, kind, name in world.cluster.objects if kind == "configmaps"]
    assert len(configs) == 2  # the pods of the first version are gone
    assert any("10% of the requests" in line for line in world.message)


def test_deploying_the_same_version_changes_nothing(world: World) -> None:
    world.roll_out(0)
    pods = [one["metadata"]["name"] for one in world.cluster.behind(SPACE, "titanic-serving")]
    plan = world.target().plan(world.bundles[0])
    assert plan.changes == ["nothing: this version answers already"]
    world.roll_out(0)
    assert [one["metadata"]["name"] for one in world.cluster.behind(SPACE, "titanic-serving")] == pods


def test_canary_failures_roll_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.roll_out(0)
    world.cluster.weights.clear()

    def failing_now(cluster: object, name: str) -> list[str]:
        for pod in world.cluster.behind(SPACE, name):
            pod["counted"] = 'serving_requests_total{route="/p",project="titanic",status="500"} 20.0\n'
        return infra.deploy.targets.pods.failing(cluster, name)  # type: ignore[arg-type]

    monkeypatch.setattr(k8s, "failing", failing_now)
    with pytest.raises(DeployError, match="server errors"):
        world.roll_out(1)
    assert world.cluster.weights[0] == [90, 10] and world.cluster.weights[-1] == [100, 0]
    assert [50, 50] not in world.cluster.weights
    assert world.versions("titanic-serving") == [world.bundles[0].manifest.version]
    assert not world.versions("titanic-serving-canary")


def test_a_restarted_pod_rolls_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.roll_out(0)

    def restarted(cluster: object, name: str) -> list[str]:
        for pod in world.cluster.behind(SPACE, name):
            pod["status"]["containerStatuses"][0]["restartCount"] = 3
        return infra.deploy.targets.pods.failing(cluster, name)  # type: ignore[arg-type]

    monkeypatch.setattr(k8s, "failing", restarted)
    with pytest.raises(DeployError, match="was restarted, 3 times"):
        world.roll_out(1)
    assert world.target().serving() == world.bundles[0].manifest.version and world.cluster.weights[-1] == [100, 0]


def test_a_swapped_bundle_gets_no_traffic(world: World) -> None:
    world.roll_out(0)
    world.cluster.weights.clear()
    target, (first, second) = world.target(), world.bundles
    for name in [*first.manifest.files, MANIFEST]:  # the first version's files at the second's key
        key = f"{target.key(second.manifest.version)}/{name}"
        target.s3.upload_file(str(first.folder / name), BUCKET, key)
    with pytest.raises(DeployError, match=rf"found version {first.manifest.version}; expected") as error:
        world.roll_out(1)
    assert error.value.code == 1
    assert all(weights == [100, 0] for weights in world.cluster.weights)
    assert world.versions("titanic-serving") == [first.manifest.version]


def test_an_interrupted_deployment_resumes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.roll_out(0)
    target = world.target()
    new = target.wanted(world.bundles[1].manifest.version, target.deployed())
    target.publish(world.bundles[1], print)
    target.start(new, print)
    target.give(new, 0.5, print)  # killed with half of the traffic on the canary
    assert world.target().serving() == world.bundles[0].manifest.version
    world.roll_out(1)
    assert world.target().serving() == new.version and world.cluster.weights[-1] == [100, 0]

    target.roll_back(world.bundles[0].manifest.version, print)
    assert world.versions("titanic-serving") == [world.bundles[0].manifest.version]
    with pytest.raises(DeployError, match="not found; deploy that version again"):
        target.roll_back("0" * 12, print)


def test_the_command_deploys_records_and_rolls_back(
    world: World,
    tmp_path: Path,
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry = deployments.champions(tmp_path / "registry")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.uri)
    where = ("target=k8s", "project=titanic", "stage=staging")
    for version in registry.versions:
        registry.promote(version)
        code, out, err = deployments.command(capsys, *where, "image=roadmap/serving:1")
        assert code == 0, err
        assert f"version {version} answers" in out
    assert world.versions("titanic-serving") == [registry.second]
    code, _, err = deployments.command(capsys, "rollback", *where)
    assert code == 0, err
    assert world.versions("titanic-serving") == [registry.first] and registry.champion() == registry.first
    _, out, _ = deployments.command(capsys, "status", *where)
    assert out.startswith(f"answers: {registry.first}") and f"{registry.first} -> {registry.second}" in out


def test_destroy_keeps_the_namespace_and_the_bundles(world: World) -> None:
    world.roll_out(0)
    message: list[str] = []
    world.target().destroy(message.append)
    assert set(world.cluster.objects) == {("", "namespaces", SPACE)}
    assert message == [f"kept: namespace {SPACE}, s3://{BUCKET}/versions/titanic"]


@pytest.mark.parametrize(
    ("code", "reason", "message", "exit_code"),
    [
        (401, "Unauthorized", "sign in to the cluster", 2),
        (403, "Forbidden", "the deployer's permissions", 2),
        (503, "ServiceUnavailable", "kubectl: ", TEMPORARY),
    ],
)
def test_cluster_errors_are_one_line(world: World, code: int, reason: str, message: str, exit_code: int) -> None:
    world.faults += [status(code, reason, f"{reason}: no")] * 20
    with pytest.raises(DeployError, match=message) as error:
        world.target().serving()
    assert error.value.code == exit_code


def test_missing_cluster_and_missing_image(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="image: missing"):
        world.roll_out(0, image=None)
    (tmp_path / "closed").write_text(kubeconfig("http://127.0.0.1:9"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "closed"))
    with pytest.raises(DeployError, match="refused") as error:
        world.target().serving()
    assert error.value.code == TEMPORARY
