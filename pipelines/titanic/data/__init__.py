"""Titanic: the published contingency table person by person (sample), 891 passengers (full), or a CSV of your own."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipelines.titanic import settings
from pipelines.titanic.predict.features import derive, title
from roadmap.data import csv_table, tables
from roadmap.data.download import fetch
from roadmap.data.splits import PreparedData
from roadmap.data.tabular import TabularData, TabularDataset
from roadmap.data.training_set import TrainingSet

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema

PASSENGERS = "https://raw.githubusercontent.com/datasciencedojo/datasets/master/titanic.csv"
PASSENGERS_SHA256 = "sha256:4a437fde05fe5264e1701a7387ac6fb75393772ba38bb2c9c566405af5af4bd7"

# Dawson, "The 'Unusual Episode' Data Revisited", Journal of Statistics Education 3(3), 1995:
# (class, sex, age) -> (died, survived). 2,201 people, 711 of whom survived.
UNUSUAL_EPISODE = {
    ("1st", "male", "child"): (0, 5),
    ("2nd", "male", "child"): (0, 11),
    ("3rd", "male", "child"): (35, 13),
    ("1st", "female", "child"): (0, 1),
    ("2nd", "female", "child"): (0, 13),
    ("3rd", "female", "child"): (17, 14),
    ("1st", "male", "adult"): (118, 57),
    ("2nd", "male", "adult"): (154, 14),
    ("3rd", "male", "adult"): (387, 75),
    ("crew", "male", "adult"): (670, 192),
    ("1st", "female", "adult"): (4, 140),
    ("2nd", "female", "adult"): (13, 80),
    ("3rd", "female", "adult"): (89, 76),
    ("crew", "female", "adult"): (3, 20),
}
CLASSES = ["died", "survived"]
WHOLE = ("PassengerId", "Survived", "Pclass", "SibSp", "Parch")  # columns of the 891 passengers


class Data(TabularData[settings.Data]):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        if data.path and data.target:
            return tables.prepare_csv(data.path, data.target, "binary", data.split, seed, data.gaps, data.keep)
        if profile == "sample":
            frame, target, source, licence = (
                unusual_episode(),
                "survived",
                "Dawson's table of 2,201 people",
                "published figures",
            )
            tables.validate(frame, _table_schema(), source)
        else:
            table = csv_table.read(fetch("titanic", PASSENGERS, PASSENGERS_SHA256), ["Survived"])
            raw = csv_table.typed(table, "Survived", None).frame.astype(dict.fromkeys(WHOLE, "int64"))
            target, source, licence = "Survived", "891 passengers", "not stated"
            tables.validate(raw, _passenger_schema(), source)
            frame = tidy(raw)
        return tables.prepare(
            frame, target, "binary", source=source, licence=licence, shares=data.split, seed=seed, classes=CLASSES
        )

    def training(self, folder: Path) -> TrainingSet:
        table = TabularDataset.load(folder, derive)
        return TrainingSet(
            train=(table.x["train"], table.y["train"]),
            val=(table.x["val"], table.y["val"]),
            model={"in_features": table.x["train"].shape[1]},
            assets=table.assets(),
        )


def unusual_episode() -> pd.DataFrame:
    """One row per person of the contingency table."""
    rows = [
        {"class": cls, "sex": sex, "age": age, "survived": survived}
        for (cls, sex, age), counts in UNUSUAL_EPISODE.items()
        for survived, count in enumerate(counts)
        for _ in range(count)
    ]
    return pd.DataFrame(rows)


def tidy(passengers: pd.DataFrame) -> pd.DataFrame:
    """A passenger as a request: the title replaces the name, the deck the cabin."""
    return passengers.assign(
        Title=passengers["Name"].map(title),
        Deck=passengers["Cabin"].str[0],
        Pclass=passengers["Pclass"].map({1: "1st", 2: "2nd", 3: "3rd"}),
    )[["Pclass", "Sex", "Title", "Age", "SibSp", "Parch", "Fare", "Deck", "Embarked", "Survived"]]


def _table_schema() -> "DataFrameSchema":
    import pandera.pandas as pa

    return pa.DataFrameSchema(
        {
            "class": pa.Column(str, pa.Check.isin(["1st", "2nd", "3rd", "crew"])),
            "sex": pa.Column(str, pa.Check.isin(["male", "female"])),
            "age": pa.Column(str, pa.Check.isin(["adult", "child"])),
            "survived": pa.Column(int, pa.Check.isin([0, 1])),
        },
        strict=True,
    )


def _passenger_schema() -> "DataFrameSchema":
    import pandera.pandas as pa

    return pa.DataFrameSchema(
        {
            "PassengerId": pa.Column(int, unique=True),
            "Survived": pa.Column(int, pa.Check.isin([0, 1])),
            "Pclass": pa.Column(int, pa.Check.isin([1, 2, 3])),
            "Name": pa.Column(str, pa.Check.str_contains(",")),
            "Sex": pa.Column(str, pa.Check.isin(["male", "female"])),
            "Age": pa.Column(float, pa.Check.in_range(0, 110), nullable=True),
            "SibSp": pa.Column(int, pa.Check.in_range(0, 20)),
            "Parch": pa.Column(int, pa.Check.in_range(0, 20)),
            "Ticket": pa.Column(str),
            "Fare": pa.Column(float, pa.Check.in_range(0, 1000)),
            "Cabin": pa.Column(str, nullable=True),
            "Embarked": pa.Column(str, pa.Check.isin(["C", "Q", "S"]), nullable=True),
        },
        strict=True,
    )
