"""House prices: how a price should react to a change of one feature."""

from collections.abc import Iterator

import numpy as np

from pipelines.house_prices.predict import Predictor
from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.evaluation.behavioural import BehaviouralCheck, sample_cases
from roadmap.project import Request

# column, change, expected sign of the price's change; of the sample and of California's census
MOVES = (("area_m2", 20.0, 1), ("rooms", 1.0, 1), ("distance_km", 5.0, -1), ("median_income", 1.0, 1))


def has(row: Request, column: str) -> bool:
    """Whether there is a number: a table of the user's own may have gaps or text there."""
    return isinstance(row.get(column), float)


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        houses = sample_cases(requests)

        def prices(column: str = "", more: float = 0.0) -> np.ndarray:
            changed = [{**row, column: row[column] + more} if has(row, column) else row for row in houses]
            return np.array([output.prediction for output in predict_in_batches(predictor, changed)])

        now = prices()
        typical = np.median(np.abs(now))
        for column, more, sign in MOVES:
            if any(has(row, column) for row in houses):
                name = f"{more:g} more of {column}: {'not cheaper' if sign > 0 else 'not dearer'}"
                yield BehaviouralCheck(name, "directional", sign * (prices(column, more) - now) >= 0, 0.99)
                hardly = np.abs(prices(column, more / 1000) - now) <= 0.01 * typical
                yield BehaviouralCheck(f"hardly more of {column}", "invariance", hardly, 0.99)
        yield BehaviouralCheck("a price above zero", "minimum", now > 0, 0.98)
