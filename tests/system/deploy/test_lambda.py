"""A champion to a Lambda function, as a person at a terminal does it, and the days on which that goes wrong."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.deploy import lock
from infra.deploy.targets.alias import Alias
from infra.deploy.targets.aws_lambda import Lambda
from infra.stacks import Stacks
from infra.templates import templates
from tests.standins import stack_changes
from tests.standins.protocol_server import Reply
from tests.support.checkouts import ROOT
from tests.support.deployments import Champions, Cloud, command

WHERE = ("target=lambda", "project=titanic", "stage=staging")
NAME = "roadmap-staging-titanic"


@pytest.fixture
def deployed(aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> Cloud:
    """The first version answers, the second is champion."""
    store.promote(store.first)
    code, _, err = command(capsys, *WHERE)
    assert code == 0, err
    store.promote(store.second)
    return aws


def answers(aws: Cloud) -> set[str]:
    """The bundles that requests to the alias meet."""
    event: dict[str, Any] = {
        "rawPath": "/models",
        "requestContext": {"http": {"method": "GET", "path": "/models", "sourceIp": "::1"}},
    }
    event |= {"version": "2.0", "headers": {}, "rawQueryString": "", "isBase64Encoded": False}
    api, found = boto3.client("lambda"), set()
    for _ in range(20):
        said = json.loads(api.invoke(FunctionName=NAME, Qualifier="live", Payload=json.dumps(event))["Payload"].read())
        found |= {one["version"] for one in json.loads(said["body"])["models"]}
    return found


def records(aws: Cloud) -> list[dict[str, Any]]:
    s3 = aws.client("s3")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=aws.bucket, Prefix="deployments/")["Contents"]]
    return [json.loads(s3.get_object(Bucket=aws.bucket, Key=key)["Body"].read()) for key in sorted(keys)]


def test_the_first_deployment_creates_the_stack_and_answers(
    aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    store.promote(store.first)
    code, out, err = command(capsys, *WHERE)
    assert code == 0, err
    assert f"titanic: version {store.first} answers" in out
    assert answers(aws) == {store.first}


def test_cloudformation_gets_the_role_of_the_stage(
    aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GitHub job may hand a change to CloudFormation, and has not itself the rights that the change takes."""
    monkeypatch.setenv("AWS_STACK_ROLE", role := "arn:aws:iam::123456789012:role/roadmap-staging-stacks")
    store.promote(store.first)
    assert command(capsys, *WHERE)[0] == 0
    found = aws.stacks().describe("roadmap-staging-serving-lambda-titanic")
    assert found and found["RoleARN"] == role


