"""AWS errors in one line, and whether a retry may succeed. boto3 is not imported here: callers have."""

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
    (BUSY, "AWS throttles the requests; retry later, the same command resumes"),
    (QUOTA, "a quota is exhausted; raise it in Service Quotas or free resources, then retry"),
    (EXPIRED, "the credentials have expired; renew them with `aws sso login`"),
    (DENIED, "permission denied; infra/cloudformation/github-oidc.yaml lists the permissions needed"),
)


@contextmanager
def aws_errors(failed: type[CommandError], temporary: type[CommandError], busy: Collection[str] = ()) -> Iterator[None]:
    """Converts botocore's exceptions to `failed`, or to `temporary` if a retry may succeed.

    busy: further transient error codes, such as a limit on concurrent jobs
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
    """botocore's ClientError -> message and exit code."""
    response = getattr(error, "response", {}).get("Error", {})
    code = response.get("Code", "")
    what = f"{getattr(error, 'operation_name', 'AWS')}: {code}: {response.get('Message', '')}"
    todo = next((todo for codes, todo in NEXT if code in codes), "")
    return f"{what}; {todo}" if todo else what, TEMPORARY if code in BUSY or code in busy else USAGE


def _unanswered(error: Exception) -> tuple[str, int]:
    from botocore import exceptions as boto

    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError):
        return f"AWS credentials: found none ({error}); run `aws sso login` or set AWS_PROFILE", USAGE
    if isinstance(error, boto.NoRegionError):
        return "AWS region: found none; set AWS_REGION or AWS_DEFAULT_REGION, such as eu-central-1", USAGE
    if isinstance(error, boto.EndpointConnectionError | boto.ConnectTimeoutError | boto.ReadTimeoutError):
        return f"AWS is unreachable: {error}", TEMPORARY
    if isinstance(error, boto.WaiterError):
        return f"{error}; run the same command to continue waiting", TEMPORARY
    return str(error), USAGE
