"""boto3's clients. boto3 is imported where it is used: its import takes 0.3 s."""

from typing import Any

from infra.deploy.target import DeployError


def client(service: str, endpoint: str | None = None) -> Any:
    """AWS_ENDPOINT_URL_<SERVICE> may point a single service elsewhere; `endpoint` points all others there."""
    import os

    import boto3
    from botocore.config import Config

    own = os.environ.get(f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}")
    patient = Config(retries={"mode": "adaptive", "max_attempts": 8}, connect_timeout=5, read_timeout=60)
    return boto3.client(service, endpoint_url=own or endpoint, config=patient)


def stacks(endpoint: str | None = None) -> Any:
    """What changes stacks. AWS_STACK_ROLE, a role's ARN, is handed to CloudFormation, which works with its rights."""
    import os

    from infra.stacks import Stacks

    return Stacks(client("cloudformation", endpoint), os.environ.get("AWS_STACK_ROLE") or None)


def alarms(cloudwatch: Any, prefix: str) -> list[str]:
    """The names of a target's alarms that have gone off."""
    found = cloudwatch.describe_alarms(AlarmNamePrefix=prefix, StateValue="ALARM")["MetricAlarms"]
    return sorted(one["AlarmName"] for one in found if one["StateValue"] == "ALARM")


def told(stacks: Any, name: str) -> dict[str, str]:
    """A stack's parameters; none of one that was never whole, of which nothing serves."""
    found = stacks.describe(name)
    if found is None or found["StackStatus"].startswith(("REVIEW_", "CREATE_IN", "CREATE_FAILED", "ROLLBACK_")):
        return {}
    return {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}


def outputs(stacks: Any, name: str) -> dict[str, str]:
    """The outputs of a stack that this one stands on.

    Raises:
        DeployError: the stack is not there.
    """
    found: dict[str, str] = stacks.outputs(name)
    if not found:
        stage, stack = name.split("-")[1:3]
        raise DeployError(f"no stack {name}; `python -m infra.stacks up stack={stack} stage={stage}` comes first")
    return found
