"""Tabular projects: a prepared table with fitted features, and what their `Data` have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from roadmap import project
from roadmap.data import schema as schemas
from roadmap.data import splits
from roadmap.inference.tabular.features import Columns, Features, from_frame
from roadmap.io.json import JsonObject
from roadmap.project import DataBlock, Request, Row, Schema


class TabularData(project.Data[DataBlock], project.TakesLabels):
    """What is left to a project: where its table comes from, and what the network is told of it."""

    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """Requests, and their targets [n]."""
        schema, frame = splits.read_card(folder)["schema"], splits.read_table(folder, split)
        return requests(frame, schema), frame[schema["target"]].to_numpy()

    def labelled(self, request: Request, schema: Schema) -> Row | None:
        return schemas.request_row(request, schema)


@dataclass(frozen=True)
class TabularDataset:
    """A prepared table: its schema, and features fitted on the training split alone."""

    schema: JsonObject
    features: Features
    x: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    example: list[JsonObject]

    @classmethod
    def load(
        cls, folder: Path, derive: Callable[[Columns], Columns], names: tuple[str, ...] = ("train", "val")
    ) -> "TabularDataset":
        """x[split]: float32 [n, d], y[split]: float32 [n]"""
        schema = splits.read_card(folder)["schema"]
        kinds = {name: spec["kind"] for name, spec in schema["columns"].items()}
        frames = {name: splits.read_table(folder, name) for name in names}
        columns = {name: derive(from_frame(frame, kinds)) for name, frame in frames.items()}
        features = Features.fit(columns["train"])
        return cls(
            schema=schema,
            features=features,
            x={name: features.transform(table) for name, table in columns.items()},
            y={name: frame[schema["target"]].to_numpy(np.float32) for name, frame in frames.items()},
            example=requests(frames["train"], schema)[:2],
        )

    def assets(self) -> JsonObject:
        return {"schema.json": self.schema, "features.json": self.features.to_json(), "example.json": self.example}


def requests(frame: pd.DataFrame, schema: JsonObject) -> list[JsonObject]:
    """Rows of a prepared table as requests, gaps as None."""
    table = frame[list(schema["columns"])].astype(object)
    return table.where(table.notna(), None).to_dict("records")  # type: ignore[return-value]
