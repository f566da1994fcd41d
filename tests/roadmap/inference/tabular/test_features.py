"""Features: fitted on the training rows only, equal offline and online, and never NaN."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.house_prices import data as house_prices
from pipelines.house_prices.predict import features as house_prices_features
from pipelines.titanic import data as titanic
from pipelines.titanic.predict import features as titanic_features
from roadmap.inference.tabular.features import Columns, Features, from_frame, from_rows, kinds_of

NAN = float("nan")
WORDS = st.one_of(st.none(), st.text(max_size=3))


def number(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def text(*values: str | None) -> np.ndarray:
    return np.array(values, dtype=object)


def fit_transform(**columns: np.ndarray) -> tuple[list[str], np.ndarray]:
    features = Features.fit(columns)
    return features.names, features.transform(columns)


def test_numbers_are_standardised() -> None:
    rng = np.random.default_rng(1)
    columns = {
        "normal": rng.normal(1e6, 3, 500),
        "uniform": rng.uniform(-5, -1, 500),
        "skewed": np.where(rng.random(500) < 0.2, NAN, rng.lognormal(3, 1, 500)),
    }
    names, x = fit_transform(**columns)
    assert names == ["normal", "uniform", "log(skewed)", "skewed missing"]
    assert x.dtype == np.float32
    np.testing.assert_allclose(x[:, :3].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(x[:, :3].std(axis=0), 1, atol=1e-5)


def test_missing_numbers_take_the_median_and_an_indicator() -> None:
    names, x = fit_transform(age=number(1, NAN, 3, 8, NAN))
    assert names == ["age", "age missing"]
    known = number(1, 3, 3, 8, 3)  # 3 is the median of 1, 3, 8
    np.testing.assert_allclose(x[:, 0], (known - known.mean()) / known.std(), rtol=1e-6)
    assert x[:, 1].tolist() == [0, 1, 0, 0, 1]


def test_an_unexpected_gap_is_an_average_row() -> None:
    features = Features.fit({"age": number(1, 3, 8)})
    assert features.names == ["age"]
    assert features.transform({"age": number(NAN)}).item() == pytest.approx(
        features.transform({"age": number(3)}).item()
    )


def test_only_skewed_non_negative_columns_are_log_transformed() -> None:
    skewed = number(*[1] * 20, 1000)
    names, x = fit_transform(income=skewed, debt=-skewed, change=skewed - 2, height=number(*range(21)))
    assert names == ["log(income)", "debt", "change", "height"]
    logged = np.log1p(skewed)
    np.testing.assert_allclose(x[:, 0], (logged - logged.mean()) / logged.std(), rtol=1e-5)


def test_the_most_frequent_level_is_zeros_and_gaps_have_a_column() -> None:
    features = Features.fit({"c": text("b", "a", "b", None, "b", "c", "a")})
    assert features.names == ["c=a", "c=c", "c missing"]
    rows = {"b": [0, 0, 0], "a": [1, 0, 0], "c": [0, 1, 0], None: [0, 0, 1]}
    assert features.transform({"c": text(*rows)}).tolist() == list(rows.values())


@pytest.mark.parametrize("value", ["never seen", "B", "", None])
def test_unseen_levels_are_an_average_row(value: str | None) -> None:
    features = Features.fit({"c": text("b", "a", "b", "c")})
    assert features.transform({"c": text(value)}).tolist() == [[0.25, 0.25]]
    assert features.transform({"c": text("b", "a", "b", "c")}).mean(axis=0).tolist() == [0.25, 0.25]


def test_features_of_older_bundles_are_unchanged() -> None:
    features = Features.from_json([{"column": "c", "levels": ["a", "c"], "kind": "category"}])
    assert features.transform({"c": text("a", "never seen", None)}).tolist() == [[1, 0], [0, 0], [0, 0]]


def test_ties_between_levels_are_ordered_by_name() -> None:
    one, two = (Features.fit({"c": text(*order)}) for order in ("xyz", "zyx"))
    assert one.names == two.names


def test_statistics_come_from_training_rows_only() -> None:
    train = {"n": number(0, 10, 20), "c": text("a", "b", "a")}
    features = Features.fit(train)
    before = features.to_json()
    x = features.transform({"n": number(1000, 10), "c": text("new", "b")})
    assert features.to_json() == before
    assert x[:, 0].tolist() == pytest.approx([990 / np.std([0, 10, 20]), 0])


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.one_of(st.just(NAN), st.floats(-1e9, 1e9)), min_size=1, max_size=8),
    st.lists(st.one_of(st.just(NAN), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=8),
)
def test_any_number_becomes_a_finite_feature(train: list[float], value: list[float]) -> None:
    features = Features.fit({"n": number(*train)})
    assert np.isfinite(features.transform({"n": number(*value)})).all()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.one_of(st.just(NAN), st.floats(-1e6, 1e6)), WORDS), min_size=1, max_size=12))
def test_json_round_trips_the_transform_exactly(rows: list[tuple[float, str | None]]) -> None:
    columns = {"n": number(*(n for n, _ in rows)), "c": text(*(c for _, c in rows))}
    features = Features.fit(columns)
    again = Features.from_json(json.loads(json.dumps(features.to_json(), allow_nan=False)))
    assert again == features
    np.testing.assert_array_equal(again.transform(columns), features.transform(columns))


@pytest.mark.parametrize(
    ("frame", "target", "derive"),
    [
        (house_prices.hedonic(50, 3), "price", house_prices_features.derive),
        (titanic.unusual_episode()[::100], "survived", titanic_features.derive),
    ],
    ids=["house_prices", "titanic"],
)
def test_a_request_and_a_table_row_give_the_same_features(
    frame: pd.DataFrame, target: str, derive: Callable[[Columns], Columns]
) -> None:
    frame = frame.drop(columns=target).reset_index(drop=True).astype(object)
    frame.iloc[3, :] = None
    kinds = kinds_of({str(n): v.to_numpy(float if isinstance(v[0], float) else object) for n, v in frame.items()})
    offline = derive(from_frame(frame, kinds))
    rows = [{str(k): v for k, v in row.items() if v is not None} for row in frame.to_dict("records")]
    online = derive(from_rows(rows, kinds))
    features = Features.fit(offline)
    np.testing.assert_array_equal(features.transform(online), features.transform(offline))


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("Braund, Mr. Owen Harris", "Mr"),
        ("Cumings, Mrs. John Bradley (Florence Briggs Thayer)", "Mrs"),
        ("Heikkinen, Miss. Laina", "Miss"),
        ("Palsson, Master. Gosta Leonard", "Master"),
        ("Sagesser, Mlle. Emma", "Miss"),
        ("Aubart, Mme. Leontine Pauline", "Mrs"),
        ("Rothes, the Countess. of (Lucy Noel Martha Dyer-Edwards)", "Other"),
        ("Byles, Rev. Thomas Roussel Davids", "Other"),
        ("no comma at all", "Other"),
        ("", "Other"),
    ],
)
def test_titles_are_extracted_from_names(name: str, title: str) -> None:
    assert titanic_features.title(name) == title


def test_family_size_includes_the_passenger() -> None:
    found = titanic_features.derive({"SibSp": number(0, 1, 4, NAN), "Parch": number(0, 0, 2, 1)})
    np.testing.assert_array_equal(found["family"], [1, 2, 7, NAN])
    np.testing.assert_array_equal(found["alone"], [1, 0, 0, NAN])
    np.testing.assert_array_equal(found["large_family"], [0, 0, 1, NAN])


def test_household_ratios_and_missing_values() -> None:
    """The first census block of the published table, then blocks with zero households, zero rooms and a gap."""
    found = house_prices_features.derive(
        {
            "total_rooms": number(880, 100, 0, 50),
            "total_bedrooms": number(129, 20, 0, NAN),
            "population": number(322, 9, 5, 6),
            "households": number(126, 0, 2, 3),
        }
    )
    np.testing.assert_allclose(found["rooms_per_household"], [6.984127, NAN, 0, 50 / 3], rtol=1e-6)
    np.testing.assert_allclose(found["bedrooms_per_room"], [0.146591, 0.2, NAN, NAN], rtol=1e-5)
    np.testing.assert_allclose(found["people_per_household"], [2.555556, NAN, 2.5, 2], rtol=1e-6)
