"""Classical baselines on a prepared table."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from roadmap.data import splits
from roadmap.evaluation.classical import classifiers, compare, folds_of, regressors
from roadmap.inference.tabular.features import Columns, Features, from_frame
from roadmap.io.json import JsonObject


def compare_tables(folder: Path, derive: Callable[[Columns], Columns], seed: int) -> list[JsonObject]:
    """Cross-validates the baselines on train + val, then fits them on both and scores them on test.

    Features are fitted within each fold, so nothing leaks from its validation rows.
    """
    import pandas as pd

    schema = splits.read_card(folder)["schema"]
    kinds = {name: spec["kind"] for name, spec in schema["columns"].items()}
    known = pd.concat([splits.read_table(folder, "train"), splits.read_table(folder, "val")], ignore_index=True)
    test = splits.read_table(folder, "test")
    binary = schema["task"] == "binary"

    def fold(train: "pd.DataFrame", held_out: "pd.DataFrame") -> tuple[np.ndarray, ...]:
        columns = [derive(from_frame(frame, kinds)) for frame in (train, held_out)]
        features = Features.fit(columns[0])
        x_train, x_held = (features.transform(table) for table in columns)
        return x_train, train[schema["target"]].to_numpy(), x_held, held_out[schema["target"]].to_numpy()

    folds = [fold(known.iloc[a], known.iloc[b]) for a, b in folds_of(known[schema["target"]].to_numpy(), binary, seed)]
    models = classifiers(seed) if binary else regressors(seed)
    return compare(models, folds, fold(known, test), metric="accuracy" if binary else "r2")
