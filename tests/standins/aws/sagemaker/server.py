"""SageMaker's API on this machine: endpoints with canaries and rollbacks, training jobs that actually train.

    with sagemaker(tmp_path, moto_address) as aws:            # S3, CloudWatch and logs are moto's
        api = boto3.client("sagemaker", endpoint_url=aws.address)
        runtime = boto3.client("sagemaker-runtime", endpoint_url=aws.address)
        aws.fail("CreateTrainingJob", "ThrottlingException", times=2)      # faults, in front of an operation
        aws.endpoints.containers["s3://.../model.tar.gz"] = answer         # answer(body: bytes) -> bytes, raises: 5xx
        aws.endpoints.broken_updates = 1                                   # the next update fails halfway
        aws.jobs.interrupt(name)                                           # the spot instance is reclaimed

Requests are validated against botocore's model of the service, patterns and lengths included. A second of SageMaker's
takes `scale` seconds here. Unless a container is given, a model is the real
server, `python -m serving.entrypoints.sagemaker
serve`, on the archive in S3. DescribeAlarms and SetAlarmState are moto's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.standins.aws.json_protocol import Service, ServiceError
from tests.standins.aws.sagemaker.endpoints import Endpoints
from tests.standins.aws.sagemaker.jobs import Jobs
from tests.standins.protocol_server import Route, running


class SageMaker(Service):
    def __init__(self, scratch: Path, moto: str, scale: float) -> None:
        super().__init__("sagemaker")
        self.tags: dict[str, dict[str, str]] = {}  # by ARN
        self.endpoints = Endpoints(scratch, moto, scale, self.lock)
        self.jobs = Jobs(scratch, moto, scale, self.lock)

    @property
    def parts(self) -> tuple[Any, ...]:
        return self, self.endpoints, self.jobs

    def error(self, operation: str, error: Exception) -> ServiceError:
        if isinstance(error, KeyError):
            return ServiceError(self.invalid, f"Could not find {error.args[0]}")
        taken = isinstance(error, FileExistsError) and operation == "CreateTrainingJob"
        return ServiceError("ResourceInUse" if taken else self.invalid, str(error))

    def made(self, operation: str, given: dict[str, Any], answer: Any) -> None:
        if operation.startswith("Create"):
            arn = next(value for key, value in answer.items() if key.endswith("Arn"))
            self.tags[arn] = {one["Key"]: one["Value"] for one in given.get("Tags", [])}

    def add_tags(self, ResourceArn: str, Tags: list[dict[str, str]]) -> dict[str, Any]:
        self.tags.setdefault(ResourceArn, {}).update({one["Key"]: one["Value"] for one in Tags})
        return self.list_tags(ResourceArn)

    def list_tags(self, ResourceArn: str) -> dict[str, Any]:
        return {"Tags": [{"Key": key, "Value": value} for key, value in self.tags.get(ResourceArn, {}).items()]}


@contextmanager
def sagemaker(scratch: Path, moto: str, scale: float = 0.01) -> Iterator[SageMaker]:
    server = SageMaker(scratch, moto, scale)
    routes: list[Route] = [
        ("POST", "/", server.call),
        ("POST", r"/endpoints/([\w-]+)/invocations", server.endpoints.invoke),
    ]
    with running(routes, []) as server.address:
        try:
            yield server
        finally:
            server.jobs.close()
            server.endpoints.close()
