"""Shared by the tests of infra.deploy's target lambda."""

import json
from typing import Any

import boto3
import pytest

from tests.support.infra.deployments import Champions, Cloud, recovers

WHERE = ("target=lambda", "project=titanic", "stage=staging")
NAME = "roadmap-staging-titanic"


def answers(aws: Cloud) -> set[str]:
    """The bundles that requests to the alias meet."""
    event: dict[str, Any] = {
        "rawPath": "/models",
        "requestContext": {"http": {"method": "GET", "path": "/models", "sourceIp": "::1"}},
    }
    event |= {"version": "2.0", "headers": {}, "rawQueryString": "", "isBase64Encoded": False}
    api, found = boto3.client("lambda"), set()
    for _ in range(20):
        reply = json.loads(api.invoke(FunctionName=NAME, Qualifier="live", Payload=json.dumps(event))["Payload"].read())
        found |= {one["version"] for one in json.loads(reply["body"])["models"]}
    return found


def unharmed(aws: Cloud, store: Champions, capsys: pytest.CaptureFixture[str]) -> None:
    assert aws.weights() == ("1", {})
    recovers(lambda: answers(aws), store, capsys, WHERE)
