"""Challengers: a second bundle of a project, which gets shadow requests or a share of the callers.

Failures of the challenger never affect responses: the champion answers instead. A challenger with the champion's own
version is ignored, so that a promotion ends the comparison.
"""

import logging
from collections.abc import Sequence
from random import random

from pydantic import BaseModel

from roadmap.prediction_log.recorder import PredictionLogger
from serving.errors import Refusal
from serving.observability import metrics
from serving.runtime.mirror import Mirror, ShadowRequest
from serving.runtime.models import Model
from serving.runtime.store import ModelInfo, ModelStore
from serving.settings import Settings
from serving.split import bucket

log = logging.getLogger("serving")


class Challengers:
    """The loaded challengers, and their share of the traffic."""

    def __init__(self, store: ModelStore, settings: Settings, recorder: PredictionLogger | None) -> None:
        self.store, self.shadow, self.split = store, settings.shadow, settings.split
        self.mirror = Mirror(recorder, settings.timeout_seconds)
        self._warned: set[str] = set()  # versions with a logged failure

    def challenger_of(self, champion: Model) -> Model | None:
        """The model's challenger, if one is loaded."""
        slot = self.store.slots.get(champion.name)
        model = slot.model if slot else None
        return model if model is not None and model.version != champion.version else None

    def info(self, champion: ModelInfo) -> ModelInfo | None:
        """The slot of the challenger, unless it is the champion's own bundle."""
        slot = self.store.slots.get(champion.name)
        return slot.current_info if slot and slot.info.version != champion.version else None

    def routed_to(self, caller: str, champion: Model) -> Model | None:
        """The challenger, if this caller is routed to it."""
        share = self.share(champion.name)
        if not share or (challenger := self.challenger_of(champion)) is None:
            return None
        return challenger if bucket(champion.name, challenger.version, caller) < share else None

    def share(self, project: str) -> float:
        """Fraction of callers: from the challenger's source, otherwise the setting."""
        found = self.store.slots[project].found if project in self.store.slots else None
        return self.split if found is None or found.share is None else found.share

    def request_succeeded(
        self, model: Model, inputs: Sequence[BaseModel], seconds: float, request_id: str, recorded: bool
    ) -> None:
        """Counts a response, and queues the request as a shadow request if it is sampled.

        seconds: that the answer took
        recorded: whether the prediction is logged
        """
        if (role := self._role(model)) is None:
            return
        metrics.arm(model.name, model.version, role, "answered", seconds)
        challenger = self.challenger_of(model) if role == "champion" else None
        if challenger is not None and random() < self.shadow:
            self.mirror.put(ShadowRequest(challenger, inputs, request_id, recorded))

    def request_failed(self, model: Model) -> None:
        """Counts a failed request of this version."""
        if (role := self._role(model)) is not None:
            metrics.arm(model.name, model.version, role, "failed")

    def count_fallback(self, challenger: Model, error: Exception) -> None:
        """Counts the failure, and logs the first of a version."""
        metrics.count_fallback(challenger.name)
        if challenger.version not in self._warned:
            self._warned.add(challenger.version)
            reason = error.detail if isinstance(error, Refusal) else repr(error)
            message = "%s: challenger %s: %s; falling back to the champion; later failures are only counted"
            log.warning(message, challenger.name, challenger.version, reason)

    def _role(self, model: Model) -> str | None:
        """The role of a model; None without a comparison."""
        if model.scheduler is self.store.scheduler:  # even if replaced meanwhile
            return "challenger"
        return "champion" if self.challenger_of(model) else None
