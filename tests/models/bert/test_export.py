"""The exported graph, in fp32 and int8."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from models.bert.classifier import Classifier
from models.bert.encoder import Bert, Shape, sentence_vectors
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


def test_int8_is_smaller_and_close(tmp_path: Path) -> None:
    shape = Shape(300, 64, 2, 4, 256, context=20, dropout=0.0)
    torch.manual_seed(0)
    bert, example = Bert(shape), (np.arange(40, dtype=np.int32).reshape(2, 20), np.array([20, 11]))
    for precision in ("fp32", "int8"):
        model = Classifier(bert, 3, lr=1e-3, pooling="mean", precision=precision).eval()
        (tmp_path / precision).mkdir()
        export(model, example, tmp_path / precision)
    sizes = [(tmp_path / precision / "model.onnx").stat().st_size for precision in ("fp32", "int8")]
    assert sizes[1] < 0.4 * sizes[0]
    tokens, seen, _ = batch(shape, t=20)
    inputs = {"tokens": tokens.numpy(), "seen": seen.numpy()}
    one, other = (
        onnxruntime.InferenceSession(tmp_path / precision / "model.onnx").run(["vectors"], inputs)[0]
        for precision in ("fp32", "int8")
    )
    assert (one * other).sum(axis=1).min() > 0.98
