"""How good the answers were, once the truth has arrived: labels that `pipelines.label` joined by request id."""

import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roadmap.bundle import Bundle, Predictor
from roadmap.config.schema import Run
from roadmap.data.splits import RECENT
from roadmap.evaluation.scores import Score
from roadmap.feedback import recent
from roadmap.prediction_log.labels import Labelled

LEAST = 50  # labels, to say anything


@dataclass(frozen=True)
class Live:
    """The headline metric of the labelled answers with its 95% interval, and that of the test rows."""

    metric: str
    value: float
    low: float
    high: float
    test: float
    labels: int
    worse: bool  # the two intervals don't meet

    @property
    def sentence(self) -> str:
        found = f"{self.metric} of {self.labels:,} labelled answers is {self.value:.4f}"
        return f"{found} (95% interval {self.low:.4f} to {self.high:.4f}), {self.test:.4f} in the test"


def live(score: Score | None, tested: dict[str, Any], seed: int) -> Live | None:
    """`tested`: the headline of metrics.json; without it there is nothing to compare with."""
    if score is None or not tested or len(score.per_item) < LEAST:
        return None
    low, high = score.interval(seed)
    worse = high < tested["ci95_low"] if score.higher_is_better else low > tested["ci95_high"]
    return Live(score.headline, score.value, low, high, tested["value"], len(score.per_item), worse)


def judged(run: Run, bundle: Bundle, predictor: Predictor, known: Iterable[Labelled]) -> Score | None:
    """The project's own score of what this bundle answered; None where it takes no labels, or none has come."""
    data, evaluation = run.module("data"), run.module("evaluate")
    if not hasattr(data, "labelled"):
        return None
    schema = bundle.json("schema.json")
    rows, answers = [], []
    for one in known:
        row, target = data.labelled(one.input, schema), recent.target_of(one.label, schema)
        if one.version == bundle.manifest.version and row is not None and target is not None:
            rows.append({**row, schema["target"]: target})
            answers.append(predictor.Response.model_validate(one.output))
    if not rows:
        return None
    with tempfile.TemporaryDirectory() as folder:  # `test_rows` reads what `prepare` writes
        written(Path(folder), rows, schema)
        _, targets = evaluation.test_rows(Path(folder), RECENT)
    found: Score = evaluation.score(targets, answers)
    return found


def written(folder: Path, rows: list[dict[str, Any]], schema: dict[str, Any]) -> None:
    (folder / "card.json").write_text(json.dumps({"schema": schema}))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    if any(isinstance(values[0], np.ndarray) for values in columns.values()):
        np.savez(folder / f"{RECENT}.npz", **{name: np.array(values) for name, values in columns.items()})  # type: ignore[arg-type]
        return
    import pandas as pd

    pd.DataFrame(columns).to_parquet(folder / f"{RECENT}.parquet")
