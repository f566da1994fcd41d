"""Every operation of the OpenAPI document has a written summary and description."""

from pathlib import Path
from typing import Any

import pytest

from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    artifacts: Path = bundles.make_all(tmp_path_factory.mktemp("artifacts"))
    return create_app(Settings(bundles=str(artifacts))).openapi()


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }


def test_every_operation_has_a_summary_a_description_and_a_described_tag(document: dict[str, Any]) -> None:
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    for name, operation in operations(document).items():
        assert operation["summary"], name
        assert operation["description"].endswith("."), name
        assert operation["tags"], name
        assert all(tags[tag] for tag in operation["tags"]), name


def test_operation_ids_are_unique_names(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document).values()]
    assert len(ids) == len(set(ids))
    assert all(id.isidentifier() for id in ids)


def test_no_summary_is_a_function_name(document: dict[str, Any]) -> None:
    """FastAPI derives a summary from the function's name if none is given."""
    for name, operation in operations(document).items():
        assert operation["summary"] != operation["operationId"].replace("_", " ").title(), name


def test_every_success_response_is_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        for status, response in operation["responses"].items():
            assert response["description"], (name, status)


def test_every_schema_is_described(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        if not name.startswith(tuple(bundles.MAKERS)):  # their fields come from the projects
            assert schema.get("description"), name
