"""The application: a typed route per model, lineage, and the playground."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.routing import Route

from serving.errors import Refusal
from serving.http import predict, problems, stream
from serving.http.kserve.api import add_kserve
from serving.http.middleware import stack
from serving.http.openai.api import add_models
from serving.http.openai.chat import add_chat
from serving.http.openai.completions import add_completions
from serving.http.openai.embeddings import add_embeddings
from serving.http.openapi import Api, ModelName
from serving.http.pages.docs import add_docs
from serving.http.pages.playground import add_playground
from serving.http.pages.status import add_status_page
from serving.http.problems import documented
from serving.http.sagemaker import add_sagemaker
from serving.runtime.batching import Scheduler
from serving.runtime.challengers import Challengers
from serving.runtime.store import ModelInfo, ModelStore
from serving.settings import Settings
from serving.sources import open_source


class Models(BaseModel):
    """All served models."""

    models: list[ModelInfo] = Field(description="sorted by name")


class Health(BaseModel):
    """The server process responds."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """At least one model can be served."""

    status: Literal["ready"] = "ready"
    models: list[str] = Field(description="names of the models that are loaded, or loaded on the first request")
    refused: list[str] = Field(description="names of the models that failed to load; GET /models has the reasons")


def create_app(settings: Settings | None = None) -> Api:
    """The application for `settings.bundles`; the models are loaded when this returns.

    Raises:
        SourceError: `settings.bundles` is not a valid source.
        KeysError: `settings.api_keys` is not a valid key file.
    """
    settings = settings or Settings()
    scheduler = Scheduler(settings.threads, settings.max_batch, settings.max_wait_ms, settings.max_queue)
    store = ModelStore(open_source(settings.bundles, settings.cache), scheduler, settings)
    app = Api(
        title="Roadmap models",
        summary="Predictions from all models of the roadmap over one HTTP API.",
        description="Errors are problem details (RFC 9457) with JSON pointers to the invalid fields.",
        generate_unique_id_function=lambda route: route.name,
        version="1",
        docs_url=None,
        redoc_url=None,
        responses=documented(),
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings, app.state.store, app.state.challengers = settings, store, None
    problems.install(app)
    stack.install(app, settings)
    if settings.challengers:
        app.state.challengers = Challengers(open_challengers(settings), settings, app.state.recorder)
    add_status(app, store)
    # First, because routes are matched in order and this one has most requests.
    app.router.routes.insert(0, Route("/models/{name}/predict", predict.predict, methods=["POST"]))
    app.router.routes.append(Route("/models/{name}/stream", stream.stream, methods=["POST"]))
    for add in (add_models, add_completions, add_chat, add_embeddings, add_kserve):
        add(app, store)
    add_sagemaker(app)
    add_status_page(app, store)
    add_playground(app)
    add_docs(app)
    store.refresh()
    if app.state.challengers:
        app.state.challengers.store.refresh()
    return app


def open_challengers(settings: Settings) -> ModelStore:
    """The challengers, with their own threads, so that a slow one takes none from the champions. Loaded eagerly, so
    that no request waits for it."""
    here, there = (
        {one.strip() for one in (text or "").split(",")} for text in (settings.challengers, settings.bundles)
    )
    folders = ("challenger",) if here & there else ("challenger", "bundle")  # a champion is not its own challenger
    source = open_source(settings.challengers or "", settings.cache, folders)
    scheduler = Scheduler(settings.threads, settings.max_batch, max_queue=settings.max_queue)
    return ModelStore(source, scheduler, settings.model_copy(update={"load": "eager", "memory_mb": None}), "challenger")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Polls for new versions while the server runs."""
    challengers: Challengers | None = app.state.challengers
    stores = [app.state.store, *([challengers.store] if challengers else [])]
    for store in stores:
        store.start_polling()
    yield
    for store in stores:
        store.stop()
    if challengers:
        await challengers.mirror.close()


def add_status(app: Api, store: ModelStore) -> None:
    """/health, /ready, /models and /models/<project>."""

    @app.get("/health", tags=["status"], summary="Liveness")
    async def health() -> Health:
        """200 while the process is up. Doesn't check the models."""
        return Health()

    @app.get("/ready", tags=["status"], summary="Readiness", responses=documented(503))
    async def ready() -> Readiness:
        """200 if at least one model can be served, else 503 with the reason of each."""
        infos = store.infos()
        refused = [info for info in infos if info.status == "refused"]
        if len(refused) == len(infos):
            missing = "; ".join(f"{info.name}: {info.reason}" for info in refused)
            empty = f"found no bundle in {store.settings.bundles}; run `make run`"
            raise Refusal(503, f"no model is served: {missing or empty}")
        return Readiness(
            models=[info.name for info in infos if info.status != "refused"], refused=[info.name for info in refused]
        )

    @app.get("/models", tags=["status"], summary="List models")
    async def list_models() -> Models:
        """All models with their lineage. A model that failed to load is listed with the reason."""
        return Models(models=store.infos())

    @app.get("/models/{name}", tags=["status"], summary="Get a model", responses=documented(404))
    async def get_model(name: ModelName) -> ModelInfo:
        """The model with its lineage: code, data, parameters and training run."""
        return store.slot(name).current_info
