"""The signature of the MLflow model accepts what the model's request accepts."""

from pathlib import Path

import pandas as pd
import pytest
from mlflow.models.utils import _enforce_schema

from roadmap.bundle import Bundle
from roadmap.promotion.registry import _signature
from tests.support import bundles


@pytest.mark.parametrize("rooms", [[3, 4], [3.0, 4.5], [3, None]])
def test_integers_floats_and_missing_values_are_accepted(tmp_path: Path, rooms: list[float | None]) -> None:
    bundles.house_prices(tmp_path / "bundle")
    example, signature = _signature(Bundle(tmp_path / "bundle"))
    frame = pd.DataFrame({"area_m2": [90, 80], "rooms": rooms, "district": ["hills", None]})
    assert list(_enforce_schema(frame, signature.inputs)["area_m2"]) == [90, 80]
    assert list(_enforce_schema(example, signature.inputs)) == list(example)
