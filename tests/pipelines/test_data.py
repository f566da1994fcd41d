"""The datasets are the published ones: totals, sizes and a recoverable ground truth."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from pipelines.house_prices import data as house_prices
from pipelines.mnist import data as mnist
from pipelines.titanic import data as titanic
from roadmap.config.check import check
from roadmap.data.splits import PreparedData
from roadmap.project import load_project

PEOPLE = titanic.unusual_episode()


def prepare(project: str, profile: str, seed: int) -> PreparedData:
    raw = yaml.safe_load(Path("params.yaml").read_text())
    run = check(
        {
            **raw,
            "project": project,
            "profile": profile,
            "trainer": {"devices": 1, "precision": "32-true"},
            "tracking": {},
        }
    )
    return load_project(project).data.prepare(run.settings.data, profile, seed)


def content(prepared: PreparedData) -> list[Any]:
    return [[np.asarray(column).tolist() for _, column in sorted(split.items())] for split in prepared.splits.values()]


@pytest.mark.parametrize("project", ["house_prices", "titanic", "mnist"])
def test_the_seed_decides_the_sample(project: str) -> None:
    one, again, other = (content(prepare(project, "sample", seed)) for seed in (1, 1, 2))
    assert one == again
    assert one != other


@pytest.mark.parametrize(
    ("group", "survived", "people"),
    [
        ({}, 711, 2201),
        ({"class": "1st"}, 203, 325),
        ({"class": "2nd"}, 118, 285),
        ({"class": "3rd"}, 178, 706),
        ({"class": "crew"}, 212, 885),
        ({"sex": "female"}, 344, 470),
        ({"sex": "male"}, 367, 1731),
        ({"age": "child"}, 57, 109),
        ({"age": "adult"}, 654, 2092),
        ({"class": "1st", "sex": "female"}, 141, 145),
        ({"class": "2nd", "sex": "female"}, 93, 106),
        ({"class": "3rd", "sex": "female"}, 90, 196),
        ({"class": "crew", "sex": "female"}, 20, 23),
        ({"class": "1st", "sex": "male"}, 62, 180),
        ({"class": "2nd", "sex": "male"}, 25, 179),
        ({"class": "3rd", "sex": "male"}, 88, 510),
        ({"class": "crew", "sex": "male"}, 192, 862),
    ],
)
def test_titanic_sums_to_dawsons_table(group: dict[str, str], survived: int, people: int) -> None:
    """Dawson (1995), table 1 and the margins that the article and R's `Titanic` data set give."""
    chosen = PEOPLE
    for column, level in group.items():
        chosen = chosen[chosen[column] == level]
    assert (int(chosen["survived"].sum()), len(chosen)) == (survived, people)


def test_least_squares_recovers_the_hedonic_coefficients() -> None:
    """Ordinary least squares on 20,000 houses: every estimate within four standard errors of the truth."""
    frame = house_prices.hedonic(20_000, seed=7)
    districts = {name: worth for name, worth in house_prices.DISTRICTS.items() if worth}
    columns = [frame[name] for name in house_prices.COEFFICIENTS] + [frame["district"] == name for name in districts]
    x = np.column_stack([*columns, np.ones(len(frame))]).astype(float)
    estimate, residual, *_ = np.linalg.lstsq(x, frame["price"].to_numpy(), rcond=None)
    variance = residual[0] / (len(x) - x.shape[1])
    errors = np.sqrt(variance * np.linalg.inv(x.T @ x).diagonal())
    truth = [*house_prices.COEFFICIENTS.values(), *districts.values(), house_prices.BASE_PRICE]
    assert np.all(np.abs(estimate - truth) < 4 * errors), estimate
    assert np.sqrt(variance) == pytest.approx(house_prices.NOISE, rel=0.03)
    assert errors.max() < 2, "the truth is found, not just not excluded"


def test_digits_are_uint8_images_of_the_full_range() -> None:
    images, labels = mnist.digits()
    assert (images.shape, images.dtype, images.min(), images.max()) == ((1797, 8, 8), np.uint8, 0, 255)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checksums are verified on the mirror's files, not on cached ones."""
    monkeypatch.setenv("DATA_CACHE", str(tmp_path))


@pytest.mark.slow
@pytest.mark.mirror
@pytest.mark.skipif(not os.environ.get("DATA_MIRROR"), reason="DATA_MIRROR names no folder with the official files")
@pytest.mark.usefixtures("no_cache")
class TestOfficialData:
    """Sizes as published; `fetch` has compared the checksums."""

    def test_california(self) -> None:
        frame = house_prices.california()
        assert len(frame) == 20_640
        assert frame.isna().sum().to_dict() == {name: 207 * (name == "total_bedrooms") for name in frame}
        assert frame["median_house_value"].max() == 500_001
        found = prepare("house_prices", "full", 1)
        assert sum(map(len, found.splits.values())) == 20_640

    def test_titanic(self) -> None:
        found = prepare("titanic", "full", 1)
        frame = pd.concat(found.splits.values())
        assert frame["Survived"].value_counts().to_dict() == {0: 549, 1: 342}
        assert frame.isna().sum().loc[["Age", "Deck", "Embarked"]].to_dict() == {"Age": 177, "Deck": 687, "Embarked": 2}

    def test_mnist(self) -> None:
        found = prepare("mnist", "full", 1)
        train, val, test = found.splits.values()
        shapes = [part["image"].shape for part in (train, val, test)]
        assert shapes == [(55_000, 28, 28), (5_000, 28, 28), (10_000, 28, 28)]
        both = np.concatenate([train["digit"], val["digit"]])
        assert np.bincount(both).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert np.bincount(test["digit"]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
        assert train["image"].mean() / 255 == pytest.approx(0.1307, abs=0.001)
