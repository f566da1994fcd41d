"""Runs the shipped model on the test split through its serving predictor: outputs, latency, inputs of plots."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roadmap.bundle import Bundle, Predictor, load_predictor
from roadmap.bundle.answers import predict_in_batches
from roadmap.training.history import read_history


@dataclass(frozen=True)
class EvaluatedModel:
    """The inputs of a project's `figures`."""

    data: Path  # the prepared splits
    requests: list[dict[str, Any]]
    targets: np.ndarray
    outputs: list[Any]
    schema: dict[str, Any]
    history: list[tuple[str, dict[str, float]]]
    baselines: list[dict[str, Any]]
    predictor: Predictor  # for predictions beyond the test set


def evaluate(data: Path, artifacts: Path, requests: list[dict[str, Any]], targets: np.ndarray) -> EvaluatedModel:
    """
    Raises:
        BundleError: the bundle is damaged, or its predictor code differs from the one here.
    """
    bundle = Bundle(artifacts / "bundle")
    bundle.require_same_code()
    predictor = load_predictor(bundle)
    outputs = predict_in_batches(predictor, requests)
    baselines = json.loads((artifacts / "baselines.json").read_text())
    schema, history = bundle.json("schema.json"), read_history(artifacts)
    return EvaluatedModel(data, requests, targets, outputs, schema, history, baselines, predictor)


def latency(
    predictor: Predictor, requests: Sequence[dict[str, Any]], batch: int, seconds: float = 0.3
) -> dict[str, float]:
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
