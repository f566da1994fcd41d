"""Deploying a champion to ECS: bundle, stack, canary, smoke test and rollback; the tasks are real servers on this
machine."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from infra.deploy.targets.ecs import Ecs
from infra.templates import templates
from roadmap.bundle import MANIFEST, Bundle
from tests.standins.aws import stack_changes
from tests.support.checkouts import ROOT
from tests.support.infra.deployments import Champions, Cloud, command, deploy_first, recovers
from tests.support.waiting import until

WHERE = ("target=ecs", "project=titanic", "stage=staging")
STACK = "roadmap-staging-serving-ecs"


@pytest.fixture
def ready(aws: Cloud) -> Cloud:
    """With the network stack, which a service on Fargate needs."""
    aws.stacks().up(templates()["network"], "staging")
    return aws


@pytest.fixture
def deployed(ready: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> Cloud:
    return deploy_first(ready, store, capsys, WHERE)


def answers(aws: Cloud) -> set[str]:
    """The bundles that respond to requests to the load balancer."""
    found = set()
    for _ in range(20):
        with urllib.request.urlopen(f"{aws.containers.balancer}/models", timeout=30) as answer:
            found |= {one["version"] for one in json.load(answer)["models"]}
    return found


def put(aws: Cloud, version: str, folder: Path, *names: str) -> None:
    """Puts files at the key of this version's bundle, so that a deployment uploads nothing."""
    for name in names:
        key = f"bundles/titanic/{version}/{name}"
        aws.client("s3").put_object(Bucket=aws.bucket, Key=key, Body=(folder / name).read_bytes())


def fetched(aws: Cloud, version: str, folder: Path) -> Path:
    folder.mkdir()
    s3 = aws.client("s3")
    for one in s3.list_objects_v2(Bucket=aws.bucket, Prefix=f"bundles/titanic/{version}/")["Contents"]:
        s3.download_file(aws.bucket, one["Key"], str(folder / one["Key"].rpartition("/")[2]))
    return folder


