"""imdb's data, small, and bundles of its networks."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.imdb import LSTM
from pipelines.imdb.settings import Data
from roadmap.bundle import write_manifest
from roadmap.data.training_set import TrainingSet
from roadmap.training.export import export


def settings(**changes: Any) -> Data:
    known = {"path": None, "text": None, "target": None, "rows": 600, "split": (0.7, 0.15, 0.15)}
    return Data(**{**known, "vocabulary": 700, "max_tokens": 64, **changes})


def bundle(network: LSTM, found: TrainingSet, folder: Path) -> None:
    """Written to the folder as training does."""
    folder.mkdir(parents=True)
    export(network.eval(), tuple(array[:2] for array in found.val[:-1]), folder)
    assert isinstance(found.assets, Mapping)
    for name, content in found.assets.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False))
    lineage = {"source": "test", "created": "2026-11-24T00:00:00+00:00", "git_commit": None, "run": "0" * 32}
    hashes = {"data_sha256": "1" * 64, "params_sha256": "2" * 64}
    write_manifest(folder, project="imdb", predictor="pipelines.imdb.predict", profile="sample", **lineage, **hashes)
