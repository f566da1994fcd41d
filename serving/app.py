"""The models of artifacts/ over HTTP: one typed route per bundle, their lineage, and a page to try them on."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Body, Depends, FastAPI, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field, create_model

from serving import problems
from serving.models import Card, Model, find
from serving.openai import add_completions
from serving.problems import Refusal, documented, json_only
from serving.stream import add_stream, streams

PAGE = Path(__file__).parent / "playground.html"
MAX_INPUTS = 1024

T = TypeVar("T")


class Batch(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Name(BaseModel):
    """Which model answered."""

    name: str
    version: str
    profile: Literal["sample", "full"]
    source: str
    created: str


class Answer(BaseModel, Generic[T]):
    outputs: list[T] = Field(description="one per input, in their order")
    model: Name


class Cards(BaseModel):
    models: list[Card]


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    status: Literal["ready"] = "ready"
    models: list[str]
    refused: list[str]


class Api(FastAPI):
    """FastAPI that documents problems too."""

    models: dict[str, Model]

    def openapi(self) -> dict[str, Any]:
        schema = super().openapi()
        reference = "#/components/schemas/{model}"
        problem = problems.Problem.model_json_schema(ref_template=reference)
        schema.setdefault("components", {}).setdefault("schemas", {}).update(problem.pop("$defs"), Problem=problem)
        return schema


def create_app(folder: Path = Path("artifacts")) -> Api:
    app = Api(
        title="Roadmap models",
        summary="Every bundle of the roadmap over one HTTP surface.",
        version="1",
        responses=documented(),
    )
    app.models = find(folder)
    problems.install(app)
    add_status(app, folder)
    for model in app.models.values():
        if not model.reason:
            add_predict(app, model)
        if streams(model):
            add_stream(app, model)
    add_completions(app, app.models)
    add_fallback(app)
    add_page(app)
    return app


def add_status(app: Api, folder: Path) -> None:
    @app.get("/health", tags=["status"])
    def health() -> Health:
        """The process lives."""
        return Health()

    @app.get("/ready", tags=["status"], responses=documented(503))
    def ready() -> Readiness:
        """At least one model answers."""
        refused = [model for model in app.models.values() if model.reason]
        if len(refused) == len(app.models):
            missing = "; ".join(f"{model.name}: {model.reason}" for model in refused)
            raise Refusal(503, f"no model is served: {missing or f'{folder} holds no bundle; `make run` makes them'}")
        return Readiness(
            models=[model.name for model in app.models.values() if not model.reason],
            refused=[model.name for model in refused],
        )

    @app.get("/models", tags=["status"])
    def models() -> Cards:
        """All models with their lineage, also those that were refused, and why."""
        return Cards(models=[model.card() for model in app.models.values()])

    @app.get("/models/{name}", tags=["status"], responses=documented(404))
    def model(name: str) -> Card:
        """One model with its lineage."""
        return known(app, name).card()


def add_predict(app: Api, model: Model) -> None:
    """The typed route of one project."""
    most = getattr(model.predictor, "max_inputs", MAX_INPUTS)
    # fail_fast: a body full of faults costs no more than one that is right; the first input at fault is reported.
    inputs: Any = (list[model.request], Field(min_length=1, max_length=most, fail_fast=True))  # type: ignore[name-defined]
    batch_type = create_model(f"{model.name}_batch", __base__=Batch, inputs=inputs)
    answer_type = create_model(f"{model.name}_answer", __base__=Answer[model.response])  # type: ignore[name-defined]
    name = Name.model_validate(model.card().model_dump())
    example: Any = {"summary": "requests that this model is known to answer", "value": {"inputs": model.example}}
    answered = {"outputs": model.example_outputs, "model": name.model_dump()}
    Example = Body(openapi_examples={"example": example})

    # No `async`: so it runs in a thread, and ONNX Runtime lets the others run meanwhile.
    @app.post(
        f"/models/{model.name}/predict",
        operation_id=f"predict_{model.name}",
        tags=[model.name],
        dependencies=[Depends(json_only)],
        response_model=answer_type,
        responses=documented(400, 413, 415, 422, 500) | {200: {"content": {"application/json": {"example": answered}}}},
    )
    def predict(batch: Annotated[batch_type, Example]) -> Any:  # type: ignore[valid-type]
        content = {"outputs": model.outputs(batch.inputs), "model": name.model_dump()}  # type: ignore[attr-defined]
        return Response(json.dumps(content, ensure_ascii=False), media_type="application/json")


def add_fallback(app: Api) -> None:
    """Behind the typed routes: the names that have none."""

    @app.post("/models/{name}/predict", include_in_schema=False)
    def predict(name: str) -> None:
        raise Refusal(503, f"{name} is not served: {known(app, name).reason}")


def add_page(app: Api) -> None:
    page = PAGE.read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": policy(page), "Cache-Control": "no-cache"}

    @app.get("/", include_in_schema=False)
    def playground() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)


def policy(page: str) -> str:
    """A Content-Security-Policy that lets the page run its own script and style, ask this server, and nothing else."""

    def hashes(tag: str) -> str:
        found = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found]
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


def known(app: Api, name: str) -> Model:
    if name not in app.models:
        raise problems.unknown("model", name, app.models, models=sorted(app.models))
    return app.models[name]
