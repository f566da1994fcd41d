"""A service with AWS's JSON protocol, for stand-ins: requests are validated against botocore's model of the service.

    api.fail("CreateService", "ThrottlingException", times=2)      # faults, in front of an operation

A subclass has a method for each operation, or `parts` lists the objects that have them; `error` converts their
exceptions to responses. https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
"""

import re
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from tests.standins.protocol_server import Reply, Request

JAVA = {"L": r"\w", "N": r"\d", "Z": r"\s"}  # classes of characters that Python has no word for


class ServiceError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@cache
def model(service: str) -> Any:
    """botocore's; reading SageMaker's takes a second."""
    return botocore.session.get_session().get_service_model(service)


class Service:
    invalid = "ValidationException"  # this service's error for a malformed request

    def __init__(self, name: str) -> None:
        self.address = ""
        self.model = model(name)
        self.faults: dict[str, list[tuple[str, str]]] = {}  # operation, or * -> the response
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.lock = threading.RLock()

    def fail(self, operation: str, code: str, message: str = "the test says so", times: int = 1) -> None:
        self.faults.setdefault(operation, []).extend([(code, message)] * times)

    def count(self, operation: str) -> int:
        return sum(name == operation for name, _ in self.calls)

    @property
    def parts(self) -> tuple[Any, ...]:
        return (self,)

    def error(self, operation: str, error: Exception) -> ServiceError:
        return ServiceError(self.invalid, str(error))

    def made(self, operation: str, given: dict[str, Any], answer: Any) -> None:
        """Called after every response."""

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
            for part in self.parts:
                if act := getattr(part, snake(operation), None):
                    try:
                        answer = act(**given) or {}
                    except (KeyError, FileExistsError, ValueError) as error:
                        raise self.error(operation, error) from None
                    self.made(operation, given, answer)
                    return answer
        raise ServiceError("UnknownOperationException", f"{operation}: not of this server")

    def check(self, operation: str, given: dict[str, Any]) -> None:
        if operation not in self.model.operation_names:
            raise ServiceError(
                "UnknownOperationException", f"{operation}: {self.model.service_id} has no such operation"
            )
        shape = self.model.operation_model(operation).input_shape
        report = ParamValidator().validate(given, shape)
        if report.has_errors():
            raise ServiceError(self.invalid, report.generate_report())
        if wrong := next(mistakes(given, shape, operation), None):
            raise ServiceError(self.invalid, f"1 validation error detected: {wrong}")


def mistakes(value: Any, shape: Any, where: str) -> Iterator[str]:
    """Validation that botocore leaves to the service: patterns, lengths, enumerations."""
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