def unharmed(aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> None:
    recovers(lambda: answers(aws), store, capsys, WHERE)


def test_a_plan_of_the_first_deployment_leaves_nothing(
    ready: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    store.promote(store.first)
    code, out, err = command(capsys, "plan", *WHERE)
    assert code == 0 and f"titanic: none -> {store.first}" in out and "Add Service (AWS::ECS::Service)" in out, err
    assert ready.stack(STACK)["status"] == "is not there" and not ready.containers.calls


def test_the_first_deployment_creates_the_stack_and_serves(deployed: Cloud, store: Champions) -> None:
    assert answers(deployed) == {store.first}
    parameters = deployed.stack(STACK)
    assert parameters["status"] == "CREATE_COMPLETE" and parameters["Bundles"].endswith(
        f"/bundles/titanic/{store.first}"
    )
    assert len(deployed.containers.routed) == 1, "nothing to compare with yet"


def test_the_canary_is_tested_before_it_gets_all_requests(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = command(capsys, "plan", *WHERE)
    assert code == 0 and f"titanic: {store.first} -> {store.second}" in out, err
    # 2 x (1 x 0.04048 + 2 x 0.004445) x 730 hours; 0.0225 x 730
    assert "72.08 USD a month  2 tasks of 1 CPU and 2 GB" in out and "16.43 USD a month  load balancer" in out
    code, out, err = command(capsys, *WHERE, "CanaryPercent=25")
    assert code == 0, out + err
    old, new = sorted(deployed.containers.definitions)
    assert deployed.containers.routed == [{old: 1.0}, {old: 0.75, new: 0.25}, {new: 1.0}]
    message = [line for line in out.splitlines() if "new tasks answer" in line or "ECS: SUCCESSFUL" in line]
    assert "new tasks answer the example" in message[0], out
    assert answers(deployed) == {store.second}
    last = deployed.records()[-1]
    assert (last["from"], last["to"], last["result"]) == (store.first, store.second, "deployed")


def test_deployments_are_idempotent_and_rollback_and_status_work(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(capsys, *WHERE)[0] == 0
    deployments = len(deployed.containers.deployments)
    assert command(capsys, *WHERE)[0] == 0
    assert len(deployed.containers.deployments) == deployments
    code, out, err = command(capsys, "rollback", *WHERE)
    assert code == 0, out + err
    assert answers(deployed) == {store.first}
    code, out, _ = command(capsys, "status", *WHERE)
    assert code == 0 and out.startswith(f"answers: {store.first}") and out.count("deployed") == 4


def test_projects_share_a_service_and_the_last_one_deletes_the_stack(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = fetched(deployed, store.first, tmp_path / "other")
    put(deployed, store.first, other, *[one.name for one in other.iterdir()])
    parameters = deployed.stack(STACK)["Bundles"]
    both = f"s3://{deployed.bucket}/bundles/house_prices/0,{parameters}"  # a missing bundle
    deployed.stacks().up(templates()["serving-ecs"], "staging", Bundles=both)
    code, out, err = command(capsys, *WHERE)
    assert code == 0, out + err
    assert deployed.stack(STACK)["Bundles"] == both.replace(store.first, store.second)
    code, _, err = command(capsys, "destroy", "target=ecs", "project=house_prices")
    assert code == 0 and deployed.stack(STACK)["Bundles"] == parameters.replace(store.first, store.second), err
    assert answers(deployed) == {store.second}
    code, _, err = command(capsys, "destroy", *WHERE)
    assert code == 0 and deployed.stack(STACK)["status"] == "is not there", err
    assert not deployed.containers.services


# ---------------------------------------------------------------- bad days: the old version goes on answering


@pytest.mark.parametrize("late", [False, True], ids=["asked at once", "asked when ECS is through with it"])
def test_an_alarm_makes_ecs_roll_back(
    deployed: Cloud,
    store: Champions,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    late: bool,
) -> None:
    smoke = Ecs.smoke

    def ask(self: Ecs, bundle: Bundle, **headers: str) -> None:
        """Late, the old tasks respond: not the error to be reported."""
        if headers and late:
            until(lambda: deployed.containers.deployments[-1].about["status"].startswith("ROLLBACK"), 10)
        smoke(self, bundle, **headers)

    deployed.alarm("roadmap-staging-serving-errors", "ALARM")
    with monkeypatch.context() as patch:
        patch.setattr(Ecs, "smoke", ask)
        code, _, err = command(capsys, *WHERE)
    assert code == 1 and "alarm(s) went off: roadmap-staging-serving-errors" in err and "what was there before" in err
    assert deployed.stack(STACK)["status"] == "UPDATE_ROLLBACK_COMPLETE"
    assert deployed.stack(STACK)["Bundles"].endswith(store.first)
    assert deployed.records()[-1]["result"] == "failed" and "alarm" in deployed.records()[-1]["reason"]
    deployed.alarm("roadmap-staging-serving-errors", "OK")
    unharmed(deployed, store, capsys)


def test_an_unhealthy_task_gets_no_request(
    deployed: Cloud,
    store: Champions,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.standins.aws.ecs.tasks.PATIENCE", 6.0)
    put(deployed, store.second, fetched(deployed, store.first, tmp_path / "first"), MANIFEST)  # without a model
    code, out, err = command(capsys, *WHERE)
    assert code == 1 and "circuit breaker" in err, out + err
    old = min(deployed.containers.definitions)
    assert [shares for shares in deployed.containers.routed if shares != {old: 1.0}] == []
    deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=f"bundles/titanic/{store.second}/{MANIFEST}")
    unharmed(deployed, store, capsys)


def test_a_canary_that_fails_its_smoke_test_is_rolled_back(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first = fetched(deployed, store.first, tmp_path / "first")
    put(deployed, store.second, first, *[one.name for one in first.iterdir()])  # another version's files
    code, out, err = command(capsys, *WHERE, "BakeMinutes=600")
    assert code == 1 and f"of version {store.first}; expected 2 of version {store.second}" in err, out + err
    assert "ECS takes them back" in out
    new = max(deployed.containers.definitions)
    assert all(shares.get(new, 0) < 1 for shares in deployed.containers.routed)
    deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=f"bundles/titanic/{store.second}/{MANIFEST}")
    assert command(capsys, *WHERE, "BakeMinutes=5")[0] == 0
    assert answers(deployed) == {store.second}


def test_a_smoke_test_failure_after_the_shift_rolls_back(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.containers.outages = 1
    code, out, err = command(capsys, *WHERE)
    assert code == 75 and "503" in err and f"going back to {store.first}" in out, out + err
    assert deployed.records()[-1]["result"] == "failed"
    unharmed(deployed, store, capsys)


def test_a_killed_deployment_is_resumed_by_the_next(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    """kill -9 of the process during ECS's deployment: ECS continues, and the next command waits for it."""
    words = [sys.executable, "-u", "-m", "infra.deploy", *WHERE, "BakeMinutes=20"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    message = []
    for line in process.stdout:
        message.append(line)
        if "ECS: IN_PROGRESS" in line:
            break
    process.kill()
    process.wait()
    assert "IN_PROGRESS" in message[-1], message
    code, out, err = command(capsys, *WHERE)
    assert code == 0, out + err
    assert answers(deployed) == {store.second} and len(deployed.containers.deployments) == 2
    code, out, err = command(capsys, "rollback", *WHERE)
    assert code == 0 and answers(deployed) == {store.first}, "the killed one left no record, and yet: " + err


def test_ctrl_c_rolls_back(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = "infra.deploy.targets.ecs.DeploymentFollower.poll"

    def stopped(watch: object) -> None:
        if len(deployed.containers.routed) > 1:  # during the canary
            raise KeyboardInterrupt

    monkeypatch.setattr(look, stopped)
    code, _, err = command(capsys, *WHERE, "BakeMinutes=600")
    assert code == 130 and "run the same command to resume" in err
    assert deployed.records()[-1]["result"] == "interrupted"
    until(lambda: deployed.stack(STACK)["status"] == "UPDATE_ROLLBACK_COMPLETE")
    monkeypatch.undo()
    assert answers(deployed) == {store.first} and deployed.stack(STACK)["Bundles"].endswith(store.first)


def test_a_failed_creation_does_not_block_the_next(
    ready: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.promote(store.first)
    stack_changes.broken["AWS::ECS::Service"] = "Unable to assume the service linked role"
    code, _, err = command(capsys, *WHERE)
    assert (
        code == 1 and "ROLLBACK_COMPLETE; Service CREATE_FAILED: Unable to assume" in err and "nothing answers" in err
    )
    assert ready.stack(STACK)["status"] == "ROLLBACK_COMPLETE"
    assert "Unable to assume" in ready.records()[-1]["reason"]
    code, out, _ = command(capsys, "status", *WHERE)
    assert code == 0 and out.startswith("answers: nothing"), "its parameters have a version that is not served"
    code, out, err = command(capsys, *WHERE)
    assert code == 0, out + err
    assert answers(ready) == {store.first}


def test_concurrent_deployments_take_turns(deployed: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    from infra.deploy import lock

    with lock.bucket(deployed.client("s3"), deployed.bucket, "deployments/ecs/lock", "here"):
        code, _, err = command(capsys, "destroy", "target=ecs", "project=mnist")
    assert code == 75 and "has been deploying since" in err
