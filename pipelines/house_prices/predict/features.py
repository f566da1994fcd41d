"""Derived columns, the same in training and serving. NumPy only."""

import numpy as np

from roadmap.inference.tabular.features import Columns


def derive(columns: Columns) -> Columns:
    """Adds ratios per household where the census columns are there; other tables pass as they are."""
    needed = ("total_rooms", "total_bedrooms", "population", "households")
    if not all(name in columns and columns[name].dtype.kind == "f" for name in needed):
        return columns
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = {
            "rooms_per_household": columns["total_rooms"] / columns["households"],
            "bedrooms_per_room": columns["total_bedrooms"] / columns["total_rooms"],
            "people_per_household": columns["population"] / columns["households"],
        }
    finite = {name: np.where(np.isfinite(values), values, np.nan) for name, values in ratios.items()}
    return {**columns, **finite}
