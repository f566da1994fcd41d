"""SageMaker's API on this machine: endpoints with canaries and rollbacks, training jobs that really train.

    with sagemaker(tmp_path, moto_address) as aws:            # S3, CloudWatch and logs are moto's
        api = boto3.client("sagemaker", endpoint_url=aws.address)
        runtime = boto3.client("sagemaker-runtime", endpoint_url=aws.address)
        aws.fail("CreateTrainingJob", "ThrottlingException", times=2)      # faults, in front of an operation
        aws.endpoints.containers["s3://.../model.tar.gz"] = answer         # answer(body: bytes) -> bytes, raises: 5xx
        aws.endpoints.broken_updates = 1                                   # the next update fails half way
        aws.jobs.interrupt(name)                                           # the spot instance is taken away

Requests are held against botocore's model of the service, patterns and lengths included. A second of SageMaker's takes
`scale` seconds here. Where no container was named, a model is the real server, `python -m serving.sagemaker serve`, on
the archive in S3. DescribeAlarms and SetAlarmState are moto's.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
from botocore.validate import ParamValidator
from protocol_server import Reply, Request, running
from sagemaker_endpoints import Endpoints
from sagemaker_jobs import Jobs

JAVA = {"L": r"\w", "N": r"\d", "Z": r"\s"}  # classes of characters that Python has no word for


class ServiceError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SageMaker:
    def __init__(self, scratch: Path, moto: str, scale: float) -> None:
        self.address = ""
        self.model = botocore.session.get_session().get_service_model("sagemaker")
        self.faults: dict[str, list[tuple[str, str]]] = {}  # operation, or * -> what it is answered with
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.tags: dict[str, dict[str, str]] = {}
        self.lock = threading.RLock()
        self.endpoints = Endpoints(scratch, moto, scale, self.lock)
        self.jobs = Jobs(scratch, moto, scale, self.lock)

    def fail(self, operation: str, code: str, message: str = "the test says so", times: int = 1) -> None:
        self.faults.setdefault(operation, []).extend([(code, message)] * times)

    def count(self, operation: str) -> int:
        return sum(name == operation for name, _ in self.calls)

    def call(self, request: Request) -> Reply:
        operation = request.headers["X-Amz-Target"].partition(".")[2]
        try:
            return Reply(200, self.answer(operation, request.json()))
        except ServiceError as error:
            return Reply(400, {"__type": error.code, "message": str(error)})

    def answer(self, operation: str, given: dict[str, Any]) -> Any:
        self.calls.append((operation, given))
        for queue in (self.faults.get(operation), self.faults.get("*")):
            if queue:
                raise ServiceError(*queue.pop(0))
        self.check(operation, given)
        with self.lock:
            if operation in ("AddTags", "ListTags"):
                return self.tagged(given)
            for part in (self.endpoints, self.jobs):
                if act := getattr(part, snake(operation), None):
                    try:
                        made = act(**given) or {}
                    except KeyError as error:
                        raise ServiceError("ValidationException", f"Could not find {error.args[0]}") from None
                    except FileExistsError as error:
                        code = "ResourceInUse" if operation == "CreateTrainingJob" else "ValidationException"
                        raise ServiceError(code, str(error)) from None
                    except ValueError as error:
                        raise ServiceError("ValidationException", str(error)) from None
                    if operation.startswith("Create"):
                        arn = next(value for key, value in made.items() if key.endswith("Arn"))
                        self.tags[arn] = {one["Key"]: one["Value"] for one in given.get("Tags", [])}
                    return made
        raise ServiceError("UnknownOperationException", f"{operation}: not of this server")

    def tagged(self, given: dict[str, Any]) -> dict[str, Any]:
        tags = self.tags.setdefault(given["ResourceArn"], {})
        tags |= {one["Key"]: one["Value"] for one in given.get("Tags", [])}
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def check(self, operation: str, given: dict[str, Any]) -> None:
        if operation not in self.model.operation_names:
            raise ServiceError("UnknownOperationException", f"{operation}: SageMaker has no such operation")
        shape = self.model.operation_model(operation).input_shape
        report = ParamValidator().validate(given, shape)
        if report.has_errors():
            raise ServiceError("ValidationException", report.generate_report())
        if wrong := next(mistakes(given, shape, operation), None):
            raise ServiceError("ValidationException", f"1 validation error detected: {wrong}")


def mistakes(value: Any, shape: Any, where: str) -> Iterator[str]:
    """What botocore leaves to the service: patterns, lengths, names that are not in an enumeration."""
    if shape.type_name == "structure":
        for name, one in value.items():
            if name not in shape.members:
                yield f"unknown member {where}.{name}"
            else:
                yield from mistakes(one, shape.members[name], f"{where}.{name}")
    elif shape.type_name == "list":
        for number, one in enumerate(value):
            yield from mistakes(one, shape.member, f"{where}[{number}]")
    elif shape.type_name == "map":
        if len(value) > shape.metadata.get("max", len(value)):
            yield f"{where}: {len(value)} entries, at most {shape.metadata['max']}"
        for key, one in value.items():
            yield from mistakes(key, shape.key, f"{where} key")
            yield from mistakes(one, shape.value, f"{where}.{key}")
    elif shape.type_name == "string":
        if len(value) > shape.metadata.get("max", len(value)):
            yield f"{where}: {len(value)} characters, at most {shape.metadata['max']}"
        if (enum := shape.metadata.get("enum")) and value not in enum:
            yield f"value {value!r} at {where} must be one of {enum}"
        pattern = re.sub(r"\\p\{(\w)\}", lambda java: JAVA[java[1]], shape.metadata.get("pattern", ".*"))
        if not re.fullmatch(pattern, value, re.DOTALL):
            yield f"value {value!r} at {where} must satisfy the pattern {pattern}"


def snake(operation: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", operation).lower()


def eventually(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What `true` gives, once it gives something."""
    until = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.02)
    return found


@contextmanager
def sagemaker(scratch: Path, moto: str, scale: float = 0.01) -> Iterator[SageMaker]:
    server = SageMaker(scratch, moto, scale)
    routes = [("POST", "/", server.call), ("POST", r"/endpoints/([\w-]+)/invocations", server.endpoints.invoke)]
    with running(routes, []) as server.address:
        try:
            yield server
        finally:
            server.jobs.close()
            server.endpoints.close()
