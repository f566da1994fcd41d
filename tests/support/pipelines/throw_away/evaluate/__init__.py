from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pipelines.throw_away.predict import Response

from roadmap import project
from roadmap.evaluation import scores
from roadmap.evaluation.classical_tables import compare_tables
from roadmap.evaluation.scores import Score
from roadmap.project import Request


class Evaluation(project.Evaluation[Response]):
    def score(self, targets: np.ndarray, outputs: Sequence[Response]) -> Score:
        second = np.array([output.probability for output in outputs])
        return scores.classification(targets, np.stack([1 - second, second], axis=1))

    def slices(self, requests: list[Request], targets: np.ndarray) -> dict[str, np.ndarray]:
        return {"malignant": targets == 0, "benign": targets == 1}

    def baselines(self, folder: Path, seed: int) -> list[dict[str, Any]]:
        return compare_tables(folder, lambda columns: columns, seed)
