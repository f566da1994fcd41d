"""Behavioural checks: what a model must do on constructed cases, whatever its mean score.

In the style of CheckList (Ribeiro, Wu, Guestrin and Singh, "Beyond Accuracy: Behavioral Testing of NLP Models with
CheckList", ACL 2020). A project's behaviour.py derives them from test rows and calls the predictor. A check whose
columns a user's own CSV lacks is left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from roadmap.io.json import JsonObject

CASES = 200  # per check, at most, if derived from test rows


@dataclass(frozen=True)
class BehaviouralCheck:
    """
    invariance   an irrelevant change: the prediction stays
    directional  a relevant change: the prediction moves in the right direction
    minimum      simple cases with a known answer
    """

    name: str
    kind: Literal["invariance", "directional", "minimum"]
    passed: np.ndarray | Sequence[bool]  # whether each case passed: [n]
    minimum_rate: float  # minimum rate

    @property
    def rate(self) -> float:
        return float(np.mean(self.passed))


def sample_cases(rows: list[JsonObject]) -> list[JsonObject]:
    """At most CASES evenly spaced rows."""
    return rows[:: max(1, -(-len(rows) // CASES))]


def table(expectations: Iterable[BehaviouralCheck]) -> dict[str, JsonObject]:
    """The checks as in metrics.json, without those that have no cases."""
    return {
        one.name: {
            "kind": one.kind,
            "cases": len(one.passed),
            "rate": one.rate,
            "asked": one.minimum_rate,
            "passed": one.rate >= one.minimum_rate,
        }
        for one in expectations
        if len(one.passed)
    }
