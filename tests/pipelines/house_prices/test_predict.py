"""The shipped linear model recovers the generator's coefficients, read from its predictions."""

from typing import Any

import pytest

from pipelines.house_prices.data import COEFFICIENTS, DISTRICTS, NOISE
from roadmap.bundle import Bundle, load_predictor
from roadmap.data import splits
from tests.support.checkouts import Checkout

HOUSE: dict[str, Any] = {"area_m2": 90.0, "rooms": 3.0, "age_years": 20.0, "distance_km": 5.0, "district": "suburb"}
SIGMAS = 4  # standard errors of a coefficient: one false alarm in 16,000


@pytest.mark.slow
def test_predicted_unit_prices_match_the_generator(reproduced: Checkout) -> None:
    predictor: Any = load_predictor(Bundle(reproduced.path("artifacts", "house_prices", "bundle")))
    train = splits.read_table(reproduced.path("data", "house_prices"), "train")

    def price(**changes: object) -> float:
        return predictor.predict([predictor.Request.model_validate({**HOUSE, **changes})])[0].prediction

    for column, worth in COEFFICIENTS.items():
        error = NOISE / (train[column].std() * len(train) ** 0.5)
        assert price(**{column: HOUSE[column] + 1}) - price() == pytest.approx(worth, abs=SIGMAS * error), column
    for district, premium in DISTRICTS.items():
        rows = (train["district"] == district).sum(), (train["district"] == "suburb").sum()
        error = NOISE * (1 / rows[0] + 1 / rows[1]) ** 0.5
        assert price(district=district) - price() == pytest.approx(premium, abs=SIGMAS * error), district
