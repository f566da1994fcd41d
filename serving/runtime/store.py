"""The model store: discovers, loads, hot-swaps and evicts models.

A request keeps the Model that it started with, so a swap is the assignment of one attribute: requests in flight finish
on the old version, and its memory is freed with the last of them.
"""

import asyncio
import gc
import logging
import threading
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from roadmap.bundle import Bundle, BundleError
from serving.errors import Refusal, unknown
from serving.observability import metrics
from serving.runtime.batching import Scheduler
from serving.runtime.models import Model
from serving.settings import Settings
from serving.sources import BundleSource, DiscoveredBundle, SourceError

log = logging.getLogger("serving")


class ModelInfo(BaseModel):
    """A model and its lineage. If it failed to load, the lineage is given only if its bundle is valid."""

    name: str
    status: Literal["ready", "refused", "idle"] = Field(
        description="ready: loaded; refused: failed to load; idle: loaded on the next request"
    )
    reason: str | None = Field(default=None, description="why it is refused, or which newer bundle failed to load")
    version: str | None = Field(default=None, description="first twelve hex digits of the bundle's hash")
    size: int | None = Field(default=None, description="size of the bundle in bytes")
    project: str | None = None
    predictor: str | None = Field(default=None, description="Python class that computes the predictions")
    runtime: Literal["onnx", "torch"] | None = Field(default=None, description="library that runs the network")
    profile: Literal["sample", "full"] | None = Field(default=None, description="the profile that it was trained with")
    source: str | None = Field(default=None, description="the dataset it was trained on")
    created: str | None = Field(default=None, description="ISO 8601, UTC")
    git_commit: str | None = Field(default=None, description="commit that it was trained at")
    data_sha256: str | None = Field(default=None, description="hash of the training data")
    params_sha256: str | None = Field(default=None, description="hash of the training parameters")
    run: str | None = Field(default=None, description="id of the training run; the tag `run` in MLflow")
    code_sha256: str | None = Field(
        default=None, description="hash of the predictor code that the bundle was evaluated with"
    )
    code: Literal["same", "changed", "unknown"] | None = Field(
        default=None, description="whether the running predictor code is the one that the bundle was evaluated with"
    )


