"""What a predictor feeds its graphs with: the runs that quantisation observes ranges on."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from roadmap.bundle import Bundle, load_predictor
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.project import Project
from roadmap.quantisation.graphs import Feed

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

TRAIN = "train"
MOST = 256  # runs of a graph that are kept


class Recorder:
    """A session that keeps a sample of the inputs it is run with, all runs equally likely (reservoir sampling)."""

    def __init__(self, session: "InferenceSession", feeds: list[Feed]) -> None:
        self.session, self.feeds, self.runs = session, feeds, 0
        self.random = random.Random(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def run(self, outputs: Sequence[str] | None, feed: Feed, *rest: Any) -> list[np.ndarray]:
        self.runs += 1
        place = self.random.randrange(self.runs) if self.runs > MOST else len(self.feeds)
        if place < MOST:
            self.feeds[place : place + 1] = [{name: np.array(value) for name, value in feed.items()}]
        found: list[np.ndarray] = self.session.run(outputs, feed, *rest)
        return found


class RecordingBundle(Bundle):
    """
    feeds   file name of each graph -> a sample of its runs
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.feeds: dict[str, list[Feed]] = {}

    def session(self, name: str = "model.onnx", threads: int = 1) -> "InferenceSession":
        recorder: Any = Recorder(super().session(name, threads), self.feeds.setdefault(name, []))
        return cast("InferenceSession", recorder)


def runs_of(bundle: Bundle, requests: Sequence[JsonObject], at_once: int = 1) -> dict[str, list[Feed]]:
    """What the bundle's predictor feeds its graphs with to answer the requests, so many together: by file name."""
    recording = RecordingBundle(bundle.folder)
    predictor = load_predictor(recording)
    asked = [predictor.Request.model_validate(one) for one in requests]
    for start in range(0, len(asked), at_once):
        predictor.predict(asked[start : start + at_once])
    return recording.feeds


def training_requests(project: Project, folder: Path, rows: int, seed: int) -> list[JsonObject]:
    """A sample of the training split, as requests. Validation and test rows are never among them.

    folder: data/<project>

    Raises:
        UsageError: the training split can't be read as requests.
    """
    try:
        requests, _ = project.data.test_rows(folder, TRAIN)
    except KeyError as error:
        raise UsageError(
            f"{folder}: the split {TRAIN}: found no {error}; expected rows that are requests too, to calibrate with; "
            "its project has none, so it stays fp32"
        ) from None
    return random.Random(seed).sample(requests, min(rows, len(requests)))
