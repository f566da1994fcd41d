"""The shapes of the JSON files in artifacts/<project>/ that later stages read."""

from pathlib import Path

from typing_extensions import TypedDict

from roadmap.io.documents import read_json
from roadmap.io.json import JsonObject


class Baseline(TypedDict):
    """A row of baselines.json."""

    name: str
    test: float


class Trained(TypedDict):
    """train.json"""

    parameters: int
    seconds: float


class Headline(TypedDict):
    name: str
    value: float
    ci95_low: float
    ci95_high: float
    higher_is_better: bool


class BaselineScore(TypedDict):
    test: float


class Metrics(TypedDict):
    """metrics.json, what tables and comparisons show of it."""

    headline: Headline
    baselines: dict[str, BaselineScore]
    data_sha256: str


class BehaviourResult(TypedDict):
    rate: float
    cases: int
    asked: float
    passed: bool


class Latency(TypedDict):
    p50_ms: float
    p95_ms: float


class Latencies(TypedDict):
    batch_1: Latency


class Seconds(TypedDict):
    train: float


class Evaluated(Metrics):
    """metrics.json, what the gate and the summary need besides."""

    behaviour: dict[str, BehaviourResult]
    latency: Latencies
    size_bytes: int
    profile: str
    source: str
    seconds: Seconds


class Decision(TypedDict):
    """decision.json"""

    promoted: bool


def read_metrics(folder: Path) -> JsonObject:
    """Raises: UsageError: missing, or not of this shape."""
    found: JsonObject = read_json(folder / "metrics.json", Evaluated, f"run `dvc repro evaluate@{folder.name}`")
    return found
