"""The AWS settings of a training: environment variables, else outputs of the stacks (infra/cloudformation)."""

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from roadmap.io.errors import UsageError


@dataclass(frozen=True)
class JobSettings:
    stage: str
    role: str
    image: str
    bucket: str
    instance: str
    spot: bool
    seconds: int  # of training
    subnets: list[str]
    security_groups: list[str]


@cache
def client(service: str) -> Any:
    """boto3's client of a service, made at run time from its model."""
    import boto3
    from botocore.config import Config

    return boto3.client(service, config=Config(retries={"mode": "standard", "max_attempts": 5}))


def settings(project: str) -> JobSettings:
    """
    Raises:
        UsageError: a setting is missing; the message names the variable and the stack.
    """
    stage = os.environ.get("SAGEMAKER_STAGE", "staging")
    training, storage = f"roadmap-{stage}-training-{project.replace('_', '-')}", f"roadmap-{stage}-storage"
    network = f"roadmap-{stage}-network"

    def value(variable: str, stack: str, key: str, default: str | None = None) -> str:
        found = os.environ.get(variable) or _stack(stack).get(key) or default
        if found is None:
            raise UsageError(f"{variable}: not set, and found no stack {stack} with {key}; set it or deploy the stack")
        return found

    seconds = value("SAGEMAKER_MAX_SECONDS", training, "MaxSeconds", "14400")
    if not seconds.isdecimal() or int(seconds) < 1:
        raise UsageError(f"SAGEMAKER_MAX_SECONDS: found {seconds!r}; expected a number of seconds")
    spot = os.environ.get("SAGEMAKER_SPOT", "1")
    if spot not in ("0", "1"):
        raise UsageError(f"SAGEMAKER_SPOT: found {spot!r}; allowed: 0, 1")
    return JobSettings(
        stage=stage,
        role=value("SAGEMAKER_ROLE", training, "RoleArn"),
        image=value("SAGEMAKER_IMAGE", training, "TrainImage"),
        bucket=value("SAGEMAKER_BUCKET", storage, "ModelsBucket"),
        instance=value("SAGEMAKER_INSTANCE", training, "InstanceType", "ml.m7i.xlarge"),
        spot=spot == "1",
        seconds=int(seconds),
        subnets=[one for one in value("SAGEMAKER_SUBNETS", network, "PrivateSubnets", "").split(",") if one],
        security_groups=[
            one for one in value("SAGEMAKER_SECURITY_GROUPS", network, "TaskSecurityGroup", "").split(",") if one
        ],
    )


@cache
def _stack(name: str) -> dict[str, str]:
    """A stack's parameters and outputs; empty if there is no such stack."""
    from botocore.exceptions import ClientError

    try:
        found = client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return {}
        raise
    values = {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}
    return values | {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}
