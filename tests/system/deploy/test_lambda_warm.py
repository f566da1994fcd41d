"""Provisioned concurrency through a rollout and a rollback."""

from typing import Any

import boto3
import pytest

from infra.deploy.targets.alias import Alias
from infra.deploy.targets.aws_lambda import Lambda
from infra.templates import templates
from tests.support.infra.deployments import Champions, Cloud, command, deploy_first
from tests.support.infra.lambda_deployments import NAME, WHERE, answers, unharmed


@pytest.fixture
def deployed(aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> Cloud:
    return deploy_first(aws, store, capsys, WHERE)


WARM = "RequestedProvisionedConcurrentExecutions"


@pytest.fixture
def warm(deployed: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """With a provisioned concurrency of two, set by the stack."""
    monkeypatch.setattr("infra.deploy.targets.alias.POLL_SECONDS", 0.05)
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
    assert not warm.functions.cooled, "a request met a cold start"
    code, _, err = command(capsys, "rollback", *WHERE)
    assert code == 0 and answers(warm) == {store.first}, err
    assert warm.functions.warm[NAME][WARM] == 2 and warm.functions.warm[NAME]["Status"] == "READY"
    assert warm.functions.cooled == 1, "otherwise the bad version serves until all are warm"


def test_a_version_that_cannot_be_warmed_is_rolled_back(
    warm: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    move = Alias.move

    def breaks(self: Alias, version: str, warm_: int, **more: bool) -> None:
        warm.functions.broken = {store.second} if version == "2" else set()
        move(self, version, warm_, **more)

    monkeypatch.setattr(Alias, "move", breaks)
    code, out, err = command(capsys, *WHERE)
    assert code == 1 and "FUNCTION_ERROR_INIT_FAILURE" in err and "rolled back" in out
    assert warm.weights() == ("1", {}) and warm.functions.warm[NAME][WARM] == 2
    monkeypatch.setattr(Alias, "move", move)
    unharmed(warm, store, capsys)


def test_a_rollout_killed_while_warming_is_resumed(
    warm: Cloud, store: Champions, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile Lambda keeps the old version in the alias's weights, which looks like a leftover canary."""

    def killed(*_: Any, **__: Any) -> None:
        whole = {"FunctionVersion": "2", "RoutingConfig": {"AdditionalVersionWeights": {}}}
        boto3.client("lambda").update_alias(FunctionName=NAME, Name="live", **whole)
        raise SystemExit(9)

    monkeypatch.setattr("tests.standins.aws.aws_lambda.server.WARMING", 3.0)
    with monkeypatch.context() as patch:
        patch.setattr(Lambda, "settle_on", killed)
        with pytest.raises(SystemExit):
            command(capsys, *WHERE)
    assert warm.weights() == ("2", {"1": 1.0}) and answers(warm) == {store.first}
    code, out, err = command(capsys, *WHERE)
    assert code == 0, out + err
    assert warm.weights() == ("2", {}) and answers(warm) == {store.second}
    assert warm.functions.warm[NAME][WARM] == 2
