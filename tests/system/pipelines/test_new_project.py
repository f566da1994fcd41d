"""Adding a project costs one folder and one block: proven by adding one, running its stages, calling its endpoint."""

import json
from pathlib import Path

import pytest
import yaml

from tests.support.checkouts import Checkout, checkout

FILES = {
    "settings.py": """
from pydantic import Field

from roadmap.config.schema import ModelSettings, TableSettings


class Data(TableSettings):
    pass


class Model(ModelSettings):
    hidden: list[int] = Field(description="widths of the hidden layers")
    dropout: float = Field(ge=0, lt=1)
    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
""",
    "data.py": """
from pathlib import Path

from roadmap.data import tables
from roadmap.data.tabular import Table
from roadmap.data.training_set import TrainingSet


def prepare(data, profile, seed):
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame
    return tables.prepare(
        frame, "target", "binary", source="scikit-learn breast cancer", licence="CC BY 4.0", shares=data.split,
        seed=seed, classes=["malignant", "benign"],
    )


def training_set(folder: Path) -> TrainingSet:
    table = Table.load(folder, lambda columns: columns)
    return TrainingSet(
        (table.x["train"], table.y["train"]), (table.x["val"], table.y["val"]),
        {"in_features": table.x["train"].shape[1]}, table.assets(),
    )
""",
    "predict.py": """
from pydantic import BaseModel

from roadmap.inference.tabular import TabularPredictor


class Response(BaseModel):
    probability: float


class Predictor(TabularPredictor):
    Response = Response
    derive = staticmethod(lambda columns: columns)

    def predict(self, inputs):
        return [Response(probability=p) for p in self.outputs(inputs).tolist()]
""",
    "evaluate.py": """
import numpy as np

from roadmap.evaluation import scores
from roadmap.data import splits
from roadmap.evaluation.classical_tables import compare_tables
from roadmap.data.tabular import requests


def test_rows(folder):
    schema, frame = splits.read_card(folder)["schema"], splits.read(folder, "test")
    return requests(frame, schema), frame[schema["target"]].to_numpy()


def score(targets, outputs):
    second = np.array([output.probability for output in outputs])
    return scores.classification(targets, np.stack([1 - second, second], axis=1))


def slices(requests, targets):
    return {"malignant": targets == 0, "benign": targets == 1}


def baselines(folder, seed):
    return compare_tables(folder, lambda columns: columns, seed)


def figures(evaluated):
    return {}
""",
    "monitoring.py": """
from roadmap.monitoring.reference.columns import table

inputs = table


def answers(found):
    return {"probability": [answer.probability for answer in found]}
""",
    "behaviour.py": """
import numpy as np

from roadmap.evaluation.behavioural import Expectation
from roadmap.bundle.answers import answer


def expectations(predictor, requests):
    one, two = (np.array([o.probability for o in answer(predictor, r)]) for r in (requests, requests[::-1]))
    yield Expectation("in another order", "invariance", np.isclose(one, two[::-1], atol=1e-5), 1.0)
""",
}
BLOCK = {
    "network": "titanic",
    "data": {"path": None, "target": None, "split": [0.6, 0.2, 0.2]},
    "model": {
        "_target_": "models.titanic.Classifier",
        "hidden": [16],
        "dropout": 0.0,
        "lr": 0.02,
        "weight_decay": 0.01,
    },
    "train": {"epochs": 20, "batch_size": 64, "threads": 1},
    "variants": {},
    "gate": {"floor": 0.9, "margin": 0.03, "latency_ms": 20, "size_mb": 1},
}


def test_one_folder_and_one_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = Checkout(checkout(tmp_path / "clone"))
    folder = clone.path("pipelines", "throw_away")
    folder.mkdir()
    for name, text in {"__init__.py": "", **FILES}.items():
        (folder / name).write_text(text.lstrip())
    params = yaml.safe_load(clone.path("params.yaml").read_text())
    params["projects"]["throw_away"] = BLOCK
    clone.path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    clone.run("dvc", "repro", "-q", "register@throw_away", "report@throw_away")
    assert clone.path("artifacts", "throw_away", "report", "index.html").stat().st_size > 10_000
    decision = json.loads(clone.path("artifacts", "throw_away", "decision.json").read_text())
    assert decision["promoted"], decision["summary"]
    code = """
import json
from fastapi.testclient import TestClient
from serving.http.app import create_app
from serving.settings import Settings
example = json.load(open("artifacts/throw_away/bundle/example.json"))
with TestClient(create_app()) as client:
    answer = client.post("/models/throw_away/predict", json={"inputs": example})
    print(answer.status_code, len(answer.json()["outputs"]))
"""
    assert clone.run("python", "-c", code).stdout.split() == ["200", "2"]
