"""Answers: what words contributed adds up, neighbours change nothing, vectors are at /v1/embeddings."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from models.bert.classifier import Classifier
from models.bert.tasks import Blank
from pipelines.bert.data import assets_of
from pipelines.bert.data.requests import INTENTS, generate
from pipelines.bert.data.tokens import encode, train_tokenizer
from pipelines.bert.evaluate import Evaluation
from roadmap.bundle import Bundle, load_predictor, write_manifest
from roadmap.config.settings import ExportSettings
from roadmap.inference.text.classifier import PARTS
from roadmap.io.json import JsonObject
from roadmap.quantisation.bundles import quantised
from roadmap.training.export import export
from serving.http.app import create_app
from serving.settings import Settings

ASKED = generate(120, seed=3)
ENCODER = {"width": 32, "layers": 2, "heads": 4, "hidden": 64, "dropout": 0.0}


def bundle_in(folder: Path, classes: list[str] = INTENTS) -> Bundle:
    """Of a network with random weights, larger than those that it begins with."""
    folder.mkdir(parents=True)
    tokenizer = train_tokenizer([one.text for one in ASKED], 500, max_tokens=40)
    tokens, lengths = encode(tokenizer, [one.text for one in ASKED])
    labels = np.arange(len(ASKED)) % len(classes)
    torch.manual_seed(0)
    start: Blank = {"vocab": tokenizer.get_vocab_size(), "context": 40}
    network = Classifier(start, len(classes), 1e-3, encoder=ENCODER, pooling="mean")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    network.eval()
    export(network, (tokens[:2], lengths[:2]), folder)
    assets = assets_of(
        network, tokenizer, [(tokens[:80], lengths[:80], labels[:80]), (tokens[80:], lengths[80:], labels)]
    )
    assets |= {"schema.json": {"task": "text", "classes": classes}, "example.json": [{"text": "Hi"}, {"text": "你好"}]}
    for name, content in assets.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False))
    lineage = {"source": "test", "created": "2026-11-30T00:00:00+00:00", "git_commit": None, "run": "0" * 32}
    hashes = {"data_sha256": "1" * 64, "params_sha256": "2" * 64}
    write_manifest(folder, project="bert", predictor="pipelines.bert.predict", profile="sample", **lineage, **hashes)
    return Bundle(folder)


@pytest.fixture(scope="module", params=["fp32", "int8_dynamic"])
def predictor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    bundle = bundle_in(tmp_path_factory.mktemp("artifacts") / "bert" / "bundle")
    if request.param != "fp32":
        folder = bundle.folder.with_name("quantised")
        texts: list[JsonObject] = [{"text": one.text} for one in ASKED]
        quantised(bundle, folder, ExportSettings(precision=request.param), texts, lambda _: {})
        bundle = Bundle(folder)
    return load_predictor(bundle)


def answers(predictor: Any, *texts: str, explain: bool = False) -> list[Any]:
    return predictor.predict([predictor.Request(text=text, explain=explain) for text in texts])


def test_contributions_add_up_to_the_log_odds(predictor: Any) -> None:
    texts = [one.text for one in ASKED[:6]]
    for text, found in zip(texts, answers(predictor, *texts, explain=True), strict=True):
        total = found.bias + sum(one["weight"] for one in found.contributions)
        assert total == pytest.approx(found.log_odds, abs=1e-4)
        assert found.log_odds == pytest.approx(np.log(found.probability / (1 - found.probability)), abs=1e-3)
        assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert all(text[one["start"] : one["end"]] == one["token"] for one in found.contributions)


def test_the_bias_is_that_of_no_word(predictor: Any) -> None:
    """The same for every text of the same label and length."""
    first, *others = (one for one in answers(predictor, "parcel", "refund", "lamp", explain=True))
    for other in others:
        if other.label == first.label:
            assert other.bias == pytest.approx(first.bias, abs=1e-2)


def test_neighbours_in_a_batch_change_nothing(predictor: Any) -> None:
    texts = [one.text for one in ASKED[:30]]
    for one, (alone,) in zip(answers(predictor, *texts), (answers(predictor, text) for text in texts), strict=True):
        assert (one.label, one.read) == (alone.label, alone.read)
        assert one.log_odds == pytest.approx(alone.log_odds, abs=2e-5)
        assert one.scope_score == pytest.approx(alone.scope_score, abs=0.011)


def test_words_are_whole_and_long_texts_are_taken_in_parts(predictor: Any) -> None:
    (found,) = answers(predictor, "Where is my PARCEL?", explain=True)
    assert [one["token"] for one in found.contributions] == ["Where", "is", "my", "PARCEL", "?"]
    (found,) = answers(predictor, "my lamp, " * 200, explain=True)
    assert len(found.contributions) == PARTS and 0 < found.read < 400
    ends = [(one["start"], one["end"]) for one in found.contributions]
    assert all(end <= start for (_, end), (start, _) in pairwise(ends))


@pytest.mark.parametrize("text", ["\u200b", "🙂" * 300, "a" * 20_000, "电" * 20_000, "\u0301", "a\x00b", "<b>", "�"])
def test_unusual_texts_are_answered(predictor: Any, text: str) -> None:
    (found,) = answers(predictor, text, explain=True)
    assert found.label in INTENTS and np.isfinite(found.scope_score)


def test_vectors_have_length_one_and_depend_on_the_text_alone(predictor: Any) -> None:
    texts = [one.text for one in ASKED[:9]]
    vectors, tokens = predictor.embed(texts)
    assert vectors.shape == (9, 32) and tokens == sum(len(row.ids) for row in predictor.encoder.read(texts))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[3], predictor.embed([texts[3]])[0][0], atol=1e-5)
    for wrong in ("", "  ", "x" * 20_001):
        with pytest.raises(ValueError, match="should"):
            predictor.embed(["fine", wrong])


def test_two_classes_are_answered_alike(tmp_path: Path) -> None:
    found = answers(load_predictor(bundle_in(tmp_path / "bundle", ["no", "yes"])), "my lamp", explain=True)[0]
    assert set(found.probabilities) == {"no", "yes"}
    assert found.bias + sum(one["weight"] for one in found.contributions) == pytest.approx(found.log_odds, abs=1e-4)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("served")
    bundle_in(folder / "bert" / "bundle")
    with TestClient(create_app(Settings(bundles=str(folder)))) as client:
        yield client


def test_sentence_vectors_over_http(client: TestClient) -> None:
    body = {"model": "bert", "input": ["where is my parcel", "我的快递到哪了"]}
    answer = client.post("/v1/embeddings", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [len(one["embedding"]) for one in found["data"]] == [32, 32] and found["usage"]["total_tokens"] > 4
    assert [one["id"] for one in client.get("/v1/models").json()["data"]] == ["bert"]


def test_invalid_requests_are_named(client: TestClient) -> None:
    for sent, message in (({"text": " "}, "white space"), ({"txt": "a"}, "not a known field")):
        answer = client.post("/models/bert/predict", json={"inputs": [sent]})
        assert answer.status_code == 422 and message in answer.text


def test_texts_without_a_class_are_right_if_they_are_flagged(predictor: Any) -> None:
    found = answers(predictor, "my lamp", "my lamp", "a parcel")
    found = [found[0].model_copy(update={"out_of_scope": flag}) for flag in (True, False, True)]
    fields = [("label", "i8"), ("kind", "U16"), ("language", "U8")]
    label = INTENTS.index(found[0].label)
    targets = np.array([(-1, "far", "en"), (-1, "near", "en"), (label, "plain", "en")], fields)
    score = Evaluation().score(targets, found)
    assert score.per_item.tolist() == [1, 0, 1]
    assert score.metrics["accuracy_in_scope"] == 1 and score.metrics["out_of_scope_recall"] == 0.5
