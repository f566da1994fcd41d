"""The schema of a prepared table, where labelled rows of the prediction log are added to it."""

import pandas as pd

from roadmap.io.json import JsonObject


def request_row(request: JsonObject, schema: JsonObject) -> JsonObject | None:
    """A request as a row of the table, a field that is absent as a gap; None where it has other columns."""
    columns = schema["columns"]
    fits = request.keys() <= columns.keys() and all(
        value is None or isinstance(value, str) == (columns[name]["kind"] == "category")
        for name, value in request.items()
    )
    return {name: request.get(name) for name in columns} if fits else None


def widen_schema(schema: JsonObject, frames: list[pd.DataFrame]) -> JsonObject:
    """The schema with ranges and levels that hold what `frames` bring too."""
    columns = {}
    for name, spec in schema["columns"].items():
        values = pd.concat([frame[name] for frame in frames]).dropna()
        if values.empty:
            columns[name] = spec
        elif spec["kind"] == "number":
            low, high = min(spec["min"], float(values.min())), max(spec["max"], float(values.max()))
            columns[name] = {**spec, "min": low, "max": high}
        else:
            columns[name] = {**spec, "levels": sorted({*spec["levels"], *values})}
    return {**schema, "columns": columns}
