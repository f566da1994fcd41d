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
from typing import Literal

from pydantic import BaseModel, Field

from roadmap.bundle import Bundle, BundleError
from roadmap.io.json import JsonObject
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
    weights_sha256: str | None = Field(default=None, description="of the published weights that training started from")
    params_sha256: str | None = Field(default=None, description="hash of the training parameters")
    run: str | None = Field(default=None, description="id of the training run; the tag `run` in MLflow")
    precision: str | None = Field(default=None, description="of the graphs: fp32, int8_static, ...")
    quantised_from: str | None = Field(default=None, description="version of the fp32 bundle with the same weights")
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
        self.info = ModelInfo(name=name, status="idle")
        self.source_error: str | None = None  # error of the source; the previous state stays in force
        self.memory = 0  # bytes
        self.last_used = 0.0  # time of the last request
        self.loading = threading.Lock()

    @property
    def current_info(self) -> ModelInfo:
        """What the slot holds, with the error of its source if there is one."""
        return self.info.model_copy(update={"reason": self.source_error}) if self.source_error else self.info


class ModelStore:
    """The models of one source, by name. Routes read in the event loop; `start_polling` refreshes in its own thread."""

    def __init__(
        self,
        source: BundleSource,
        scheduler: Scheduler,
        settings: Settings,
        role: Literal["champion", "challenger"] = "champion",
    ) -> None:
        self.role = role
        self.source, self.scheduler, self.settings = source, scheduler, settings
        self.slots: dict[str, ModelSlot] = {}
        self.generation = 0  # incremented with every change of the served models
        self.stopped = threading.Event()

    # ---------------------------------------------------------------- for routes

    def names(self) -> list[str]:
        """Information on all models, including refused ones."""
        return sorted(self.slots)

    def infos(self) -> list[ModelInfo]:
        """One per name, by name."""
        return [self.slots[name].current_info for name in self.names()]

    def ready(self) -> list[Model]:
        """The models that are loaded."""
        return [slot.model for _, slot in sorted(self.slots.items()) if slot.model is not None]

    def slot(self, name: str) -> ModelSlot:
        """Raises: Refusal: 404."""
        if name not in self.slots:
            raise unknown("model", name, self.slots, models=self.names())
        return self.slots[name]

    async def model(self, name: str) -> Model:
        """The currently served version. An idle model is loaded first.

        Raises:
            Refusal: 404 unknown, 503 refused.
        """
        slot = self.slot(name)
        slot.last_used = time.monotonic()
        if slot.model is None and slot.info.status == "idle":
            await asyncio.to_thread(self.load, slot)
        if slot.model is None:
            raise Refusal(503, f"{name} is not served: {slot.info.reason}")
        return slot.model

    # ---------------------------------------------------------------- loading

    def refresh(self) -> None:
        """Polls the source once for new names and versions."""
        try:
            found = self.source.find()
        except SourceError as error:
            log.warning("%s", error)
            return
        for name, one in found.items():
            self._apply(self.slots.get(name) or ModelSlot(name), one)
        for name in self.slots.keys() - found.keys():
            if self.role == "challenger":  # removing the challenger ends the comparison
                log.info("%s: the challenger was removed", name)
                metrics.challenger_withdrawn(name, self.role)
                del self.slots[name]
                continue
            self.slots[name].source_error = "its bundle was removed; the loaded version is still served"

    def _apply(self, slot: ModelSlot, found: DiscoveredBundle | SourceError) -> None:
        slot.source_error = str(found) if isinstance(found, SourceError) else None
        if isinstance(found, SourceError):
            if slot.found is None:
                self._keep(slot, str(found))
        elif slot.found is None or slot.found.fingerprint != found.fingerprint:
            unloaded = slot.found is not None and slot.info.status == "idle"
            slot.found = found
            if slot.model is None and (unloaded or self.settings.load == "lazy"):
                slot.info = ModelInfo(name=slot.name, status="idle")
            else:
                self.load(slot, again=True)
        else:
            slot.found = found  # the same bundle, maybe with another share
        self.slots[slot.name] = slot

    def load(self, slot: ModelSlot, again: bool = False) -> None:
        """Loads the bundle; the old version serves until the new one is warm, and stays if the new one is refused."""
        with slot.loading:
            if (slot.model is not None and not again) or slot.found is None:
                return
            started, before = time.perf_counter(), resident()
            folder = None
            try:
                folder = slot.found.fetch()
                model = Model(slot.name, folder, self.scheduler, self.settings.max_inputs, self.settings.execution)
                if self.settings.strict_code:
                    model.bundle.require_same_code()
                info = ModelInfo(name=slot.name, status="ready", **lineage(model.bundle))
            except (BundleError, SourceError) as error:
                log.warning("%s is refused: %s", slot.name, error, exc_info=error.__cause__)
                metrics.model_refused(slot.name)
                self._keep(slot, str(error), folder)
                if isinstance(error, SourceError):
                    slot.found = None  # may succeed at the next poll, with the same fingerprint
                return
            except OSError as error:  # replaced while being read; the next poll has another fingerprint
                self._keep(slot, f"{folder or slot.name}: {error.strerror or error}", folder)
                return
            old, slot.model, slot.info = slot.model, model, info
            slot.memory = max(resident() - before, slot.info.size or 0)
            slot.last_used = time.monotonic()
            self.generation += 1
            seconds = time.perf_counter() - started
            metrics.model_loaded(slot.name, model.version, seconds, self.role)
            was = f", in place of {old.version}" if old else ""
            does = "is served" if self.role == "champion" else "challenges"
            log.info("%s: version %s %s%s (%.2f s)", slot.name, model.version, does, was, seconds)
            if info.code == "changed":
                log.warning("%s: version %s was evaluated with different predictor code", slot.name, model.version)
            swapped = old is not None
            del old, model
        freeze_gc(collect=swapped)
        self._evict(slot)

    def _keep(self, slot: ModelSlot, reason: str, folder: Path | None = None) -> None:
        """Keeps the present state of this name, with the reason."""
        if slot.model is not None:
            slot.info = slot.info.model_copy(update={"reason": reason})
            return
        known = {}
        if folder is not None:
            try:
                known = lineage(Bundle(folder))
            except (BundleError, OSError):
                known = {}
        slot.info = ModelInfo(name=slot.name, status="refused", reason=reason, **known)
        self.generation += 1

    def _evict(self, newest: ModelSlot) -> None:
        """Evicts the least recently used models until the rest fits."""
        if self.settings.memory_mb is None:
            return
        loaded = sorted((p for p in self.slots.values() if p.model and p is not newest), key=lambda p: p.last_used)
        excess = sum(p.memory for p in loaded) + newest.memory - self.settings.memory_mb * 2**20
        for slot in loaded:
            if excess <= 0:
                return
            log.info("%s is evicted to make room for %s", slot.name, newest.name)
            excess -= slot.memory
            metrics.model_unloaded(slot.name)
            slot.model, slot.info = None, slot.info.model_copy(update={"status": "idle"})
            self.generation += 1
            freeze_gc()

    def start_polling(self) -> None:
        """Refreshes every `poll_seconds`, in a thread of its own, until `stop`."""

        def poll() -> None:
            while not self.stopped.wait(self.settings.poll_seconds):
                try:
                    self.refresh()
                except Exception:
                    log.exception("polling the bundles failed")

        if self.settings.poll_seconds:
            threading.Thread(target=poll, name="bundles", daemon=True).start()

    def stop(self) -> None:
        """Ends the polling."""
        self.stopped.set()


def lineage(bundle: Bundle) -> JsonObject:
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


def freeze_gc(collect: bool = True) -> None:
    """Freezes the loaded objects: a garbage collection that scans them would pause all requests for 40 ms."""
    if collect:
        gc.unfreeze()
        gc.collect()
    gc.freeze()
