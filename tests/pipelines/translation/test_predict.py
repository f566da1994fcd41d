"""The predictor with an untrained network: what is asked, what is answered, and what nobody should ask."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from pydantic import ValidationError

from models.translation.transformer import Transformer
from pipelines.translation.data import numerals
from pipelines.translation.data.tokens import train_tokenizer
from pipelines.translation.predict import MOST, Predictor, words
from roadmap.bundle import Bundle, load_predictor, write_manifest
from roadmap.training.export import export
from serving.http.app import create_app
from serving.settings import Settings

MAX_TOKENS = 24
HEX = "0" * 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """artifacts/ with the bundle."""
    home = tmp_path_factory.mktemp("artifacts")
    folder = home / "translation" / "bundle"
    folder.mkdir(parents=True)
    part = numerals.generate(2_000, (0.8, 0.1, 0.1), 1)["train"]
    tokenizer = train_tokenizer([*part["source"], *part["target"]], 1_000)
    torch.manual_seed(0)
    network = Transformer(tokenizer.get_vocab_size(), 16, 1, 2, 16, 0.0).eval()
    with torch.no_grad():
        network.tokens.weight.mul_(3)
    export(network, (np.array([[5, 6, 7], [8, 9, 0]], np.int32), np.array([3, 2])), folder)
    schema = {"task": "translation", "corpus": "numerals", "max_tokens": MAX_TOKENS}
    example = [{"text": "三千零五"}, {"text": "three"}]
    for name, content in (("schema", schema), ("tokenizer", json.loads(tokenizer.to_str())), ("example", example)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    about = {"project": "translation", "predictor": "pipelines.translation.predict", "profile": "sample", "source": "x"}
    write_manifest(folder, **about, created="2026-11-30", git_commit=None, data_sha256=HEX, params_sha256=HEX, run="r")
    return home


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    found = load_predictor(Bundle(folder / "translation" / "bundle"))
    assert isinstance(found, Predictor)
    return found


def test_requests_of_all_kinds_share_a_batch_and_keep_their_order(predictor: Predictor) -> None:
    texts = ["三千零五", "three", "一", "the fifth of March", "上午九点十分"] * 30
    asked = [
        {"text": text, "beam": 1 + n % 3, "length_penalty": 0.5 * (n % 2), "attention": n % 4 == 0}
        for n, text in enumerate(texts)
    ]
    requests = [predictor.Request.model_validate(one) for one in asked]
    together = predictor.predict(requests)
    for request, answer in list(zip(requests, together, strict=True))[:12]:
        (alone,) = predictor.predict([request])
        assert alone.translation == answer.translation and alone.score == pytest.approx(answer.score, abs=1e-4)
        assert (answer.attention is not None) == request.attention


@pytest.mark.parametrize("text", ["", " \n\t ", "x" * (MOST + 1), 5, None, ["three"]])
def test_what_is_no_text_is_refused(predictor: Predictor, text: object) -> None:
    with pytest.raises(ValidationError):
        predictor.Request.model_validate({"text": text})


@pytest.mark.parametrize(
    "field", [{"beam": 0}, {"beam": 99}, {"length_penalty": float("nan")}, {"attention": "yes"}, {"x": 1}]
)
def test_settings_out_of_range_are_refused(predictor: Predictor, field: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        predictor.Request.model_validate({"text": "three", **field})


def test_a_long_text_is_read_in_part_and_a_note_says_so(predictor: Predictor) -> None:
    text = "three thousand " * (MOST // 15)
    request = predictor.Request.model_validate({"text": text, "attention": True})
    (answer,) = predictor.predict([request])
    assert 0 < answer.read < len(text)
    assert answer.attention is not None and " ".join(answer.attention.source) == text[: answer.read].strip()
    (note,) = predictor.notes(request)
    assert (note.field, note.kind) == ("text", "cut")
    assert f"{answer.read:,} of {len(text):,} characters" in note.detail
    assert predictor.notes(predictor.Request.model_validate({"text": "three  "})) == []


@pytest.mark.parametrize("text", ["😀😀😀", "Привет, мир", "שלום", "a\u0301\u0302\u0303" * 50, "\u200b", "\x00", "𝟛𝟜"])
def test_other_scripts_are_answered_and_named(predictor: Predictor, text: str) -> None:
    request = predictor.Request.model_validate({"text": text, "attention": True})
    (answer,) = predictor.predict([request])
    assert np.isfinite(answer.score) and "<unk>" not in answer.translation
    kinds = [note.kind for note in predictor.notes(request)]
    assert "unseen" in kinds


def test_attention_is_between_words(predictor: Predictor) -> None:
    request = predictor.Request.model_validate({"text": "twenty-three thousand and five", "attention": True})
    (answer,) = predictor.predict([request])
    assert answer.attention is not None
    assert answer.attention.source == ["twenty-three", "thousand", "and", "five"]
    weights = np.array(answer.attention.weights)
    assert weights.shape == (len(answer.attention.target), 4)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-3)


def test_tokens_of_a_word_belong_together() -> None:
    tokens = ["▁twen", "ty", "-three", ".", "▁", "三", "千", "▁a", "'", "s"]
    joined = ["".join(tokens[word]) for word in words(tokens)]
    assert joined == ["▁twenty-three", ".", "▁三", "千", "▁a", "'s"]


def test_over_http_notes_stand_beside_the_answer(folder: Path) -> None:
    with TestClient(create_app(Settings(bundles=str(folder)))) as client:
        answer = client.post("/models/translation/predict", json={"inputs": [{"text": "三千😀"}]})
        assert answer.status_code == 200, answer.text
        (note,) = answer.json()["notes"]
        assert "😀" in note["detail"] and answer.json()["outputs"][0]["attention"] is None
        refused = client.post("/models/translation/predict", json={"inputs": [{"text": "  "}]})
        assert refused.status_code == 422 and "more than white space" in refused.text
