"""The Open Inference Protocol v2 (KServe, Triton): each field of a request is a tensor with one row per input.

    {"inputs": [{"name": "age", "shape": [2], "datatype": "FP64", "data": [22, 38]}, ...]}

https://github.com/kserve/open-inference-protocol
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from pydantic import BaseModel, Field, field_validator

from roadmap.io.json import JsonObject
from serving.errors import Refusal, cut
from serving.http import noted
from serving.http.answering import answer, answer_with_split
from serving.http.kserve import binary
from serving.http.kserve.tensors import Datatype, Lenient, Tensor, columns, validated
from serving.http.media import json_only
from serving.http.openapi import ModelName
from serving.http.problems import documented
from serving.runtime.models import Model
from serving.runtime.store import ModelStore

NOT_OFFERED = {"classification", "shared_memory_region"}  # Triton's extensions that change the answer


class RequestedOutput(Lenient):
    """An output tensor that the response should have."""

    name: str
    parameters: dict[str, Any] | None = Field(None, description="binary_data: true, for bytes behind the JSON")

    @field_validator("parameters")
    @classmethod
    def _offered(cls, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
        """Options that change the response must not be ignored."""
        for name in NOT_OFFERED & set(parameters or ()):
            raise ValueError(f"{name} is not offered here; extensions: {binary.EXTENSION}")
        return parameters


class InferenceRequest(Lenient):
    """A batch of inputs, one tensor per field."""

    id: Annotated[str, Field(max_length=200)] | None = Field(None, description="repeated in the response")
    inputs: Annotated[list[Tensor], Field(min_length=1, max_length=100)]
    outputs: Annotated[list[RequestedOutput], Field(max_length=100)] | None = Field(
        None, description="tensors to return; default: all"
    )
    parameters: dict[str, Any] | None = Field(None, description="binary_data_output: true, for all outputs")

    @property
    def as_bytes(self) -> Callable[[str], bool]:
        """Whether this output is requested as bytes."""
        every = (self.parameters or {}).get("binary_data_output") is True
        said = {one.name: (one.parameters or {}).get("binary_data", every) is True for one in self.outputs or []}
        return lambda name: said.get(name, every)


class InferenceResponse(BaseModel):
    """The outputs, one tensor per field."""

    model_name: str
    model_version: str
    id: str | None = Field(None, description="id of the request")
    outputs: list[Tensor]


class TensorMetadata(BaseModel):
    """Name, type and shape of a tensor."""

    name: str
    datatype: Datatype
    shape: list[int] = Field(description="-1: any size")


class ModelMetadata(BaseModel):
    """A model's version and tensors."""

    name: str
    versions: list[str] = Field(description="the served version")
    platform: str = Field(description="library that runs the network")
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """The server's name and protocol extensions."""

    name: str
    version: str
    extensions: list[str]


def add_kserve(app: FastAPI, store: ModelStore) -> None:
    """The routes under /v2."""

    router = APIRouter(route_class=binary.Route)

    @app.get("/v2/", include_in_schema=False)
    @app.get("/v2", tags=["kserve"], summary="Server metadata")
    async def v2_server_metadata() -> ServerMetadata:
        """The server's name, version and protocol extensions."""
        return ServerMetadata(name="roadmap", version=app.version, extensions=[binary.EXTENSION])

    @app.get("/v2/health/live", tags=["kserve"], summary="Server liveness")
    async def v2_live() -> dict[str, bool]:
        """200 while the process is up."""
        return {"live": True}

    @app.get("/v2/health/ready", tags=["kserve"], summary="Server readiness", responses=documented(503))
    async def v2_server_ready() -> dict[str, bool]:
        """200 if at least one model is loaded."""
        if not store.ready():
            raise Refusal(503, "no model is loaded")
        return {"ready": True}

    async def known(name: str, version: str | None) -> Model:
        model = await store.model(name)
        if version is not None and version != model.version:
            raise Refusal(404, f"{name} has no version {cut(version)!r}; version {model.version} is served")
        return model

    def routes(path: str, suffix: str) -> None:
        @app.get(
            path,
            tags=["kserve"],
            summary="Model metadata",
            responses=documented(404, 503),
            operation_id=f"v2_metadata{suffix}",
        )
        async def metadata(name: ModelName, version: str | None = None) -> ModelMetadata:
            """Version, runtime, and the names, types and shapes of the tensors."""
            return described(await known(name, version))

        @app.get(
            f"{path}/ready",
            tags=["kserve"],
            summary="Model readiness",
            responses=documented(404, 503),
            operation_id=f"v2_ready{suffix}",
        )
        async def model_ready(name: ModelName, version: str | None = None) -> JsonObject:
            """200 if the model is loaded; an idle one is loaded first."""
            model = await known(name, version)
            return {"name": model.name, "ready": True}

        @router.post(
            f"{path}/infer",
            tags=["kserve"],
            summary="Infer",
            dependencies=[Depends(json_only)],
            response_model=InferenceResponse,
            responses=documented(400, 404, 413, 415, 422, 503, 504),
            operation_id=f"v2_infer{suffix}",
        )
        async def infer(
            name: ModelName, body: InferenceRequest, request: Request, version: str | None = None
        ) -> Response:
            """Predicts a batch of inputs. Each tensor is one field of the model's request, with one row per input."""
            model = await known(name, version)
            batch = validated(model, body.inputs)
            if version is None:
                outputs, model = await answer_with_split(request, model, batch.inputs)
            else:  # no fallback for a request of a specific version
                outputs = await answer(request, model, batch.inputs)
            tensors = columns(outputs, [output.name for output in body.outputs or []])
            id = {} if body.id is None else {"id": body.id}
            content = {"model_name": model.name, "model_version": model.version, **id, "outputs": tensors}
            headers = model.headers | noted.headers(request)
            return binary.response(content, body.as_bytes, headers)

    routes("/v2/models/{name}", "")
    routes("/v2/models/{name}/versions/{version}", "_of_version")
    app.include_router(router)


def described(model: Model) -> ModelMetadata:
    """Names, types and shapes of the tensors, from the model's example."""

    def metadata(examples: Sequence[JsonObject]) -> list[TensorMetadata]:
        return [
            TensorMetadata(name=one["name"], datatype=one["datatype"], shape=[-1, *one["shape"][1:]])
            for one in columns(examples, [])
        ]

    platform = "onnxruntime_onnx" if model.manifest.runtime == "onnx" else "pytorch"
    return ModelMetadata(
        name=model.name,
        versions=[model.version],
        platform=platform,
        inputs=metadata(model.example),
        outputs=metadata(model.example_outputs),
    )
