"""Runs the shipped model on the test split through its serving predictor: outputs, latency, inputs of plots."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roadmap.bundle import Bundle, Predictor, load_predictor
from roadmap.bundle.answers import predict_in_batches
from roadmap.data.splits import read_card
from roadmap.evaluation.results import Baseline
from roadmap.io.documents import read_json
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.training.history import read_history


@dataclass(frozen=True)
class EvaluatedModel:
    """The inputs of a project's `figures`."""

    data: Path  # the prepared splits
    requests: list[JsonObject]
    targets: np.ndarray
    outputs: list[Any]
    schema: JsonObject
    history: list[tuple[str, dict[str, float]]]
    baselines: list[JsonObject]
    predictor: Predictor  # for predictions beyond the test set


Played = Callable[[Predictor, np.ndarray], Sequence[Any] | None]  # roadmap.project.Evaluation.played


def evaluate(
    data: Path, artifacts: Path, requests: list[JsonObject], targets: np.ndarray, played: Played
) -> EvaluatedModel:
    """The bundle's answers to the requests, whose targets are [n]; or the episodes that it plays.

    data, artifacts: data/<project> and artifacts/<project>

    Raises:
        BundleError: the bundle is damaged, or its predictor code differs from the one here.
    """
    bundle = Bundle(artifacts / "bundle")
    require_fit(bundle, data)
    bundle.require_same_code()
    predictor = load_predictor(bundle)
    outputs = outputs_of(predictor, requests, targets, played)
    baselines = read_json(artifacts / "baselines.json", list[Baseline], f"run `dvc repro baselines@{artifacts.name}`")
    schema, history = bundle.json("schema.json"), read_history(artifacts)
    return EvaluatedModel(data, requests, targets, outputs, schema, history, baselines, predictor)


def outputs_of(predictor: Predictor, requests: list[JsonObject], targets: np.ndarray, played: Played) -> list[Any]:
    """What a project's evaluation scores: [n]"""
    episodes = played(predictor, targets)
    return predict_in_batches(predictor, requests) if episodes is None else list(episodes)


def require_fit(bundle: Bundle, data: Path) -> None:
    """
    Raises:
        UsageError: the bundle is of another project, or was trained on other data than the prepared ones, whose test
            rows it may have learnt.
    """
    manifest, remedy = bundle.manifest, f"run `dvc repro train@{data.name}`"
    if manifest.project != data.name:
        raise UsageError(
            f"{bundle.folder}: found a bundle of {manifest.project}; expected one of {data.name}; {remedy}"
        )
    if manifest.data_sha256 != (expected := read_card(data)["sha256"]):
        raise UsageError(
            f"{bundle.folder}: found a bundle trained on the data {manifest.data_sha256[:12]}; expected "
            f"{expected[:12]}, those in {data}; {remedy}"
        )


def latency(predictor: Predictor, requests: Sequence[JsonObject], batch: int, seconds: float = 0.3) -> dict[str, float]:
    """Latency in ms of a batch, validation included: median and 95th percentile."""
    chosen = [requests[i % len(requests)] for i in range(batch)]
    times: list[float] = []
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(times) < 8:  # a batch may take long
        started = time.perf_counter()
        predictor.predict([predictor.Request.model_validate(request) for request in chosen])
        times.append((time.perf_counter() - started) * 1e3)
    p50, p95 = np.percentile(times, [50, 95])
    return {"p50_ms": round(float(p50), 4), "p95_ms": round(float(p95), 4), "per_item_ms": round(float(p50) / batch, 5)}