class ModelSlot:
    """The slot of one name: its model, bundle and state."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: DiscoveredBundle | None = None
        self.model: Model | None = None
        self.card = ModelInfo(name=name, status="idle")
        self.away: str | None = None  # error of the source; the previous state stays in force
        self.memory = 0  # bytes
        self.used = 0.0  # time of the last request
        self.loading = threading.Lock()

    @property
    def shown(self) -> ModelInfo:
        return self.card.model_copy(update={"reason": self.away}) if self.away else self.card


class ModelStore:
    """The models of one source, by name. Routes read in the event loop; `watch` refreshes in its own thread."""

    def __init__(
        self,
        source: BundleSource,
        scheduler: Scheduler,
        settings: Settings,
        role: Literal["champion", "challenger"] = "champion",
    ) -> None:
        self.role = role
        self.source, self.scheduler, self.settings = source, scheduler, settings
        self.places: dict[str, ModelSlot] = {}
        self.generation = 0  # incremented with every change of the served models
        self.stopped = threading.Event()

    # ---------------------------------------------------------------- for routes

    def names(self) -> list[str]:
        """Information on all models, including refused ones."""
        return sorted(self.places)

    def cards(self) -> list[ModelInfo]:
        """One per name, by name."""
        return [self.places[name].shown for name in self.names()]

    def ready(self) -> list[Model]:
        """The models that are loaded."""
        return [place.model for _, place in sorted(self.places.items()) if place.model is not None]

    def place(self, name: str) -> ModelSlot:
        """Raises: Refusal: 404."""
        if name not in self.places:
            raise unknown("model", name, self.places, models=self.names())
        return self.places[name]

    async def model(self, name: str) -> Model:
        """The currently served version. An idle model is loaded first.

        Raises:
            Refusal: 404 unknown, 503 refused.
        """
        place = self.place(name)
        place.used = time.monotonic()
        if place.model is None and place.card.status == "idle":
            await asyncio.to_thread(self.load, place)
        if place.model is None:
            raise Refusal(503, f"{name} is not served: {place.card.reason}")
        return place.model

    # ---------------------------------------------------------------- loading

    def refresh(self) -> None:
        """Polls the source once for new names and versions."""
        try:
            found = self.source.find()
        except SourceError as error:
            log.warning("%s", error)
            return
        for name, one in found.items():
            self._see(self.places.get(name) or ModelSlot(name), one)
        for name in self.places.keys() - found.keys():
            if self.role == "challenger":  # removing the challenger ends the comparison
                log.info("%s: the challenger was removed", name)
                metrics.withdrawn(name, self.role)
                del self.places[name]
                continue
            self.places[name].away = "its bundle was removed; the loaded version is still served"

    def _see(self, place: ModelSlot, found: DiscoveredBundle | SourceError) -> None:
        place.away = str(found) if isinstance(found, SourceError) else None
        if isinstance(found, SourceError):
            if place.found is None:
                self._keep(place, str(found))
        elif place.found is None or place.found.fingerprint != found.fingerprint:
            unloaded = place.found is not None and place.card.status == "idle"
            place.found = found
            if place.model is None and (unloaded or self.settings.load == "lazy"):
                place.card = ModelInfo(name=place.name, status="idle")
            else:
                self.load(place, again=True)
        else:
            place.found = found  # the same bundle, maybe with another share
        self.places[place.name] = place

    def load(self, place: ModelSlot, again: bool = False) -> None:
        """Loads the bundle; the old version serves until the new one is warm, and stays if the new one is refused."""
        with place.loading:
            if (place.model is not None and not again) or place.found is None:
                return
            started, before = time.perf_counter(), resident()
            folder = None
            try:
                folder = place.found.fetch()
                model = Model(place.name, folder, self.scheduler, self.settings.max_inputs)
                if self.settings.strict_code:
                    model.bundle.require_same_code()
                card = ModelInfo(name=place.name, status="ready", **lineage(model.bundle))
            except (BundleError, SourceError) as error:
                log.warning("%s is refused: %s", place.name, error, exc_info=error.__cause__)
                metrics.refused(place.name)
                self._keep(place, str(error), folder)
                if isinstance(error, SourceError):
                    place.found = None  # may succeed at the next poll, with the same fingerprint
                return
            except OSError as error:  # replaced while being read; the next poll has another fingerprint
                self._keep(place, f"{folder or place.name}: {error.strerror or error}", folder)
                return
            old, place.model, place.card = place.model, model, card
            place.memory = max(resident() - before, place.card.size or 0)
            place.used = time.monotonic()
            self.generation += 1
            seconds = time.perf_counter() - started
            metrics.loaded(place.name, model.version, seconds, self.role)
            was = f", in place of {old.version}" if old else ""
            does = "is served" if self.role == "champion" else "challenges"
            log.info("%s: version %s %s%s (%.2f s)", place.name, model.version, does, was, seconds)
            if card.code == "changed":
                log.warning("%s: version %s was evaluated with different predictor code", place.name, model.version)
            swapped = old is not None
            del old, model
        settle(collect=swapped)
        self._make_room(place)

    def _keep(self, place: ModelSlot, reason: str, folder: Path | None = None) -> None:
        """Keeps the present state of this name, with the reason."""
        if place.model is not None:
            place.card = place.card.model_copy(update={"reason": reason})
            return
        known = {}
        if folder is not None:
            try:
                known = lineage(Bundle(folder))
            except (BundleError, OSError):
                known = {}
        place.card = ModelInfo(name=place.name, status="refused", reason=reason, **known)
        self.generation += 1

    def _make_room(self, newest: ModelSlot) -> None:
        """Evicts the least recently used models until the rest fits."""
        if self.settings.memory_mb is None:
            return
        loaded = sorted((p for p in self.places.values() if p.model and p is not newest), key=lambda p: p.used)
        excess = sum(p.memory for p in loaded) + newest.memory - self.settings.memory_mb * 2**20
        for place in loaded:
            if excess <= 0:
                return
            log.info("%s is evicted to make room for %s", place.name, newest.name)
            excess -= place.memory
            metrics.unloaded(place.name)
            place.model, place.card = None, place.card.model_copy(update={"status": "idle"})
            self.generation += 1
            settle()

    def watch(self) -> None:
        """Refreshes every `poll_seconds`, in a thread of its own, until `stop`."""

        def look() -> None:
            while not self.stopped.wait(self.settings.poll_seconds):
                try:
                    self.refresh()
                except Exception:
                    log.exception("polling the bundles failed")

        if self.settings.poll_seconds:
            threading.Thread(target=look, name="bundles", daemon=True).start()

    def stop(self) -> None:
        """Ends `watch`."""
        self.stopped.set()


def lineage(bundle: Bundle) -> dict[str, Any]:
    """The fields of ModelInfo that a bundle has."""
    manifest = bundle.manifest
    size = sum((bundle.folder / name).stat().st_size for name in manifest.files)
    return {"version": manifest.version, "size": size, "code": manifest.code, **manifest.model_dump(exclude={"files"})}


def resident() -> int:
    """Resident memory of this process in bytes; 0 if unknown."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except OSError:
        return 0


def settle(collect: bool = True) -> None:
    """Freezes the loaded objects: a garbage collection that scans them would pause all requests for 40 ms."""
    if collect:
        gc.unfreeze()
        gc.collect()
    gc.freeze()
