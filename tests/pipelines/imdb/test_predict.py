"""Serving imdb: predictions over HTTP, evaluation, report, the official data."""

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from models import imdb as networks
from pipelines.imdb import data, evaluate
from pipelines.imdb.data.reviews import generate
from roadmap.bundle import Bundle, load_predictor
from roadmap.data import splits
from roadmap.data.texts import files
from roadmap.evaluation import plots
from roadmap.evaluation.plots import texts as text_plots
from roadmap.inference.text import TOKENS, batches
from roadmap.reporting import style
from roadmap.reporting.tasks import text as report
from serving.http.app import create_app
from serving.settings import Settings
from tests.support.checkouts import Checkout, checkout
from tests.support.pipelines import reviews

# ---------------------------------------------------------------- serving


@pytest.fixture(scope="module")
def artifacts(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle as training writes it, of an untrained network."""
    folder = tmp_path_factory.mktemp("artifacts")
    found = data.Data().training(prepared)
    torch.manual_seed(0)
    network = networks.LSTM(**found.model, width=8, hidden=6, dropout=0, word_dropout=0, lr=0.1, weight_decay=0)
    reviews.bundle(network, found, folder / "imdb" / "bundle")
    return folder


@pytest.fixture(scope="module")
def client(artifacts: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundles=str(artifacts))), raise_server_exceptions=False) as client:
        yield client


def ask(client: TestClient, *inputs: Any) -> Any:
    body = json.dumps({"inputs": list(inputs)})  # escapes surrogates, like a client that sends half an emoji
    return client.post("/models/imdb/predict", content=body, headers={"content-type": "application/json"})


def test_a_prediction_can_be_checked_by_hand(client: TestClient) -> None:
    texts = ["The plot was never boring, but the ending was dull.", "虽然剧情很精彩，但是结局算不上动人。", "Superb!"]
    outputs = ask(client, *({"text": text} for text in texts)).json()["outputs"]
    for text, output in zip(texts, outputs, strict=True):
        total = output["bias"] + sum(one["weight"] for one in output["contributions"])
        assert total == pytest.approx(output["log_odds"], abs=1e-3)
        assert output["label"] == ("positive" if output["log_odds"] >= 0 else "negative")
        assert output["probability"] == pytest.approx(1 / (1 + np.exp(-abs(output["log_odds"]))), abs=1e-5)
        for one in output["contributions"]:
            assert text[one["start"] : one["end"]] == one["token"]
        assert output["read"] == len(text)
    assert len({output["bias"] for output in outputs}) == 1 or np.ptp([o["bias"] for o in outputs]) < 1e-4


def test_predictions_do_not_depend_on_the_batch(artifacts: Path) -> None:
    predictor: Any = load_predictor(Bundle(artifacts / "imdb" / "bundle"))
    requests = [predictor.Request(text=review.text) for review in generate(60, seed=9)]
    together = predictor.predict(requests)
    alone = [predictor.predict([request])[0] for request in requests]
    for one, other in zip(together, alone, strict=True):
        assert one.log_odds == pytest.approx(other.log_odds, abs=1e-4)
        assert [c["token"] for c in one.contributions] == [c["token"] for c in other.contributions]


def test_explanations_can_be_switched_off(client: TestClient) -> None:
    output = ask(client, {"text": "fine", "explain": False}).json()["outputs"][0]
    assert output["contributions"] is None and output["label"]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"text": ""}, "at least 1 character"),
        ({"text": " \t\n\u3000"}, "more than white space"),
        ({"text": "<br /><br/>"}, "more than white space"),
        ({"text": "x" * 20_001}, "at most 20000 characters"),
        ({"text": 5}, "valid string"),
        ({"text": None}, "valid string"),
        ({"text": ["a"]}, "valid string"),
        ({}, "is missing"),
        ({"text": "a", "lang": "en"}, "is not a known field"),
        ({"text": "a", "explain": "yes"}, "valid boolean"),
        ("just a text", "should be a JSON object"),
    ],
)
def test_invalid_input_is_named(client: TestClient, sent: Any, message: str) -> None:
    response = ask(client, {"text": "fine"}, sent)
    assert response.status_code == 422, response.text
    problem = response.json()
    assert message in problem["detail"] and problem["errors"][0]["pointer"].startswith("#/inputs/1")


@pytest.mark.parametrize(
    "text",
    [
        *("a" * 20_000, "电" * 20_000, "🙂" * 20_000, "!" * 20_000, "\u0301" * 20_000, "word " * 4_000, "ﷺ" * 20_000),
        *(
            "\x00\x01\x7f",
            "\u200b",
            "\u202eright to left",
            "a\x00b",
            "�",
            "🏴\U000e0067\U000e007f",
            "ﬃ½",
            "\ud83d\ude42",
        ),
    ],
)
def test_unusual_texts_are_answered_quickly(client: TestClient, text: str) -> None:
    started = time.process_time()
    response = ask(client, {"text": text})
    assert response.status_code == 200, response.text
    assert time.process_time() - started < 5
    output = response.json()["outputs"][0]
    assert 0.5 <= output["probability"] <= 1
    assert 0 < output["read"] <= 20_000 and len(output["contributions"]) <= 64


def test_batches_are_bounded_by_tokens() -> None:
    lengths = [int(length) for length in np.random.default_rng(0).integers(1, 512, 700)]
    groups = batches(lengths)
    assert sorted(row for group in groups for row in group) == list(range(700))
    assert all(len(group) * max(lengths[row] for row in group) <= TOKENS for group in groups)
    assert len(groups) < 1.3 * sum(lengths) / TOKENS + 2


# ---------------------------------------------------------------- evaluation and report


def test_a_bag_of_words_fails_on_negation(prepared: Path) -> None:
    rows = {row["name"]: row for row in evaluate.Evaluation().baselines(prepared, seed=0)}
    plain = rows["logistic regression on TF-IDF"]
    assert plain["accuracy_negation"] < 0.5 and plain["accuracy_contrast"] < 0.7
    assert {"NB-SVM on pairs", "logistic regression on TF-IDF of pairs"} < set(rows)


def test_nb_svm_matches_the_paper() -> None:
    """On separable counts: right predictions, and weights interpolated between their mean magnitude and the SVM's
    own."""
    texts = ["good fine", "good", "fine day", "bad", "poor bad", "poor day"] * 5
    labels = np.array([1, 1, 1, 0, 0, 0] * 5)
    model = evaluate.NBSVM().fit(texts, labels)
    assert (model.predict(texts) == labels).all()
    ratio = dict(zip(model.vectorizer.get_feature_names_out(), model.weights[0], strict=True))
    assert ratio["good"] > 0 > ratio["bad"] and abs(ratio["day"]) < 1e-6


def test_chinese_figures_are_svg_with_real_text(tmp_path: Path) -> None:
    texts, chances = ["剧情很无聊" * 200, "a good film"], np.array([[0.01, 0.99], [0.8, 0.2]])
    plots.save(text_plots.mistakes(texts, np.array([0, 1]), chances, ["bad", "good"]), tmp_path / "wrong.png")
    plots.save(text_plots.by_length(np.array([1, 2, 3]), np.array([1, 0, 1])), tmp_path / "length.png")
    assert {path.name for path in tmp_path.iterdir()} == {"wrong.svg", "length.png"}
    content = (tmp_path / "wrong.svg").read_text()
    assert "剧情很无聊" in content and "bad, predicted as good with 99.0%" in content
    assert content.count("剧情很无聊") < 60  # its middle is left out


@pytest.mark.parametrize("text", ["word " * 500, "x" * 5000, "字" * 3000, "short", ""])
def test_excerpts_fit_the_width(text: str) -> None:
    lines = text_plots.wrapped(text)
    assert len(lines) <= 5 and all(text_plots.width(line) <= text_plots.COLUMNS for line in lines)


def test_distinctive_words_belong_to_their_class() -> None:
    texts = [["the", "good", "film"]] * 40 + [["the", "bad", "film"]] * 40
    z = report.telling(report.Texts([""] * 80, np.repeat([1, 0], 40), texts), 2)
    assert max(z, key=lambda word: z[word][1]) == "good" and max(z, key=lambda word: z[word][0]) == "bad"
    assert abs(z["the"]).max() < 0.1
    assert report.words_of("Don't 很好看 <br />it's 5") == ["don't", "很好", "好看", "it's"]
    assert [report.script(text) for text in ("Très bien", "很好", "хорошо", "5!")] == [
        "Latin",
        "Chinese",
        "Cyrillic",
        "none",
    ]


def test_the_report_counts_repeated_texts(prepared: Path) -> None:
    parts: dict[str, Any] = {name: splits.read(prepared, name) for name in splits.SPLITS}
    parts["test"].loc[0, "text"] = parts["train"].loc[0, "text"].upper() + "  "
    parts["train"].loc[1, "text"] = parts["train"].loc[2, "text"]
    folder = prepared.parent / "repeated"
    schema = splits.read_card(prepared)["schema"]
    splits.write(folder, splits.PreparedData(splits=parts, source="s", licence="l", schema=schema), "sample")
    with style.applied():
        sections = report.sections(folder, splits.read_card(folder))
    assert "1 test text is in train too" in sections[0].lead and "1 training text repeats" in sections[0].lead


# ---------------------------------------------------------------- the official data


mirror = pytest.mark.skipif(not os.environ.get("DATA_MIRROR"), reason="DATA_MIRROR names no folder with the data")


def trained(folder: Path, *overrides: str) -> dict[str, Any]:
    """Runs prepare, baselines, train and evaluate with the settings of `full`, some changed; -> metrics"""
    clone = Checkout(checkout(folder / "clone"))
    common = ("project=imdb", "profile=full", "tracking=none", *(f"projects.imdb.{one}" for one in overrides))
    for stage in ("prepare", "baselines", "train", "evaluate"):
        clone.stage(stage, *common, timeout=600)
    return json.loads(clone.path("artifacts", "imdb", "metrics.json").read_text())


def quarter(folder: Path) -> None:
    """Every fourth official review, in aclImdb's layout."""
    places = re.compile(r"(?:train|test)/(?:neg|pos)/[^/]+\.txt$")
    official = files(Path(os.environ["DATA_MIRROR"]) / "imdb")
    texts = {found[0]: file.text for file in official if (found := places.search(file.place))}
    for place in sorted(texts)[::4]:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(texts[place])


@pytest.mark.slow
@pytest.mark.mirror
@mirror
def test_a_quarter_of_imdb_end_to_end(tmp_path: Path) -> None:
    """Two epochs. Logistic regression leads there with 0.86; what the network makes of all reviews is in the README."""
    quarter(tmp_path / "quarter")
    short = ("train.epochs=2", "data.max_tokens=256", "model.dropout=0.3", "model.word_dropout=0.1")
    found = trained(tmp_path, f"data.path={tmp_path / 'quarter'}", *short)
    assert found["rows"]["test"] >= 1_250
    assert found["headline"]["value"] >= 0.79  # 0.82 when this was written; guessing has 0.5
    assert found["baselines"]["logistic regression on TF-IDF"]["test"] >= 0.82


@pytest.mark.slow
@pytest.mark.mirror
@mirror
def test_chinese_hotel_reviews_end_to_end(tmp_path: Path) -> None:
    short = ("train.epochs=3", "data.vocabulary=6000", "data.max_tokens=256")
    found = trained(tmp_path, "data.path=chnsenticorp", *short)
    assert found["headline"]["value"] >= 0.85  # three of the five epochs; always "positive" would have 0.69
    assert found["source"].startswith("ChnSentiCorp")
