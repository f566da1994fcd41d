"""The OpenAPI document: its tags, its shared parameters, and the operations of the currently served models."""

from typing import Annotated

from fastapi import FastAPI, Path
from fastapi.openapi.utils import get_openapi

from roadmap.io.json import JsonObject
from serving.http import predict, problems, stream
from serving.runtime.store import ModelStore

ModelName = Annotated[str, Path(description="name of a model; GET /models lists them")]

# Each model has a tag of its own between these.
STATUS_TAG = {"name": "status", "description": "Health, served models and their lineage, metrics and reports."}
PROTOCOL_TAGS = [
    {"name": "openai", "description": "The OpenAI API, for models that generate or embed text."},
    {"name": "kserve", "description": "The Open Inference Protocol v2 (KServe, Triton), for all models."},
]


class Api(FastAPI):
    """FastAPI with an OpenAPI document of the currently served models."""

    documented_at = -1

    def openapi(self) -> JsonObject:
        """The document; made anew when the served models have changed."""
        store: ModelStore = self.state.store
        if self.openapi_schema is None or self.documented_at != store.generation:
            self.documented_at = store.generation
            models = store.ready()
            routes = [predict.documentation(model) for model in models]
            routes += [stream.documentation(model) for model in models if model.generates_text]
            schema = get_openapi(
                title=self.title,
                version=self.version,
                summary=self.summary,
                description=self.description,
                tags=[STATUS_TAG, *map(predict.tag, models), *PROTOCOL_TAGS],
                routes=[*self.routes, *routes],
            )
            reference = "#/components/schemas/{model}"
            problem = problems.Problem.model_json_schema(ref_template=reference)
            schema.setdefault("components", {}).setdefault("schemas", {}).update(problem.pop("$defs"), Problem=problem)
            self.openapi_schema = schema
        return self.openapi_schema
