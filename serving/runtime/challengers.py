"""A second bundle of a project beside the one that is served: it answers copies unseen, or a share of the callers.

The champion answers whatever happens to the challenger. A challenger of the champion's own version takes no part, so
that a promotion ends the comparison by itself.
"""

import logging
from collections.abc import Sequence
from random import random
from typing import Any

from roadmap.prediction_log.recorder import PredictionLogger
from serving.errors import Refusal
from serving.observability import metrics
from serving.runtime.mirror import Mirror, ShadowRequest
from serving.runtime.models import Model
from serving.runtime.store import ModelInfo, ModelStore
from serving.settings import Settings
from serving.split import drawn

log = logging.getLogger("serving")


class Challengers:
    """The challengers that are loaded now, and how much of the traffic each sees."""

    def __init__(self, store: ModelStore, settings: Settings, recorder: PredictionLogger | None) -> None:
        self.store, self.shadow, self.split = store, settings.shadow, settings.split
        self.mirror = Mirror(recorder, settings.timeout_seconds)
        self._complained: set[str] = set()  # versions whose first failure is in the log

    def of(self, champion: Model) -> Model | None:
        """Whom this model is compared with, where there is one that can answer."""
        place = self.store.places.get(champion.name)
        model = place.model if place else None
        return model if model is not None and model.version != champion.version else None

    def card(self, champion: ModelInfo) -> ModelInfo | None:
        """Of the challenger, unless it is the champion's own bundle."""
        place = self.store.places.get(champion.name)
        return place.shown if place and place.card.version != champion.version else None

    def chosen(self, caller: str, champion: Model) -> Model | None:
        """The challenger, where this caller is one of its share."""
        share = self.share(champion.name)
        if not share or (challenger := self.of(champion)) is None:
            return None
        return challenger if drawn(champion.name, challenger.version, caller) < share else None

    def share(self, project: str) -> float:
        """Of the callers: what the challenger's source says of it, otherwise the setting."""
        found = self.store.places[project].found if project in self.store.places else None
        return self.split if found is None or found.share is None else found.share

    def answered(self, model: Model, inputs: Sequence[Any], seconds: float, request_id: str, recorded: bool) -> None:
        """Counts an answer, and puts a copy of the request in the mirror where it is one of the share.

        recorded: whether the answer is in the prediction log
        """
        if (role := self._role(model)) is None:
            return
        metrics.arm(model.name, model.version, role, "answered", seconds)
        challenger = self.of(model) if role == "champion" else None
        if challenger is not None and random() < self.shadow:
            self.mirror.put(ShadowRequest(challenger, inputs, request_id, recorded))

    def failed(self, model: Model) -> None:
        """Counts a request that this version could not answer."""
        if (role := self._role(model)) is not None:
            metrics.arm(model.name, model.version, role, "failed")

    def fell_back(self, challenger: Model, error: Exception) -> None:
        """Counts it, and says the first failure of a version in the log."""
        metrics.fell_back(challenger.name)
        if challenger.version not in self._complained:
            self._complained.add(challenger.version)
            said = error.detail if isinstance(error, Refusal) else repr(error)
            words = "%s: challenger %s: %s; the champion answers, and later failures are only counted"
            log.warning(words, challenger.name, challenger.version, said)

    def _role(self, model: Model) -> str | None:
        """None where nothing is compared."""
        if model.scheduler is self.store.scheduler:  # also where another has taken its place meanwhile
            return "challenger"
        return "champion" if self.of(model) else None
