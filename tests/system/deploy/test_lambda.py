"""Deploying a champion to a Lambda function from the command line."""

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from infra.stacks import Stacks
from infra.templates import templates
from tests.support.infra.deployments import Champions, Cloud, command, deploy_first
from tests.support.infra.lambda_deployments import WHERE, answers, unharmed


@pytest.fixture
def deployed(aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> Cloud:
    return deploy_first(aws, store, capsys, WHERE)


def test_the_first_deployment_creates_the_stack_and_serves(
    aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    store.promote(store.first)
    code, out, err = command(capsys, *WHERE)
    assert code == 0, err
    assert f"titanic: version {store.first} answers" in out
    assert answers(aws) == {store.first}


def test_cloudformation_uses_the_role_of_the_stage(
    aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GitHub job passes the change to CloudFormation's role, without having those permissions itself."""
    monkeypatch.setenv("AWS_STACK_ROLE", role := "arn:aws:iam::123456789012:role/roadmap-staging-stacks")
    store.promote(store.first)
    assert command(capsys, *WHERE)[0] == 0
    found = aws.stacks().describe("roadmap-staging-serving-lambda-titanic")
    assert found and found["RoleARN"] == role


def test_traffic_moves_in_steps_and_the_stack_is_updated(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _out, err = command(capsys, *WHERE, "steps=0.05,0.25,0.5")
    assert code == 0, err
    assert [weights for _, weights in deployed.functions.routed] == [
        {"2": 0.05},
        {"2": 0.25},
        {"2": 0.5},
        {"2": 1.0},
        {},
    ]
    assert deployed.weights() == ("2", {}) and answers(deployed) == {store.second}
    described = deployed.client("cloudformation").describe_stacks(StackName="roadmap-staging-serving-lambda-titanic")
    given = {one["ParameterKey"]: one["ParameterValue"] for one in described["Stacks"][0]["Parameters"]}
    assert given["StableVersion"] == "2" and f"-{store.second}-" in given["ImageUri"] and given["CanaryVersion"] == ""
    last = deployed.records()[-1]
    assert (last["from"], last["to"], last["result"]) == (store.first, store.second, "deployed")
    assert last["files"]["model.onnx"] and last["by"] and [one["did"] for one in last["steps"]]


def test_deployments_are_idempotent(deployed: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(capsys, *WHERE)[0] == 0
    routed, sent = len(deployed.functions.routed), deployed.registry.sent
    assert command(capsys, *WHERE)[0] == 0
    assert (len(deployed.functions.routed), deployed.registry.sent) == (routed, sent)


def test_rollback_restores_the_previous_version_and_the_registry(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    assert command(capsys, *WHERE)[0] == 0
    code, out, err = command(capsys, "rollback", *WHERE)
    assert code == 0, err
    assert answers(deployed) == {store.first}
    assert store.champion() == store.first and "champion rolled back from version 2 to 1" in out
    entry = json.loads((elsewhere / "artifacts" / "titanic" / "promotions.jsonl").read_text().splitlines()[-1])
    assert (entry["event"], entry["version"], entry["replaced"]) == ("rollback", "1", "2")
    assert "by a deployment's rollback" in entry["by"]
    code, out, _ = command(capsys, "status", *WHERE)
    assert code == 0 and out.startswith(f"answers: {store.first}") and out.count("deployed") == 3


def test_plan_shows_changes_and_costs_without_changing_anything(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(deployed.records()), deployed.registry.sent
    code, out, err = command(capsys, "plan", *WHERE, "ProvisionedConcurrency=1", "MemoryMb=2048")
    assert code == 0, err
    assert f"{store.first} -> {store.second}" in out and "steps of 10%, 50%, 100%" in out
    # 2 GB x 730 h x 3,600 s x 0.0000048611 USD provisioned; 1M x (0.2e-6 + 0.02 s x 2 GB x 0.0000166667) of requests
    assert "25.55 USD a month  environments kept warm" in out and "0.87 USD a month  1,000,000 requests" in out
    assert (len(deployed.records()), deployed.registry.sent) == before


def test_stages_are_isolated(deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "target=lambda", "project=titanic", "stage=production")
    assert code == 0, err
    assert deployed.weights("roadmap-production-titanic") == ("1", {}) and answers(deployed) == {store.first}


def test_destroy_deletes_the_function(deployed: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "destroy", *WHERE)
    assert code == 0, err
    with pytest.raises(ClientError, match="does not exist"):
        deployed.client("cloudformation").describe_stacks(StackName="roadmap-staging-serving-lambda-titanic")


@pytest.mark.parametrize(
    ("variable", "words"),
    [("AWS_ACCESS_KEY_ID", "AWS credentials: found none"), ("AWS_REGION", "AWS region: found none; set AWS_REGION")],
    ids=["credentials", "region"],
)
def test_missing_fields_are_named(
    aws: Cloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, variable: str, words: str
) -> None:
    for name in (variable, "AWS_SECRET_ACCESS_KEY") if "KEY" in variable else (variable, "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it caches credentials
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    code, _, err = command(capsys, *WHERE)
    assert code == 2 and words in err


def test_a_missing_or_unpromoted_champion_is_rejected(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    store.client.delete_registered_model_alias("titanic", "champion")
    code, _, err = command(capsys, *WHERE)
    assert code == 2 and "found no champion" in err and "dvc repro register@titanic" in err
    number = store.versions[store.second]
    store.promote(store.second)
    store.client.delete_model_version_tag("titanic", number, "promoted")
    code, _, err = command(capsys, *WHERE)
    assert code == 2 and "not promoted by the gate" in err
    store.client.set_model_version_tag("titanic", number, "promoted", "again")
    code, _, err = command(capsys, *WHERE, f"bundle={store.first}")
    assert code == 2 and f"champion: found version {store.second}; expected {store.first}" in err
    unharmed(deployed, store, capsys)


def test_a_missing_storage_stack_is_reported(aws: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    Stacks(aws.client("cloudformation")).down(templates()["storage"], "staging")
    code, _, err = command(capsys, *WHERE)
    assert code == 2 and "python -m infra.stacks up stack=storage stage=staging" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("target=lamda", "project=titanic"),
            "target: found 'lamda'; did you mean 'lambda'? allowed: ",
        ),
        (("target=lambda", "project=titanic", "stage=test"), "stage: found 'test'; allowed: production, staging"),
        (("target=lambda", "project=titanic", "step=0.1"), "step: unknown"),
        (("target=lambda", "project=titanic", "steps=0.5,0.1"), "rising shares"),
    ],
    ids=["target", "stage", "option", "steps"],
)
def test_an_invalid_argument_is_named_before_any_request(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    code, _, err = command(capsys, *words)
    assert code == 2 and said in err
