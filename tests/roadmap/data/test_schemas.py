"""The projects' schemas of their tables: an invalid row is named."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.house_prices import data as house_prices
from pipelines.titanic import data as titanic
from roadmap.data import tables
from roadmap.io.errors import UsageError

HOUSE = house_prices.hedonic(30, 1)
BLOCK = {
    "longitude": -122.23, "latitude": 37.88, "housing_median_age": 41.0, "total_rooms": 880.0, "total_bedrooms": np.nan,
    "population": 322.0, "households": 126.0, "median_income": 8.3252, "median_house_value": 452600.0,
    "ocean_proximity": "NEAR BAY",
}  # fmt: skip
PASSENGER = {
    "Survived": 0, "Pclass": 3, "Name": "Braund, Mr. Owen Harris", "Sex": "male", "Age": 22.0, "SibSp": 1, "Parch": 0,
    "Ticket": "A/5 21171", "Fare": 7.25, "Cabin": None, "Embarked": "S",
}  # fmt: skip
SCHEMAS: dict[str, tuple[Any, pd.DataFrame]] = {
    "houses": (house_prices._schema("price"), HOUSE),
    "blocks": (house_prices._schema("median_house_value"), pd.DataFrame([BLOCK] * 30)),
    "people": (titanic._table_schema(), titanic.unusual_episode()),
    "passengers": (
        titanic._passenger_schema(),
        pd.DataFrame([{**PASSENGER, "PassengerId": i, "Cabin": "C85" if i else None} for i in range(30)]),
    ),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_valid_rows_pass_the_schemas(name: str) -> None:
    schema, frame = SCHEMAS[name]
    tables.validate(frame, schema, name)


@pytest.mark.parametrize(
    ("name", "column", "value", "rule"),
    [
        ("houses", "rooms", 99.0, r"99(\.0)? breaks the rule in_range\(1, 20\)"),
        ("houses", "district", "moon", r"'moon' breaks the rule isin\(.*harbour"),
        ("houses", "price", np.nan, "breaks the rule not_nullable"),
        ("houses", "area_m2", "wide", "'wide' breaks the rule coerce"),
        ("blocks", "households", 0.0, r"0(\.0)? breaks the rule greater_than\(0\)"),
        ("blocks", "longitude", 139.7, r"139\.7 breaks the rule in_range\(-125, -114\)"),
        ("people", "class", "4th", "'4th' breaks the rule isin"),
        ("people", "survived", 2, "2 breaks the rule isin"),
        ("passengers", "Age", 200.0, r"200(\.0)? breaks the rule in_range\(0, 110\)"),
        ("passengers", "Name", "Nobody", "'Nobody' breaks the rule str_contains"),
    ],
)
def test_an_invalid_row_is_named_by_row_column_value_and_rule(name: str, column: str, value: Any, rule: str) -> None:
    schema, frame = SCHEMAS[name]
    bad = frame.astype({column: object}) if isinstance(value, str) else frame.copy()
    bad.loc[16, column] = value
    with pytest.raises(UsageError, match=f"^the file: data row 17, column {column}: {'' if value != value else rule}"):
        tables.validate(bad, schema, "the file")


def test_a_duplicate_identity_and_a_missing_column_are_named() -> None:
    schema, frame = SCHEMAS["passengers"]
    with pytest.raises(UsageError, match="column PassengerId: 3 breaks the rule field_uniqueness"):
        tables.validate(frame.assign(PassengerId=frame["PassengerId"].replace(4, 3)), schema, "the file")
    with pytest.raises(UsageError, match="Fare"):
        tables.validate(frame.drop(columns="Fare"), schema, "the file")
