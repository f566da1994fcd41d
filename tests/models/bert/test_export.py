"""The exported graph."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from models.bert.classifier import Classifier
from models.bert.encoder import Bert, sentence_vectors
from roadmap.training.export import export
from tests.support.bert import SHAPES, batch, shaken


def test_the_graph_takes_other_batches_and_lengths(tmp_path: Path) -> None:
    shape = SHAPES["narrow"]
    model = Classifier(shaken(Bert(shape)), 3, lr=1e-3, pooling="mean").eval()
    export(model, (np.arange(10, dtype=np.int32).reshape(2, 5), np.array([5, 3])), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    tokens, seen, _ = batch(shape, n=3, t=11)
    logits, vectors = session.run(["logits", "vectors"], {"tokens": tokens.numpy(), "seen": seen.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(tokens, seen).numpy(), atol=1e-4)
        np.testing.assert_allclose(vectors, sentence_vectors(model.bert(tokens, seen), seen).numpy(), atol=1e-5)
