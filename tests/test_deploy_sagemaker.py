"""A champion to a SageMaker endpoint: the archive, the stack's update, the example, and the way back.

moto's endpoints are in service at once, and who answers for them is a stand-in: the canary itself, and its alarms, are
SageMaker's, and not tried here.
"""

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deployments import Champions, Cloud, command
from protocol_server import Reply, Request, running

from infra.stacks import StackError
from serving.bundle import Bundle

WHERE = ("target=sagemaker", "project=titanic", "stage=staging", "InstanceType=ml.c5.large")
STACK = "roadmap-staging-serving-sagemaker-titanic"


@pytest.fixture
def answers(aws: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Says which version the endpoint answers with from now on. moto gives the same body the same answer for ever."""
    told = {"name": "titanic", "version": ""}

    def invoked(request: Request, endpoint: str) -> Reply:
        return Reply(200, {"outputs": [{}] * len(request.json()["inputs"]), "model": told})

    with running([("POST", r"/endpoints/(roadmap-staging-titanic)/invocations", invoked)], []) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", address)
        yield lambda version: told.update(version=version)


@pytest.fixture
def deployed(aws: Cloud, store: Champions, answers: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> Cloud:
    """The first version answers, the second is champion."""
    store.promote(store.first)
    answers(store.first)
    code, _, err = command(capsys, *WHERE)
    assert code == 0, err
    store.promote(store.second)
    return aws


def key(aws: Cloud) -> str:
    described = aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    told = {one["ParameterKey"]: one["ParameterValue"] for one in described["Parameters"]}
    return str(told["ModelKey"])


def test_the_archive_is_a_bundle_and_the_same_bytes_each_time(
    deployed: Cloud, store: Champions, tmp_path: Path
) -> None:
    body = deployed.client("s3").get_object(Bucket=deployed.bucket, Key=f"sagemaker/titanic/{store.first}.tar.gz")[
        "Body"
    ]
    archive = tmp_path / "model.tar.gz"
    archive.write_bytes(content := body.read())
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "model", filter="data")
    bundle = Bundle(tmp_path / "model" / "bundle")
    assert bundle.manifest.version == store.first

    from infra.deploy import package

    assert package.packed(package.tar(bundle, "bundle/")) == content


def test_the_stack_gets_the_new_model_and_status_and_rollback_follow(
    deployed: Cloud, store: Champions, answers: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert key(deployed) == f"sagemaker/titanic/{store.first}.tar.gz"
    code, out, err = command(capsys, "plan", *WHERE)
    assert code == 0 and f"model: {store.first} -> {store.second}" in out and "1 x ml.c5.large" in out, err
    answers(store.second)
    code, out, err = command(capsys, *WHERE)
    assert code == 0 and "the endpoint answers its example" in out, err
    assert key(deployed) == f"sagemaker/titanic/{store.second}.tar.gz"
    code, out, err = command(capsys, "rollback", *WHERE)
    assert code == 0 and key(deployed) == f"sagemaker/titanic/{store.first}.tar.gz", err
    assert store.champion() == store.first


def test_an_endpoint_that_fails_the_example_gets_its_old_model_back(
    deployed: Cloud, store: Champions, answers: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    answers(store.first)  # the new model does not answer
    code, out, err = command(capsys, *WHERE)
    assert code != 0 and f"version {store.second} was asked, and version {store.first} gave 2 answers" in err
    assert f"going back to {store.first}" in out and key(deployed) == f"sagemaker/titanic/{store.first}.tar.gz"


def test_an_update_that_sagemaker_takes_back_is_told_with_its_reason(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken_back(*_: object, **__: object) -> list[str]:
        raise StackError(f"{STACK}: UPDATE_ROLLBACK_COMPLETE; Endpoint UPDATE_FAILED: alarm errors went off")

    monkeypatch.setattr("infra.stacks.Stacks.up", taken_back)
    code, _, err = command(capsys, *WHERE)
    assert code == 1 and "alarm errors went off" in err and "the version from before answers" in err
