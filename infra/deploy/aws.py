"""boto3's clients, and AWS's refusals in words. boto3 is imported where it is used: its import takes 0.3 s."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from infra.deploy.target import TEMPORARY, USAGE, DeployError

PASSING = {
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
}
QUOTA = {"ResourceLimitExceeded", "LimitExceededException", "LimitExceeded", "ServiceQuotaExceededException"}
EXPIRED = {
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
}
DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


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


@contextmanager
def in_words() -> Iterator[None]:
    """boto3's exceptions as DeployError."""
    from botocore import exceptions as boto

    from infra.templates import StackError

    try:
        yield
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError) as error:
        raise DeployError(f"no AWS credentials ({error}); `aws sso login`, or set AWS_PROFILE") from None
    except boto.NoRegionError:
        raise DeployError("no AWS region; set AWS_REGION or AWS_DEFAULT_REGION, such as eu-central-1") from None
    except (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ReadTimeoutError) as error:
        raise DeployError(f"AWS does not answer: {error}", TEMPORARY) from None
    except boto.ClientError as error:
        code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        what = f"{error.operation_name}: {code}: {said}"
        if code in PASSING:
            raise DeployError(f"{what}; AWS asks for patience, the same command goes on", TEMPORARY) from None
        if code in QUOTA:
            raise DeployError(f"{what}; ask for more in Service Quotas, or free some, and repeat", USAGE) from None
        if code in EXPIRED:
            raise DeployError(f"{what}; the credentials have expired, `aws sso login` renews them") from None
        if code in DENIED:
            raise DeployError(f"{what}; infra/cloudformation/github-oidc.yaml lists what is needed") from None
        raise DeployError(what) from None
    except boto.WaiterError as error:
        raise DeployError(f"{error}; the same command goes on waiting", TEMPORARY) from None
    except StackError as error:
        raise DeployError(str(error)) from None
    except boto.BotoCoreError as error:
        raise DeployError(str(error)) from None


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
