"""POST /models/<project>/predict: a batch of inputs in, one output each."""

from codecs import BOM_UTF8
from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Body, Query
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from serving.errors import in_body
from serving.http import forms, noted
from serving.http.answering import answer_with_split
from serving.http.media import json_only, sent
from serving.http.problems import documented
from serving.runtime.models import Model, ModelVersion

Strict = Annotated[bool, Query(description="422 instead of a note if an input has a level that training has not seen")]

T = TypeVar("T")
Checked = TypeVar("Checked", bound=BaseModel)
Content = TypeVar("Content")


class FieldNote(BaseModel):
    """A remark on one field of an input."""

    pointer: str = Field(description="JSON pointer into the request body", examples=["#/inputs/0/sex"])
    detail: str = Field(description="what is unusual, and how it was treated")


class Prediction(BaseModel, Generic[T]):
    """The outputs, the model that computed them, and notes on the inputs."""

    outputs: list[T] = Field(description="one per input, in the same order")
    model: ModelVersion
    notes: list[FieldNote] = Field(
        default=[],
        description="values that training has not seen and fields that are missing; also in the header X-Notes",
    )


async def predict(request: Request) -> Response:
    """The predict route, shared by all models.

    Raises:
        Refusal: 404, 415, 503, 504.
        RequestValidationError: 422, the body doesn't match the model's request.
    """
    model = await request.app.state.store.model(request.path_params["name"])
    if sent(request) in (forms.MULTIPART, forms.URLENCODED):
        inputs = await forms.read(request, model.columns, model.files)
        batch = validated(model.batch.model_validate, {"inputs": inputs})
    else:
        json_only(request)
        batch = validated(model.batch.model_validate_json, (await request.body()).removeprefix(BOM_UTF8))
    outputs, model = await answer_with_split(request, model, batch.inputs)
    content = to_json({"outputs": outputs, "model": model.label, **noted.notes(request)})
    return Response(content, media_type="application/json", headers=model.headers | noted.headers(request))


def validated(validate: Callable[[Content], Checked], content: Content) -> Checked:
    """The body, checked by `validate`: `model_validate` for an object, `model_validate_json` for bytes.

    Raises:
        RequestValidationError: the one that FastAPI would raise.
    """
    if not content:
        raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required"}])
    try:
        return validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        if found[0]["type"] != "json_invalid":
            found = in_body(found, from_json(content) if isinstance(content, bytes) else content)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from None


def tag(model: Model) -> dict[str, str]:
    """The model's tag in the OpenAPI document."""
    return {"name": model.name, "description": f"Trained on {model.manifest.source}; version {model.version}."}


def documentation(model: Model) -> APIRoute:
    """The OpenAPI entry of this model. The actual route is shared by all models, so that they can change."""
    answer_type = create_model(f"{model.name}_answer", __base__=Prediction[model.response])  # type: ignore[name-defined]
    example: Any = {"summary": "A valid request", "value": {"inputs": model.example}}
    answered = {"outputs": model.example_outputs, "model": model.label}
    Example = Body(openapi_examples={"example": example})

    def endpoint(batch: Annotated[model.batch, Example], strict: Strict = False) -> None:  # type: ignore[name-defined]
        """Returns one output per input, in the same order.

        The body may be gzip, or a form (multipart/form-data) with the fields of one input; a repeated field makes
        several inputs.
        """

    return APIRoute(
        f"/models/{model.name}/predict",
        endpoint,
        methods=["POST"],
        operation_id=f"predict_{model.name}",
        summary="Predict",
        tags=[model.name],
        response_model=answer_type,
        responses=documented(400, 413, 415, 422, 500, 503, 504)
        | {200: {"content": {"application/json": {"example": answered}}}},
        openapi_extra={"requestBody": {"content": forms.documentation(model)}},
    )
