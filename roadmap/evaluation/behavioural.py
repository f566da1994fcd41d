"""What a model should do on cases made for the purpose, whatever its mean score says.

In the style of CheckList (Ribeiro, Wu, Guestrin and Singh, "Beyond Accuracy: Behavioral Testing of NLP Models with
CheckList", ACL 2020). A project's behaviour.py has

    expectations(predictor, requests) -> Iterator[Expectation]

which asks the served predictor; `requests` are test rows to change. Where the data are the user's own and lack what a
case needs, it is left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

CASES = 200  # of an expectation, at most, where they are made of test rows


@dataclass(frozen=True)
class BehaviouralCheck:
    """
    invariance   what should not matter is changed: the answer stays
    directional  what should matter is changed: the answer moves that way
    minimum      plain cases, whose answer is known
    """

    name: str
    kind: Literal["invariance", "directional", "minimum"]
    held: Any  # bool of each case: [n]
    asked: float  # share of the cases

    @property
    def rate(self) -> float:
        return float(np.mean(self.held))


def sample_cases(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most CASES of them, from all over."""
    return rows[:: max(1, -(-len(rows) // CASES))]


def table(expectations: Iterable[BehaviouralCheck]) -> dict[str, dict[str, Any]]:
    """As metrics.json has them. An expectation without cases says nothing and is left out."""
    return {
        one.name: {
            "kind": one.kind,
            "cases": len(one.held),
            "rate": one.rate,
            "asked": one.asked,
            "passed": one.rate >= one.asked,
        }
        for one in expectations
        if len(one.held)
    }
