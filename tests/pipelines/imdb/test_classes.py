"""Texts of any number of classes: four here, from every kind of file to every entry point."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fastapi.testclient import TestClient
from matplotlib.figure import Figure

from models import imdb as networks
from pipelines.imdb import behaviour, data, evaluate, monitoring
from pipelines.imdb.data import tokens
from pipelines.imdb.predict import Predictor
from pipelines.imdb.settings import Data
from roadmap.bundle import Bundle, load_predictor
from roadmap.bundle.answers import predict_in_batches
from roadmap.data import splits
from roadmap.evaluation import behavioural
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.labelled import LabelScorer
from roadmap.io.errors import UsageError
from roadmap.project import load_project
from roadmap.reporting import style
from roadmap.reporting.tasks import text as report
from serving.batch.__main__ import main as score
from serving.http.app import create_app
from serving.settings import Settings
from tests.support.pipelines import reviews

CLASSES = ["Business", "Sci/Tech", "Sports", "World"]
WORDS = {"Business": "shares", "Sci/Tech": "software", "Sports": "match", "World": "treaty"}


def settings(**changes: Any) -> Data:
    return reviews.settings(**{"vocabulary": 300, **changes})


def rows() -> list[tuple[str, str]]:
    return [(f"report {n}: {WORDS[name]} and more {WORDS[name]}", name) for n in range(60) for name in CLASSES]


def written(folder: Path, kind: str) -> Data:
    frame = pd.DataFrame(rows(), columns=["text", "class"])
    path = folder / f"news.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    return settings(path=str(path), text="text", target="class")


def prepared(requests: Data) -> splits.PreparedData:
    return data.Data().prepare(requests, "sample", seed=3)


@pytest.mark.parametrize("kind", ["tsv", "jsonl"])
def test_a_table_is_the_same_in_every_form(tmp_path: Path, kind: str) -> None:
    one, other = (prepared(written(tmp_path, each)) for each in ("csv", kind))
    assert one.schema["classes"] == other.schema["classes"] == CLASSES
    for name in splits.SPLITS:
        pd.testing.assert_frame_equal(one.splits[name], other.splits[name])
        assert set(one.splits[name]["label"]) == {0, 1, 2, 3}


@pytest.mark.parametrize("form", ["folder", "archive"])
@pytest.mark.parametrize("parts", [("",), ("train", "test")])
def test_a_folder_per_class(tmp_path: Path, form: str, parts: tuple[str, ...]) -> None:
    names = ["business", "sport", "world"]
    files = {
        f"{part}/{name}/{n}.txt".lstrip("/"): f"{part} {name} {n}"
        for part in parts
        for name in names
        for n in range(20)
    }
    files |= (
        {"train/unsup/1.txt": "of no class", ".DS_Store/x/1.txt": "\x00"} if parts[0] else {"world/._1.txt": "\x00"}
    )
    path = tmp_path / ("news" if form == "folder" else "news.tar.gz")
    if form == "folder":
        for place, text in files.items():
            (path / place).parent.mkdir(parents=True, exist_ok=True)
            (path / place).write_text(text)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for place, text in files.items():
                member = tarfile.TarInfo(f"news/{place}")
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
    found = prepared(settings(path=str(path)))
    assert found.schema["classes"] == names
    assert sum(map(len, found.splits.values())) == 60 * len(parts)
    for part in found.splits.values():
        assert all(names[label] == text.split()[-2] for text, label in zip(part["text"], part["label"], strict=True))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 3: is no JSON"),
        ("[1]", "line 3: found list; expected an object with 'text' and 'class'"),
        ('{"text": "a"}', "line 3: no field 'class'; allowed: text"),
        ('{"text": 5, "class": "a"}', "line 3: 'text': found '5'; expected a text or null"),
        ('{"text": "a", "class": ["a"]}', "line 3: 'class': found .* expected the name or number of a class"),
        ('{"text": "' + "x" * 20_001 + '", "class": "a"}', "line 3, field 'text': found 20,001 characters"),
    ],
)
def test_a_line_that_is_no_labelled_text_is_named(tmp_path: Path, line: str, message: str) -> None:
    requests = written(tmp_path, "jsonl")
    lines = Path(str(requests.path)).read_text().splitlines()
    Path(str(requests.path)).write_text("\n".join([*lines[:2], line, *lines[2:]]))
    with pytest.raises(UsageError, match=rf"news\.jsonl: {message}"):
        prepared(requests)


def test_numbers_of_classes_are_in_order_of_size(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"text {n}", "class": None if n == 7 else n % 11}) for n in range(220)]
    (tmp_path / "own.jsonl").write_text("\n".join(lines))
    found = prepared(settings(path=str(tmp_path / "own.jsonl"), text="text", target="class"))
    assert found.schema["classes"] == [str(n) for n in range(11)]
    assert sum(map(len, found.splits.values())) == 219


# ---------------------------------------------------------------- training, evaluation, serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "imdb"
    splits.write(folder, prepared(written(folder.parent, "csv")), "sample")
    return folder


@pytest.fixture(scope="module")
def artifacts(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle as training writes it, after a few steps."""
    artifacts = tmp_path_factory.mktemp("artifacts")
    found = data.Data().training(folder)
    torch.manual_seed(0)
    model = networks.LSTM(**found.model, width=24, hidden=6, dropout=0, word_dropout=0, lr=0.1, weight_decay=0)
    x, lengths, y = map(torch.from_numpy, found.train)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(15):
        optimizer.zero_grad()
        model.training_step((x, lengths, y), 0).backward()
        optimizer.step()
    reviews.bundle(model, found, artifacts / "imdb" / "bundle")
    return artifacts


