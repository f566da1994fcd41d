"""Airflow on more than one machine: stages run on any worker, with the results of one."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.support.checkouts import BIN, ROOT, Checkout, environment
from tests.support.cluster import MISSING, PROJECT, Cluster, end, started, wait_for
from tests.support.servers import free_port

pytestmark = [
    pytest.mark.skipif(
        bool(MISSING), reason=f"{', '.join(MISSING)} missing: .venv-airflow, and Debian's redis-server and postgresql"
    ),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, s3_server: str) -> Iterator[Cluster]:
    with started(tmp_path_factory.mktemp("cluster"), s3_server) as found:
        yield found


@pytest.fixture(scope="module")
def first(cluster: Cluster) -> tuple[str, dict[str, Any]]:
    run = cluster.start("roadmap")
    return run, cluster.succeeds("roadmap", run)


@pytest.fixture(scope="module")
def again(cluster: Cluster, first: tuple[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Two concurrent runs of the same stages, by DAG."""
    runs = {dag: cluster.start(dag) for dag in ("roadmap", PROJECT)}
    return {dag: cluster.succeeds(dag, run) for dag, run in runs.items()}


def stages(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The results of the stage tasks."""
    return {task: result for task, result in results.items() if result and "stage" in result}


def by_address(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The same by the stage's address, which is equal in both DAGs."""
    return {result["stage"]: result for result in stages(results).values()}


def outs(entry: dict[str, Any]) -> dict[str, str]:
    return {out["path"]: out["md5"] for out in entry["outs"]}


def test_stages_run_on_both_workers_with_the_same_results(
    cluster: Cluster, first: tuple[str, dict[str, Any]], reproduced: Checkout
) -> None:
    _, results = first
    assert {result["state"] for result in stages(results).values()} == {"ran"}
    assert {cluster.worker(result) for result in stages(results).values()} == {"ada", "ben"}
    alone = yaml.safe_load(reproduced.path("dvc.lock").read_text())["stages"]
    for stage in ("prepare", "report"):
        assert outs(results[f"{PROJECT}.{stage}"]["entry"]) == outs(alone[f"{stage}@{PROJECT}"])
    path = f"artifacts/{PROJECT}/metrics.json"
    metrics = json.loads(reproduced.path(path).read_bytes())["metrics"]
    assert results[f"{PROJECT}.evaluate"]["metrics"][path]["metrics"] == metrics
    folder = Path(results[f"{PROJECT}.train"]["where"].partition(":")[2])
    assert network(folder) == network(reproduced.folder)


def network(root: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in (root / "artifacts" / PROJECT / "bundle").glob("*.onnx")}
    assert found, f"no network in {root}"
    return found


def test_workers_share_the_cache(
    cluster: Cluster, first: tuple[str, dict[str, Any]], again: dict[str, dict[str, Any]]
) -> None:
    before, moved = by_address(first[1]), set()
    for now in map(by_address, again.values()):
        ran = {address for address, result in now.items() if result["state"] == "ran"}
        assert ran - {f"collect@{PROJECT}"} == {"store"}  # `collect` has no run cache
        assert {at: result["lock"] for at, result in now.items()} == {at: one["lock"] for at, one in before.items()}
        moved |= {at for at, result in now.items() if cluster.worker(result) != cluster.worker(before[at])}
    assert moved


def test_the_ui_shows_a_workers_log(cluster: Cluster, first: tuple[str, dict[str, Any]]) -> None:
    run, results = first
    task = next(task for task, result in stages(results).items() if cluster.worker(result) == "ada")
    assert any("dvc repro --single-item" in line for line in cluster.client.log("roadmap", run, task))


def test_a_run_with_overrides_is_one_experiment_across_workers(
    cluster: Cluster, first: tuple[str, dict[str, Any]]
) -> None:
    results = cluster.succeeds(PROJECT, cluster.start(PROJECT, overrides=[f"projects.{PROJECT}.model.lr=0.004"]))
    assert {cluster.worker(result) for result in stages(results).values()} == {"ada", "ben"}
    assert results["prepare"]["state"] == "cached" and results["train"]["state"] == "ran"
    saved = experiment(cluster, results)
    assert saved("params.yaml")["projects"][PROJECT]["model"]["lr"] == 0.004
    assert saved("dvc.lock")["stages"][f"evaluate@{PROJECT}"] == results["evaluate"]["entry"]
    for folder in cluster.folders.values():
        assert Checkout(folder).run("git", "status", "--porcelain").stdout.strip() in ("", "?? dvc.lock")


def experiment(cluster: Cluster, results: dict[str, Any]) -> Callable[[str], Any]:
    """A file of the run's experiment, in the origin of the checkouts."""
    name = results["summary"]["experiment"]
    ref = cluster.origin.run("git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}").stdout.strip()
    assert ref, f"{name} is not in {cluster.origin.folder}"
    return lambda path: yaml.safe_load(cluster.origin.run("git", "show", f"{ref}:{path}").stdout)


def test_concurrent_runs_leave_sound_locks(
    cluster: Cluster, first: tuple[str, dict[str, Any]], again: dict[str, dict[str, Any]]
) -> None:
    files = [cluster.folders[name] / "dvc.lock" for name in cluster.workers]
    locks = [yaml.safe_load(file.read_text())["stages"] for file in files]
    # a machine knows the stages that it ran, and those before them
    known = [lock[f"evaluate@{PROJECT}"] for lock in locks if f"evaluate@{PROJECT}" in lock]
    assert known and all(entry == first[1][f"{PROJECT}.evaluate"]["entry"] for entry in known)


def test_a_dead_workers_stage_is_taken_over(cluster: Cluster, first: tuple[str, dict[str, Any]]) -> None:
    run = cluster.start(PROJECT, overrides=[f"projects.{PROJECT}.model.lr=0.003"])
    victim = wait_for(
        f"train@{PROJECT}", lambda: next(name for name in cluster.workers if trains(cluster.workers[name]))
    )
    end(cluster.workers[victim], signal.SIGKILL)
    results = cluster.succeeds(PROJECT, run)
    other = next(name for name in cluster.workers if name != victim)
    assert cluster.worker(results["train"]) == other and cluster.tries(PROJECT, run, "train") == 2
    saved = experiment(cluster, results)
    assert saved("dvc.lock")["stages"][f"train@{PROJECT}"] == results["train"]["entry"]


def trains(worker: "subprocess.Popen[bytes]") -> bool:
    return any(
        "pipelines.train" in " ".join(one.cmdline()) for one in psutil.Process(worker.pid).children(recursive=True)
    )


def test_an_unreachable_remote_is_a_temporary_failure(clone: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "dags"))
    from dvc_airflow.process import Command, Failed

    clone.run("dvc", "remote", "add", "-q", "--local", "--default", "shared", "s3://airflow/dvc")
    clone.run("dvc", "remote", "modify", "-q", "--local", "shared", "endpointurl", f"http://127.0.0.1:{free_port()}")
    env = environment(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
    command = [str(BIN / "dvc"), "repro", "--single-item", "--pull", "store"]
    with pytest.raises(Failed, match="Could not connect") as failed:
        Command(clone.folder, env, print).run(command)
    assert failed.value.retry
