"""AWS's refusals in one line, and whether they may pass. boto3 is imported by who has used it already."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from roadmap.io.errors import TEMPORARY, USAGE, CommandError

BUSY = {
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "InternalFailure",
    "CapacityError",
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
NEXT = (
    (BUSY, "AWS asks for patience, the same command goes on"),
    (QUOTA, "ask for more in Service Quotas, or free some, and repeat"),
    (EXPIRED, "the credentials have expired, `aws sso login` renews them"),
    (DENIED, "infra/cloudformation/github-oidc.yaml lists what is needed"),
)


@contextmanager
def aws_errors(failed: type[CommandError], temporary: type[CommandError], busy: Collection[str] = ()) -> Iterator[None]:
    """botocore's exceptions as `failed`, or as `temporary` where the same command may succeed later.

    busy: further codes that may pass, such as a limit on what runs at the same time
    """
    from botocore import exceptions as boto

    try:
        yield
    except boto.BotoCoreError as error:
        message, code = _unanswered(error)
    except boto.ClientError as error:
        message, code = refusal(error, busy)
    else:
        return
    raise temporary(message, TEMPORARY) if code == TEMPORARY else failed(message, USAGE)


def refusal(error: Exception, busy: Collection[str] = ()) -> tuple[str, int]:
    """botocore's ClientError -> what AWS said and what to do, and the exit code."""
    said = getattr(error, "response", {}).get("Error", {})
    code = said.get("Code", "")
    what = f"{getattr(error, 'operation_name', 'AWS')}: {code}: {said.get('Message', '')}"
    todo = next((todo for codes, todo in NEXT if code in codes), "")
    return f"{what}; {todo}" if todo else what, TEMPORARY if code in BUSY or code in busy else USAGE


def _unanswered(error: Exception) -> tuple[str, int]:
    from botocore import exceptions as boto

    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError):
        return f"no AWS credentials ({error}); `aws sso login`, or set AWS_PROFILE", USAGE
    if isinstance(error, boto.NoRegionError):
        return "no AWS region; set AWS_REGION or AWS_DEFAULT_REGION, such as eu-central-1", USAGE
    if isinstance(error, boto.EndpointConnectionError | boto.ConnectTimeoutError | boto.ReadTimeoutError):
        return f"AWS does not answer: {error}", TEMPORARY
    if isinstance(error, boto.WaiterError):
        return f"{error}; the same command goes on waiting", TEMPORARY
    return str(error), USAGE