@pytest.fixture(scope="module")
def evaluated(folder: Path, artifacts: Path) -> EvaluatedModel:
    bundle = Bundle(artifacts / "imdb" / "bundle")
    predictor: Any = load_predictor(bundle)
    requests, targets = data.Data().test_rows(folder)
    outputs = predict_in_batches(predictor, requests)
    return EvaluatedModel(folder, requests, targets, outputs, bundle.json("schema.json"), [], [], predictor)


def test_four_classes_are_learnt_scored_and_drawn(evaluated: EvaluatedModel) -> None:
    evaluation = evaluate.Evaluation()
    score = evaluation.score(evaluated.targets, evaluated.outputs)
    assert score.headline == "accuracy" and score.value > 0.9
    assert 0 <= score.metrics["log_loss"] < 0.5 and score.metrics["macro_f1"] > 0.9
    assert {f"label={n}" for n in range(4)} <= set(evaluation.slices(evaluated.requests, evaluated.targets))
    figures = evaluation.figures(evaluated)
    assert {"confusion", "calibration", "classes", "words_that_count", "wrong_predictions"} <= set(figures)
    words = figures["words_that_count"]
    assert isinstance(words, Figure)
    titles = [ax.get_title(loc="left") for ax in words.axes]
    assert titles == [f"for {name}" for name in CLASSES]
    for name, ax in zip(CLASSES, words.axes, strict=True):
        assert (
            WORDS[name][:3] in ax.get_yticklabels()[0].get_text() or ax.get_yticklabels()[0].get_text() in WORDS[name]
        )
    assert isinstance(evaluated.predictor, Predictor)
    checks = behavioural.table(behaviour.Behaviour().expectations(evaluated.predictor, evaluated.requests))
    assert set(checks) == {"capitals"} and checks["capitals"]["passed"]


def test_baselines_are_of_all_classes(folder: Path) -> None:
    rows = {row["name"]: row["test"] for row in evaluate.Evaluation().baselines(folder, seed=0)}
    assert len(rows) == 3 and min(rows.values()) > 0.95


def test_a_prediction_can_be_checked_by_hand(evaluated: EvaluatedModel) -> None:
    for request, output in zip(evaluated.requests, evaluated.outputs, strict=True):
        assert list(output.probabilities) == CLASSES and sum(output.probabilities.values()) == pytest.approx(
            1, abs=1e-4
        )
        assert output.label == max(output.probabilities, key=output.probabilities.get)
        assert output.probability == output.probabilities[output.label]
        logs = np.log(np.maximum(list(output.probabilities.values()), 1e-12))
        if min(output.probabilities.values()) > 1e-3:
            assert output.log_odds == pytest.approx(logs.max() - logs.mean(), abs=0.02)
        total = output.bias + sum(one["weight"] for one in output.contributions)
        assert total == pytest.approx(output.log_odds, abs=1e-3)
        assert all(request["text"][one["start"] : one["end"]] == one["token"] for one in output.contributions)


@pytest.fixture(scope="module")
def client(artifacts: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundles=str(artifacts))), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("name", CLASSES)
def test_every_entry_point_gives_the_same_class(client: TestClient, name: str, artifacts: Path, tmp_path: Path) -> None:
    text = f"report 5: {WORDS[name]} and more {WORDS[name]}"
    own = client.post("/models/imdb/predict", json={"inputs": [{"text": text}]}).json()["outputs"][0]
    assert own["label"] == name and set(own["probabilities"]) == set(CLASSES)
    plain = client.post(
        "/invocations?model=imdb",
        content=f"text\n{text}\n",
        headers={"content-type": "text/csv", "accept": "application/json"},
    )
    assert name in plain.text, plain.text
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
    tensors = client.post("/v2/models/imdb/infer", json={"inputs": [tensor]}).json()["outputs"]
    assert next(one["data"] for one in tensors if one["name"] == "label") == [name]
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": text}) + "\n")
    requests = [
        f"bundles={artifacts}",
        f"input={tmp_path / 'in.jsonl'}",
        f"output={tmp_path / 'out.jsonl'}",
    ]
    assert score(["project=imdb", *requests]) == 0
    assert json.loads((tmp_path / "out.jsonl").read_text())["label"] == name


def test_what_it_answers_is_watched_and_labels_are_scored(evaluated: EvaluatedModel) -> None:
    columns = monitoring.Monitoring().answers(evaluated.outputs)
    assert set(columns["label"]) == set(CLASSES)
    scorer = LabelScorer(load_project("imdb"), evaluated.schema)
    labelled = [
        scorer.row(CLASSES[target["label"]], {"text": request["text"]})
        for request, target in zip(evaluated.requests, evaluated.targets, strict=True)
    ]
    score = scorer.score([row for row in labelled if row], [output.model_dump() for output in evaluated.outputs])
    assert score.value == evaluate.Evaluation().score(evaluated.targets, evaluated.outputs).value


def test_the_report_shows_every_class(folder: Path) -> None:
    with style.applied():
        found = report.sections(folder, splits.read_card(folder))
    assert "240 texts in 4 classes" in found[0].lead


def test_so_many_classes_that_none_has_a_column(folder: Path) -> None:
    labels = np.repeat(np.arange(40), 10)
    rows = np.column_stack([2 + labels, np.full((400, 5), 1)]).astype(np.int32)
    assert tokens.embedding(rows, np.full(400, 6), labels, 60, 40).shape == (60, 59)
    few = tokens.log_count_ratios(rows, labels % 4, 60, 4)
    assert few.shape == (60, 4) and all(few[2 + n].argmax() == n % 4 for n in range(40))
