"""boto3's clients. boto3 is imported on use: its import takes 0.3 s."""

from typing import TYPE_CHECKING, Any

from infra.deploy.target import DeployError

if TYPE_CHECKING:
    from infra.stacks import Stacks


def client(service: str, endpoint: str | None = None) -> Any:
    """A boto3 client, whose class is made at run time.

    AWS_ENDPOINT_URL_<SERVICE> overrides the endpoint of one service; `endpoint` that of all others.
    """
    import os

    import boto3
    from botocore.config import Config

    own = os.environ.get(f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}")
    patient = Config(retries={"mode": "adaptive", "max_attempts": 8}, connect_timeout=5, read_timeout=60)
    return boto3.client(service, endpoint_url=own or endpoint, config=patient)


def stacks(endpoint: str | None = None) -> "Stacks":
    """The stacks, changed by CloudFormation with the role in AWS_STACK_ROLE (an ARN), if set."""
    import os

    from infra.stacks import Stacks

    return Stacks(client("cloudformation", endpoint), os.environ.get("AWS_STACK_ROLE") or None)


def alarms(cloudwatch: Any, prefix: str) -> list[str]:
    """The names of a target's firing alarms."""
    found = cloudwatch.describe_alarms(AlarmNamePrefix=prefix, StateValue="ALARM")["MetricAlarms"]
    return sorted(one["AlarmName"] for one in found if one["StateValue"] == "ALARM")


def parameters(stacks: "Stacks", name: str) -> dict[str, str]:
    """A stack's parameters; empty if its creation never completed."""
    found = stacks.describe(name)
    if found is None or found["StackStatus"].startswith(("REVIEW_", "CREATE_IN", "CREATE_FAILED", "ROLLBACK_")):
        return {}
    return {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}


def outputs(stacks: "Stacks", name: str) -> dict[str, str]:
    """The outputs of a stack that this one depends on.

    Raises:
        DeployError: the stack does not exist.
    """
    found = stacks.outputs(name)
    if not found:
        stage, stack = name.split("-")[1:3]
        raise DeployError(f"found no stack {name}; run `python -m infra.stacks up stack={stack} stage={stage}` first")
    return found
