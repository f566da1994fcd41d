"""Failures of a deployment to Lambda: the old version keeps serving, and repeating the command succeeds."""

import subprocess
import sys
from typing import Any

import pytest

from infra.deploy import lock
from tests.standins.aws import stack_changes
from tests.standins.protocol_server import Reply
from tests.support.checkouts import ROOT
from tests.support.infra.deployments import Champions, Cloud, command, deploy_first
from tests.support.infra.lambda_deployments import WHERE, answers, unharmed


@pytest.fixture
def deployed(aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> Cloud:
    return deploy_first(aws, store, capsys, WHERE)


def test_a_failed_creation_does_not_block_the_next(
    aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    store.promote(store.first)
    stack_changes.broken["AWS::Lambda::Function"] = "The image manifest is not supported"
    code, _, err = command(capsys, *WHERE)
    assert code == 2 and "ROLLBACK_COMPLETE; Function CREATE_FAILED: The image manifest is not supported" in err
    assert aws.stack("roadmap-staging-serving-lambda-titanic")["status"] == "ROLLBACK_COMPLETE"
    assert "not supported" in aws.records()[-1]["reason"]
    code, out, _ = command(capsys, "status", *WHERE)
    assert code == 0 and out.startswith("answers: nothing")
    code, out, err = command(capsys, *WHERE)
    assert code == 0, out + err
    assert answers(aws) == {store.first}


def test_a_version_that_fails_its_smoke_test_gets_no_request(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed.functions.broken.add(store.second)
    code, _, err = command(capsys, *WHERE)
    assert code != 0 and "smoke test" in err and "signal: killed" in err
    assert deployed.functions.routed == []
    deployed.functions.broken.clear()
    unharmed(deployed, store, capsys)


def test_an_alarm_rolls_back(deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> None:
    deployed.alarm("roadmap-production-lambda-titanic-errors", "ALARM")  # of the other stage: ignored
    deployed.alarm("roadmap-staging-lambda-titanic-errors", "ALARM")
    code, out, err = command(capsys, *WHERE)
    assert code != 0 and "alarm: roadmap-staging-lambda-titanic-errors" in err and "production" not in err
    assert deployed.functions.routed[-1] == ("1", {}) and "rolled back" in out
    assert deployed.records()[-1]["result"] == "failed" and "alarm" in deployed.records()[-1]["reason"]
    deployed.alarm("roadmap-staging-lambda-titanic-errors", "OK")
    unharmed(deployed, store, capsys)


def test_a_smoke_test_that_fails_after_the_shift_rolls_back(
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
def test_an_interrupted_push_leaves_no_tag_and_is_resumed(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    deployed.registry.breaks.append(what)
    code, _, err = command(capsys, *WHERE)
    assert code == 75 and "503" in err
    assert not [tag for _, tag in deployed.registry.tags if store.second in tag]
    unharmed(deployed, store, capsys)


@pytest.mark.parametrize("point", ["is pushed", "is published", "has 10% of", "has 50% of"])
def test_a_killed_deployment_is_resumed_by_the_next(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], point: str
) -> None:
    """kill -9 of the process: the canary may have traffic, and the lock is left behind."""
    words = [sys.executable, "-u", "-m", "infra.deploy", *WHERE, "bake=2"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    message = []
    for line in process.stdout:
        message.append(line)
        if point in line:
            break
    process.kill()
    process.wait()
    assert point in message[-1], message
    assert answers(deployed) >= {store.first}
    code, out, err = command(capsys, *WHERE)
    assert code == 0, err
    assert ("a rollout was interrupted" in out) == ("has" in point)
    assert answers(deployed) == {store.second} and deployed.weights() == ("2", {})


def test_ctrl_c_rolls_back(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr("infra.deploy.aws.alarms", stopped)
    code, _, err = command(capsys, *WHERE)
    assert code == 130 and "run the same command to resume" in err
    assert deployed.records()[-1]["result"] == "interrupted"
    monkeypatch.undo()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    assert answers(deployed) == {store.first} and deployed.weights() == ("1", {})


def test_a_concurrent_deployment_is_rejected_with_the_holders_name(
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


def test_throttling_is_retried(deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> None:
    deployed.faults += [THROTTLED, THROTTLED]
    code, _, err = command(capsys, *WHERE)
    assert code == 0, err


@pytest.mark.parametrize(
    ("fault", "words"),
    [(QUOTA, "Code storage limit"), (EXPIRED, "have expired; renew them with `aws sso login`")],
    ids=["quota", "expired"],
)
def test_aws_errors_are_one_line(
    deployed: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], fault: Reply, words: str
) -> None:
    deployed.faults.append(fault)
    code, _, err = command(capsys, *WHERE)
    assert code == 2 and words in err and err.count("\n") == 1 and "Traceback" not in err
    unharmed(deployed, store, capsys)
