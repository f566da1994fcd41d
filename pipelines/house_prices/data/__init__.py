"""House prices: a seeded hedonic generator (sample), California's 1990 census (full), or a CSV of your own."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.house_prices import settings
from pipelines.house_prices.predict.features import derive
from roadmap.data import csv_table, tables
from roadmap.data.download import fetch
from roadmap.data.splits import PreparedData
from roadmap.data.tabular import TabularData, TabularDataset
from roadmap.data.training_set import TrainingSet

# Pace and Barry, "Sparse spatial autoregressions" (1997), as distributed with Geron's "Hands-On Machine Learning".
CALIFORNIA = "https://raw.githubusercontent.com/ageron/handson-ml2/master/datasets/housing/housing.tgz"
CALIFORNIA_SHA256 = "sha256:d4cd501af90475f09b814c7447c7701f59bf28e8cf1180205ae5ace9737a0109"
CALIFORNIA_TARGET = "median_house_value"

# The true coefficients, which a linear model must recover, in thousands per unit.
COEFFICIENTS = {"area_m2": 4.2, "rooms": 18.0, "age_years": -1.5, "distance_km": -9.0}
DISTRICTS = {"old town": 120.0, "harbour": 60.0, "hills": 90.0, "suburb": 0.0}
BASE_PRICE, NOISE = 150.0, 40.0


class Data(TabularData[settings.Data]):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        if data.path and data.target:
            return tables.prepare_csv(data.path, data.target, "regression", data.split, seed, data.gaps, data.keep)
        if profile == "sample":
            frame, target, source, licence = hedonic(data.rows, seed), "price", "hedonic generator", "Apache-2.0"
        else:
            frame, target, source, licence = (
                california(),
                CALIFORNIA_TARGET,
                "California housing 1990",
                "Apache-2.0 repository",
            )
        tables.validate(frame, _schema(target), source)
        return tables.prepare(frame, target, "regression", source=source, licence=licence, shares=data.split, seed=seed)

    def training(self, folder: Path) -> TrainingSet:
        """Standardised features and the raw target; its mean and standard deviation go into the network."""
        table = TabularDataset.load(folder, derive)
        target = table.y["train"]
        return TrainingSet(
            train=(table.x["train"], target),
            val=(table.x["val"], table.y["val"]),
            model={
                "in_features": table.x["train"].shape[1],
                "target_mean": float(target.mean()),
                "target_std": float(target.std()),
            },
            assets=table.assets(),
        )


def hedonic(rows: int, seed: int) -> pd.DataFrame:
    """Houses whose price is a known linear function of their features, plus normal noise (NOISE: its deviation)."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "area_m2": rng.normal(95, 22, rows).clip(25, 200).round(1),
            "rooms": rng.integers(1, 7, rows).astype(float),
            "age_years": rng.uniform(0, 80, rows).round(),
            "distance_km": rng.uniform(0, 20, rows).round(1),
            "district": rng.choice(list(DISTRICTS), rows, p=[0.2, 0.2, 0.2, 0.4]),
        }
    )
    price = BASE_PRICE + frame["district"].map(DISTRICTS) + rng.normal(0, NOISE, rows)
    for column, worth in COEFFICIENTS.items():
        price += worth * frame[column]
    return frame.assign(price=price.clip(lower=1).round(2))


def california() -> pd.DataFrame:
    """20,640 census blocks; `total_bedrooms` has 207 gaps, the target is capped at 500,001 dollars."""
    with tarfile.open(fetch("house_prices", CALIFORNIA, CALIFORNIA_SHA256)) as archive:
        member = archive.extractfile("housing.csv")
        assert member is not None
        content = member.read()
    return csv_table.typed(csv_table.parse(content, "housing.csv", [CALIFORNIA_TARGET]), CALIFORNIA_TARGET, None).frame


def _schema(target: str) -> Any:
    import pandera.pandas as pa

    def number(check: pa.Check, nullable: bool = False) -> pa.Column:
        return pa.Column(float, check, coerce=True, nullable=nullable)

    if target == "price":
        return pa.DataFrameSchema(
            {
                "area_m2": number(pa.Check.in_range(10, 1000)),
                "rooms": number(pa.Check.in_range(1, 20)),
                "age_years": number(pa.Check.in_range(0, 500)),
                "distance_km": number(pa.Check.in_range(0, 200)),
                "district": pa.Column(str, pa.Check.isin(list(DISTRICTS))),
                "price": number(pa.Check.gt(0)),
            },
            strict=True,
        )
    count = pa.Check.ge(0)
    return pa.DataFrameSchema(
        {
            "longitude": number(pa.Check.in_range(-125, -114)),
            "latitude": number(pa.Check.in_range(32, 42.5)),
            "housing_median_age": number(pa.Check.in_range(0, 60)),
            "total_rooms": number(count),
            "total_bedrooms": number(count, nullable=True),
            "population": number(count),
            "households": number(pa.Check.gt(0)),
            "median_income": number(pa.Check.in_range(0, 20)),
            "median_house_value": number(pa.Check.in_range(10_000, 500_001)),
            "ocean_proximity": pa.Column(
                str, pa.Check.isin(["<1H OCEAN", "INLAND", "ISLAND", "NEAR BAY", "NEAR OCEAN"])
            ),
        },
        strict=True,
    )
