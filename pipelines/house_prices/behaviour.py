"""House prices: what a price should do when one thing about the house changes."""

from collections.abc import Iterator

import numpy as np

from pipelines.house_prices.predict import Predictor
from roadmap import project
from roadmap.bundle.answers import answer
from roadmap.evaluation.behavioural import Expectation, some
from roadmap.project import Request

# column, what is added to it, and which way the price should go: of the sample and of California's census
MOVES = (("area_m2", 20.0, 1), ("rooms", 1.0, 1), ("distance_km", 5.0, -1), ("median_income", 1.0, 1))


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[Expectation]:
        houses = some(requests)

        def prices(column: str = "", more: float = 0.0) -> np.ndarray:
            changed = ({**row, column: row[column] + more} if column else row for row in houses)
            return np.array([output.prediction for output in answer(predictor, list(changed))])

        now = prices()
        typical = np.median(np.abs(now))
        for column, more, sign in MOVES:
            if column in houses[0]:
                words = f"{more:g} more of {column}: {'not cheaper' if sign > 0 else 'not dearer'}"
                yield Expectation(words, "directional", sign * (prices(column, more) - now) >= 0, 0.99)
                hardly = np.abs(prices(column, more / 1000) - now) <= 0.01 * typical
                yield Expectation(f"hardly more of {column}", "invariance", hardly, 0.99)
        yield Expectation("a price above zero", "minimum", now > 0, 0.98)
