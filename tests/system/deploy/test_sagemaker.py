"""Deploying a champion to a SageMaker endpoint: archive, canary, alarms, smoke test and rollback.

SageMaker is tests/standins/aws/sagemaker/server.py, whose models are real servers on archives in S3; CloudFormation is
moto's with tests/standins/aws/providers.py, so that updating a stack updates its endpoint.
"""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.deploy import package
from roadmap.bundle import Bundle
from tests.standins.aws import stack_changes
from tests.standins.aws.front import front
from tests.support.checkouts import ROOT
from tests.support.infra.deployments import Champions, Cloud, command, deploy_first, recovers
from tests.support.waiting import until

WHERE = ("target=sagemaker", "project=titanic", "stage=staging")
STACK = "roadmap-staging-serving-sagemaker-titanic"
NAME = "roadmap-staging-titanic"


@pytest.fixture
def deployed(aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> Cloud:
    return deploy_first(aws, store, capsys, WHERE)


def answers(aws: Cloud) -> set[str]:
    """The bundles that respond to requests to the endpoint."""
    runtime, found = boto3.client("sagemaker-runtime"), set()
    body = json.dumps({"inputs": [{"class": "first", "sex": "female", "age": "adult"}]})
    for _ in range(10):
        try:
            answer = runtime.invoke_endpoint(EndpointName=NAME, ContentType="application/json", Body=body)
            found.add(json.loads(answer["Body"].read())["model"]["version"])
        except runtime.exceptions.ModelError as error:
            found.add(str(error))
    return found


def key(version: str) -> str:
    return f"sagemaker/titanic/{version}.tar.gz"


def served(aws: Cloud) -> str:
    return aws.stack(STACK)["ModelKey"]


def unharmed(aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> None:
    assert served(aws) == key(store.first)
    recovers(lambda: answers(aws), store, capsys, WHERE)
    assert served(aws) == key(store.second)


def test_one_endpoint_for_all_aws_services_is_enough(aws: Cloud, store: Champions) -> None:
    """The plain command: first creation and canary."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_ENDPOINT_URL")}

    def deploy(endpoint: str) -> str:
        words = [sys.executable, "-m", "infra.deploy", *WHERE, f"endpoint={endpoint}"]
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    with front({"sagemaker": aws.endpoints.address}, aws.address) as endpoint:
        store.promote(store.first)
        assert "the endpoint answers its example" in deploy(endpoint)
        store.promote(store.second)
        assert f"titanic: version {store.second} answers" in deploy(endpoint)
    assert answers(aws) == {store.second}
    shares = [[share for _, share in fleets] for _, fleets in aws.endpoints.endpoints.routed]
    assert shares == [[1.0], [0.9, 0.1], [1.0]]
    assert [one["result"] for one in aws.records()] == ["deployed", "deployed"]


def test_the_archive_is_a_reproducible_bundle(deployed: Cloud, store: Champions, tmp_path: Path) -> None:
    body = deployed.client("s3").get_object(Bucket=deployed.bucket, Key=key(store.first))["Body"]
    archive = tmp_path / "model.tar.gz"
    archive.write_bytes(content := body.read())
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "model", filter="data")
    bundle = Bundle(tmp_path / "model" / "bundle")
    assert bundle.manifest.version == store.first
    assert package.packed(package.tar(bundle, "bundle/")) == content


def test_plan_deploy_status_and_rollback(deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(capsys, "plan", *WHERE)
    assert code == 0 and f"model: {store.first} -> {store.second}" in out and "1 x ml.c7i.large" in out, err
    code, out, err = command(capsys, *WHERE, "BakeSeconds=600")
    assert code == 0 and "endpoint Updating: Baking" in out and "the endpoint answers its example" in out, out + err
    assert served(deployed) == key(store.second) and answers(deployed) == {store.second}
    code, _, err = command(capsys, "rollback", *WHERE)
    assert code == 0 and answers(deployed) == {store.first}, err
    assert store.champion() == store.first
    code, out, _ = command(capsys, "status", *WHERE)
    assert code == 0 and out.startswith(f"answers: {store.first}") and out.count("deployed") == 3


def test_destroy_deletes_the_endpoint(deployed: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "destroy", *WHERE)
    assert code == 0 and deployed.stack(STACK)["status"] == "is not there", err
    assert not deployed.endpoints.endpoints.endpoints and not deployed.endpoints.endpoints.models


# ---------------------------------------------------------------- bad days: the old version goes on answering


@pytest.mark.parametrize("what", ["alarm", "capacity"])
def test_a_sagemaker_rollback_is_reported_with_its_reason(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    if what == "alarm":
        deployed.alarm("roadmap-staging-sagemaker-titanic-errors", "ALARM")
    else:
        deployed.endpoints.endpoints.broken_updates = 1
    code, _, err = command(capsys, *WHERE)
    wanted = {"alarm": "in alarm state: roadmap-staging-sagemaker-titanic-errors", "capacity": "Not enough capacity"}
    assert code == 1 and wanted[what] in err and "the version from before answers" in err
    assert deployed.stack(STACK)["status"] == "UPDATE_ROLLBACK_COMPLETE"
    last = deployed.records()[-1]
    assert last["result"] == "failed" and wanted[what] in last["reason"]
    assert (last["from"], last["to"]) == (store.first, store.second)
    if what == "alarm":
        deployed.alarm("roadmap-staging-sagemaker-titanic-errors", "OK")
    unharmed(deployed, store, capsys)


def put(aws: Cloud, version: str, content: bytes) -> None:
    """Puts an archive at the key of this version, so that a deployment uploads nothing."""
    aws.client("s3").put_object(Bucket=aws.bucket, Key=key(version), Body=content)


def test_a_model_that_does_not_start_gets_no_request(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    routed = len(deployed.endpoints.endpoints.routed)
    put(deployed, store.second, package.packed(b"\0" * 10240))  # an empty archive
    code, _, err = command(capsys, *WHERE)
    assert code == 1 and "did not pass the ping health check" in err
    shares = [shares for _, shares in deployed.endpoints.endpoints.routed[routed:]]
    assert all(len(one) == 1 for one in shares), "a request reached it"
    deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=key(store.second))
    unharmed(deployed, store, capsys)


def test_an_endpoint_that_fails_its_smoke_test_is_rolled_back(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    first = deployed.client("s3").get_object(Bucket=deployed.bucket, Key=key(store.first))["Body"].read()
    put(deployed, store.second, first)  # another version under its name
    code, out, err = command(capsys, *WHERE)
    assert code == 2 and f"found 2 outputs of version {store.first}; expected 2 of version {store.second}" in err
    assert f"going back to {store.first}" in out and served(deployed) == key(store.first)
    assert deployed.records()[-1]["result"] == "failed" and answers(deployed) == {store.first}


def test_ctrl_c_restores_the_old_model(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_: Any) -> None:
        if len(deployed.endpoints.endpoints.routed) > 1:  # during the canary
            raise KeyboardInterrupt

    monkeypatch.setattr("infra.deploy.targets.sagemaker.EndpointFollower.poll", stopped)
    code, _, err = command(capsys, *WHERE)
    assert code == 130 and "run the same command to resume" in err
    assert deployed.records()[-1]["result"] == "interrupted"
    until(lambda: deployed.stack(STACK)["status"] == "UPDATE_ROLLBACK_COMPLETE")
    monkeypatch.setattr("infra.deploy.targets.sagemaker.EndpointFollower.poll", lambda _: None)
    unharmed(deployed, store, capsys)


def test_a_failed_creation_does_not_block_the_next(
    aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    store.promote(store.first)
    stack_changes.broken["AWS::SageMaker::Endpoint"] = "The account-level service limit 'ml.c7i.large' is 0 Instances"
    code, _, err = command(capsys, *WHERE)
    assert code == 1 and "ROLLBACK_COMPLETE; Endpoint CREATE_FAILED: The account-level" in err
    assert "nothing answers" in err and aws.records()[-1]["reason"] in err
    code, out, _ = command(capsys, "status", *WHERE)
    assert code == 0 and out.startswith("answers: nothing"), "its parameters have a version that is not served"
    code, out, err = command(capsys, *WHERE)
    assert code == 0, out + err
    assert answers(aws) == {store.first}