def test_traffic_moves_in_steps_and_the_stack_agrees_at_the_end(
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
    told = {one["ParameterKey"]: one["ParameterValue"] for one in described["Stacks"][0]["Parameters"]}
    assert told["StableVersion"] == "2" and f"-{store.second}-" in told["ImageUri"] and told["CanaryVersion"] == ""
    last = records(deployed)[-1]
    assert (last["from"], last["to"], last["result"]) == (store.first, store.second, "deployed")
    assert last["files"]["model.onnx"] and last["by"] and [one["did"] for one in last["steps"]]


def test_repeating_it_changes_nothing(deployed: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(capsys, *WHERE)[0] == 0
    routed, sent = len(deployed.functions.routed), deployed.registry.sent
    assert command(capsys, *WHERE)[0] == 0
    assert (len(deployed.functions.routed), deployed.registry.sent) == (routed, sent)


def test_rollback_points_to_the_version_before_at_once_and_so_does_the_registry(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    assert command(capsys, *WHERE)[0] == 0
    code, out, err = command(capsys, "rollback", *WHERE)
    assert code == 0, err
    assert answers(deployed) == {store.first}
    assert store.champion() == store.first and "champion is version 1 again (was 2)" in out
    entry = json.loads((elsewhere / "artifacts" / "titanic" / "promotions.jsonl").read_text().splitlines()[-1])
    assert (entry["event"], entry["version"], entry["replaced"]) == ("rollback", "1", "2")
    assert "by a deployment's rollback" in entry["by"]
    code, out, _ = command(capsys, "status", *WHERE)
    assert code == 0 and out.startswith(f"answers: {store.first}") and out.count("deployed") == 3


def test_plan_says_what_would_change_and_what_it_costs_and_changes_nothing(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(records(deployed)), deployed.registry.sent
    code, out, err = command(capsys, "plan", *WHERE, "ProvisionedConcurrency=1", "MemoryMb=2048")
    assert code == 0, err
    assert f"{store.first} -> {store.second}" in out and "steps of 10%, 50%, 100%" in out
    # 2 GB x 730 h x 3,600 s x 0.0000048611 USD kept warm; 1M x (0.2e-6 + 0.02 s x 2 GB x 0.0000166667) asked
    assert "25.55 USD a month  environments kept warm" in out and "0.87 USD a month  1,000,000 requests" in out
    assert (len(records(deployed)), deployed.registry.sent) == before


def test_the_stages_do_not_meet(deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "target=lambda", "project=titanic", "stage=production")
    assert code == 0, err
    assert deployed.weights("roadmap-production-titanic") == ("1", {}) and answers(deployed) == {store.first}


def test_destroy_takes_the_function_away(deployed: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "destroy", *WHERE)
    assert code == 0, err
    with pytest.raises(ClientError, match="does not exist"):
        deployed.client("cloudformation").describe_stacks(StackName="roadmap-staging-serving-lambda-titanic")


WARM = "RequestedProvisionedConcurrentExecutions"


@pytest.fixture
def warm(deployed: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """With two environments kept warm, as the stack has it."""
    monkeypatch.setattr("infra.deploy.targets.alias.LOOK", 0.05)
    deployed.stacks().up(templates()["serving-lambda"], "staging", "titanic", ProvisionedConcurrency="2")
    boto3.client("lambda").put_provisioned_concurrency_config(
        FunctionName=NAME, Qualifier="live", ProvisionedConcurrentExecutions=2
    )
    return deployed


def test_environments_stay_warm_through_a_rollout_and_a_rollback(
    warm: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = command(capsys, *WHERE)
    assert code == 0 and "2 environments of version 2 are warmed" in out, err
    assert warm.weights() == ("2", {}) and answers(warm) == {store.second}
    assert warm.functions.warm[NAME][WARM] == 2 and warm.functions.warm[NAME]["Status"] == "READY"
    assert not warm.functions.cooled, "nobody met a cold start"
    code, _, err = command(capsys, "rollback", *WHERE)
    assert code == 0 and answers(warm) == {store.first}, err
    assert warm.functions.warm[NAME][WARM] == 2 and warm.functions.warm[NAME]["Status"] == "READY"
    assert warm.functions.cooled == 1, "or the bad one is asked until all are warm"


def test_a_version_that_cannot_be_warmed_is_taken_back(
    warm: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    move = Alias.move

    def breaks(self: Alias, version: str, warm_: int, **more: bool) -> None:
        warm.functions.broken = {store.second} if version == "2" else set()
        move(self, version, warm_, **more)

    monkeypatch.setattr(Alias, "move", breaks)
    code, out, err = command(capsys, *WHERE)
    assert code == 1 and "FUNCTION_ERROR_INIT_FAILURE" in err and "gone back" in out
    assert warm.weights() == ("1", {}) and warm.functions.warm[NAME][WARM] == 2
    monkeypatch.setattr(Alias, "move", move)
    unharmed(warm, store, capsys)


def test_a_rollout_that_was_killed_while_it_warmed_is_taken_up(
    warm: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda holds the old version in the alias's weights meanwhile, which looks like a canary that was left behind."""

    def killed(*_: Any, **__: Any) -> None:
        whole = {"FunctionVersion": "2", "RoutingConfig": {"AdditionalVersionWeights": {}}}
        boto3.client("lambda").update_alias(FunctionName=NAME, Name="live", **whole)
        raise SystemExit(9)

    monkeypatch.setattr("tests.standins.lambda_server.WARMING", 3.0)
    with monkeypatch.context() as patch:
        patch.setattr(Lambda, "settle_on", killed)
        with pytest.raises(SystemExit):
            command(capsys, *WHERE)
    assert warm.weights() == ("2", {"1": 1.0}) and answers(warm) == {store.first}
    code, out, err = command(capsys, *WHERE)
    assert code == 0, out + err
    assert warm.weights() == ("2", {}) and answers(warm) == {store.second}
    assert warm.functions.warm[NAME][WARM] == 2


def test_a_first_creation_that_failed_leaves_nothing_in_the_way(
    aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    store.promote(store.first)
    stack_changes.broken["AWS::Lambda::Function"] = "The image manifest is not supported"
    code, _, err = command(capsys, *WHERE)
    assert code == 2 and "ROLLBACK_COMPLETE; Function CREATE_FAILED: The image manifest is not supported" in err
    assert aws.stack("roadmap-staging-serving-lambda-titanic")["status"] == "ROLLBACK_COMPLETE"
    assert "not supported" in records(aws)[-1]["reason"]
    code, out, _ = command(capsys, "status", *WHERE)
    assert code == 0 and out.startswith("answers: nothing")
    code, out, err = command(capsys, *WHERE)
    assert code == 0, out + err
    assert answers(aws) == {store.first}


# ---------------------------------------------------------------- bad days: the old version goes on answering


def unharmed(aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> None:
    """The old version has all requests, and the same command, repeated, ends well."""
    assert answers(aws) == {store.first} and aws.weights() == ("1", {})
    code, _, err = command(capsys, *WHERE)
    assert code == 0, err
    assert answers(aws) == {store.second}


def test_a_version_that_fails_its_example_never_gets_a_request(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.functions.broken.add(store.second)
    code, _, err = command(capsys, *WHERE)
    assert code != 0 and "smoke test" in err and "signal: killed" in err
    assert deployed.functions.routed == []
    deployed.functions.broken.clear()
    unharmed(deployed, store, capsys)


def test_an_alarm_takes_the_traffic_back(deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> None:
    deployed.alarm("roadmap-production-lambda-titanic-errors", "ALARM")  # of the other stage: none of ours
    deployed.alarm("roadmap-staging-lambda-titanic-errors", "ALARM")
    code, out, err = command(capsys, *WHERE)
    assert code != 0 and "alarm: roadmap-staging-lambda-titanic-errors" in err and "production" not in err
    assert deployed.functions.routed[-1] == ("1", {}) and "gone back" in out
    assert records(deployed)[-1]["result"] == "failed" and "alarm" in records(deployed)[-1]["reason"]
    deployed.alarm("roadmap-staging-lambda-titanic-errors", "OK")
    unharmed(deployed, store, capsys)


def test_a_smoke_test_that_fails_after_the_shift_takes_it_back(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    route = deployed.functions.route

    def breaks_with_traffic(*arguments: Any) -> Reply:
        deployed.functions.broken = {store.second} if len(deployed.functions.routed) == 1 else set()
        return route(*arguments)

    deployed.functions.routes[7] = (*deployed.functions.routes[7][:2], breaks_with_traffic)
    code, _, err = command(capsys, *WHERE)
    assert code != 0 and "smoke test" in err
    assert [weights for _, weights in deployed.functions.routed] == [{"2": 0.1}, {"2": 0.5}, {}]
    deployed.functions.routes[7] = (*deployed.functions.routes[7][:2], route)
    deployed.functions.broken.clear()
    unharmed(deployed, store, capsys)


@pytest.mark.parametrize("what", ["blob", "manifest"])
def test_an_interrupted_push_leaves_no_tag_and_is_taken_up(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    deployed.registry.breaks.append(what)
    code, _, err = command(capsys, *WHERE)
    assert code == 75 and "503" in err
    assert not [tag for _, tag in deployed.registry.tags if store.second in tag]
    unharmed(deployed, store, capsys)


@pytest.mark.parametrize("point", ["is pushed", "is published", "has 10% of", "has 50% of"])
def test_a_killed_deployment_is_taken_up_by_the_next(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], point: str
) -> None:
    """kill -9 of a process: a canary may have its share, the lock lies there, nobody cleans up."""
    words = [sys.executable, "-u", "-m", "infra.deploy", *WHERE, "bake=2"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if point in line:
            break
    process.kill()
    process.wait()
    assert point in said[-1], said
    assert answers(deployed) >= {store.first}
    code, out, err = command(capsys, *WHERE)
    assert code == 0, err
    assert ("a rollout was interrupted" in out) == ("has" in point)
    assert answers(deployed) == {store.second} and deployed.weights() == ("2", {})


def test_ctrl_c_gives_the_traffic_back(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr("infra.deploy.aws.alarms", stopped)
    code, _, err = command(capsys, *WHERE)
    assert code == 130 and "the same command goes on" in err
    assert records(deployed)[-1]["result"] == "interrupted"
    monkeypatch.undo()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    assert answers(deployed) == {store.first} and deployed.weights() == ("1", {})


def test_two_at_once_one_is_refused_and_told_who(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    s3, key = deployed.client("s3"), "deployments/lambda/titanic/lock"
    with lock.bucket(s3, deployed.bucket, key, "here"):
        code, _, err = command(capsys, *WHERE)
        assert code == 75 and "has been deploying since" in err and "@" in err
    unharmed(deployed, store, capsys)


THROTTLED = Reply(429, {"Message": "Rate exceeded"}, x_amzn_ErrorType="TooManyRequestsException")
QUOTA = Reply(400, {"message": "Code storage limit exceeded."}, x_amzn_ErrorType="CodeStorageExceededException")
EXPIRED = Reply(403, {"message": "The security token is expired"}, x_amzn_ErrorType="ExpiredTokenException")


def test_throttling_is_waited_out(deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> None:
    deployed.faults += [THROTTLED, THROTTLED]
    code, _, err = command(capsys, *WHERE)
    assert code == 0, err


@pytest.mark.parametrize(
    ("fault", "words"),
    [(QUOTA, "Code storage limit"), (EXPIRED, "have expired, `aws sso login`")],
    ids=["quota", "expired"],
)
def test_what_aws_refuses_is_one_line(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], fault: Reply, words: str
) -> None:
    deployed.faults.append(fault)
    code, _, err = command(capsys, *WHERE)
    assert code == 2 and words in err and err.count("\n") == 1 and "Traceback" not in err
    unharmed(deployed, store, capsys)


@pytest.mark.parametrize(
    ("variable", "words"),
    [("AWS_ACCESS_KEY_ID", "no AWS credentials"), ("AWS_REGION", "no AWS region; set AWS_REGION")],
    ids=["credentials", "region"],
)
def test_what_is_missing_is_named(
    aws: Cloud, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, variable: str, words: str
) -> None:
    for name in (variable, "AWS_SECRET_ACCESS_KEY") if "KEY" in variable else (variable, "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # which remembers
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    code, _, err = command(capsys, *WHERE)
    assert code == 2 and words in err


def test_a_champion_that_is_gone_or_that_nobody_judged_is_refused(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    store.client.delete_registered_model_alias("titanic", "champion")
    code, _, err = command(capsys, *WHERE)
    assert code == 2 and "no champion to deploy" in err and "dvc repro register@titanic" in err
    number = store.versions[store.second]
    store.promote(store.second)
    store.client.delete_model_version_tag("titanic", number, "promoted")
    code, _, err = command(capsys, *WHERE)
    assert code == 2 and "the gate did not give it" in err
    store.client.set_model_version_tag("titanic", number, "promoted", "again")
    code, _, err = command(capsys, *WHERE, f"bundle={store.first}")
    assert code == 2 and f"the champion is version {store.second}, not {store.first}" in err
    unharmed(deployed, store, capsys)


def test_without_the_stage_s_storage_it_says_what_comes_first(aws: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
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
def test_a_wrong_word_is_named_before_anything_is_asked(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    code, _, err = command(capsys, *words)
    assert code == 2 and said in err
