"""No request causes a 5xx, and responses match the OpenAPI document: thousands of generated cases."""

from contextlib import nullcontext, suppress
from itertools import product
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles

CASES = 60  # per operation, of valid and of invalid requests each
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.mark.slow
def test_no_request_causes_a_server_error(tmp_path: Path) -> None:
    artifacts = bundles.make_all(tmp_path / "artifacts")
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(Settings(bundles=str(artifacts))))
    cases = 0
    operations = []
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operations.append(found.ok())
    for operation, mode in product(operations, GenerationMode):

        @settings(
            max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: schemathesis.Case) -> None:
            nonlocal cases
            cases += 1
            case.call_and_validate(checks=CHECKS)

        # Without parameters and body there are no invalid requests.
        with suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else nullcontext():
            holds()
    assert cases > 1000
