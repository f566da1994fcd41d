"""Networks against references: closed forms, scikit-learn, a plain loop, and their own ONNX graphs."""

import itertools
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from sklearn import linear_model
from sklearn.metrics import log_loss

from models.house_prices import LinearRegression
from models.mnist import CNN, random_shift
from models.titanic import Classifier
from roadmap.config.settings import TrainSettings
from roadmap.data.training_set import TrainingSet
from roadmap.training.batches import InMemoryDataModule
from roadmap.training.export import export

N, D = 600, 4
RNG = np.random.default_rng(1)
X = RNG.normal(size=(N, D)).astype(np.float32)  # well conditioned, like Features of most tables
Y = (X @ [3.0, -2.0, 0.5, 0.0] * 10 + 250 + RNG.normal(0, 8, N)).astype(np.float32)
LABELS = (RNG.random(N) < 1 / (1 + np.exp(-X @ [1.5, -1.0, 0.5, 0.0] - 0.3))).astype(np.float32)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fit(model: Any, x: np.ndarray, y: np.ndarray, epochs: int, batch_size: int) -> Any:
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        use_distributed_sampler=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = TrainSettings(epochs=epochs, batch_size=batch_size, threads=1)
        trainer.fit(model, InMemoryDataModule(TrainingSet((x, y), (x, y), {}, {}), settings, seed=1))
    return model.eval()


def linear(optimizer: str, lr: float, l2: float = 0.0) -> LinearRegression:
    return LinearRegression(D, float(Y.mean()), float(Y.std()), optimizer, lr, l2)


def objective(model: LinearRegression) -> float:
    with torch.no_grad():
        return float(model.loss(torch.from_numpy(X), torch.from_numpy(Y)))


@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("batch_size", [N, 64])
def test_svd_finds_the_weights_of_scikit_learn(l2: float, batch_size: int) -> None:
    """Ridge minimises the sum of squares plus alpha |w|^2, ours the mean plus l2 |w|^2: alpha = n l2."""
    model = fit(linear("svd", lr=1, l2=l2), X, Y, epochs=1, batch_size=batch_size)
    target = (Y.astype(np.float64) - Y.mean()) / Y.std()
    known = (linear_model.Ridge(alpha=N * l2, solver="cholesky") if l2 else linear_model.LinearRegression()).fit(
        X, target
    )
    np.testing.assert_allclose(model.linear.weight.detach()[0], known.coef_, atol=1e-4)
    assert model.linear.bias.item() == pytest.approx(known.intercept_, abs=1e-4)
    answers = model(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(answers, known.predict(X) * Y.std() + Y.mean(), atol=0.02)


def test_svd_handles_collinear_columns() -> None:
    x = np.column_stack([X, X[:, 0], np.zeros(N)]).astype(np.float32)
    model = LinearRegression(D + 2, float(Y.mean()), float(Y.std()), "svd", 1, 0.0)
    answers = fit(model, x, Y, 1, N)(torch.from_numpy(x)).detach().numpy()
    known = linear_model.LinearRegression().fit(X, Y).predict(X)
    np.testing.assert_allclose(answers, known, atol=0.05)


@pytest.mark.parametrize(("optimizer", "lr"), [("gd", 0.1), ("momentum", 0.02), ("adam", 0.05)])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_iterative_solvers_reach_the_closed_form(optimizer: str, lr: float, l2: float) -> None:
    best = objective(fit(linear("svd", lr=1, l2=l2), X, Y, 1, N))
    found = objective(fit(linear(optimizer, lr, l2), X, Y, epochs=20, batch_size=64))
    assert best <= found * (1 + 1e-5)
    assert found <= 1.01 * best


def test_without_hidden_layers_the_classifier_is_logistic_regression() -> None:
    model = fit(Classifier(D, [], dropout=0.0, lr=0.1, weight_decay=0.0), X, LABELS, epochs=15, batch_size=64)
    found = log_loss(LABELS, model(torch.from_numpy(X)).detach().numpy())
    known = linear_model.LogisticRegression(C=np.inf).fit(X, LABELS)
    best = log_loss(LABELS, known.predict_proba(X)[:, 1])
    assert best * (1 - 1e-4) <= found <= 1.02 * best
    np.testing.assert_allclose(model.logit[0].weight.detach()[0], known.coef_[0], atol=0.15)


def test_hidden_layers_learn_a_nonlinear_boundary() -> None:
    labels = (X[:, 0] * X[:, 1] > 0).astype(np.float32)
    model = fit(Classifier(D, [16], dropout=0.0, lr=0.05, weight_decay=0.0), X, labels, epochs=20, batch_size=64)
    accuracy = ((model(torch.from_numpy(X)) > 0.5).numpy() == labels).mean()
    assert accuracy > 0.93
    assert linear_model.LogisticRegression().fit(X, labels).score(X, labels) < 0.65


def cnn(size: int, **changes: Any) -> CNN:
    return CNN(
        **{"size": size, "mean": 0.1, "std": 0.3, "width": 4, "lr": 0.05, "weight_decay": 0.0, "shift": 0} | changes
    )


@pytest.mark.parametrize("size", [8, 28])
def test_the_cnn_returns_ten_logits_for_any_batch(size: int) -> None:
    model = cnn(size).eval()
    for n in (1, 3):
        assert model(torch.rand(n, 1, size, size)).shape == (n, 10)


def test_the_cnn_learns_to_classify_strokes() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 128)
    images = rng.random((128, 1, 8, 8), dtype=np.float32) * 0.3
    images[labels == 0, :, 3:5] = 1  # a bar across, or one down
    images[labels == 1, :, :, 3:5] = 1
    model = fit(cnn(8), images, labels, epochs=4, batch_size=32)
    assert (model(torch.from_numpy(images)).argmax(1).numpy() == labels).all()


def test_shifts_match_a_plain_loop() -> None:
    most, images = 2, torch.rand(300, 1, 6, 5) + 0.1
    moved = random_shift(images, most)
    assert moved.shape == images.shape
    seen = set()
    for before, after in zip(images[:, 0].numpy(), moved[:, 0].numpy(), strict=True):
        matches = [
            (down, right)
            for down, right in itertools.product(range(-most, most + 1), repeat=2)
            if np.array_equal(after, shifted(before, down, right))
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) == (2 * most + 1) ** 2, "every shift occurs, independently per image"


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """One image, shifted pixel by pixel."""
    height, width = image.shape
    moved = np.zeros_like(image)
    for row, column in itertools.product(range(height), range(width)):
        if 0 <= row + down < height and 0 <= column + right < width:
            moved[row + down, column + right] = image[row, column]
    return moved


def test_shifts_within_the_margin_lose_no_ink() -> None:
    images = torch.zeros(50, 1, 8, 8)
    images[:, :, 2:6, 2:6] = torch.rand(50, 1, 4, 4)
    assert torch.equal(random_shift(images, 2).flatten(1).sort().values, images.flatten(1).sort().values)
    assert torch.equal(random_shift(images, 0), images)


NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "LinearRegression": (lambda: linear("adam", 0.05), (D,)),
    "Classifier": (lambda: Classifier(D, [8], 0.5, 0.01, 0.0), (D,)),
    "CNN": (lambda: cnn(8), (1, 8, 8)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_onnx_graph_matches_the_network_for_any_batch_size(name: str, tmp_path: Path) -> None:
    import onnxruntime

    make, shape = NETWORKS[name]
    model = make().eval()
    rng = np.random.default_rng(3)
    export(model, (rng.random((2, *shape), dtype=np.float32),), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for n in (1, 2, 7):
        x = rng.random((n, *shape), dtype=np.float32)
        expected = model(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(session.run(["y"], {"x": x})[0], expected, rtol=1e-4, atol=1e-4)


class Noisy(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x)


def test_a_differing_graph_is_rejected_at_export(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="from the exported graph"):
        export(Noisy(), (X[:2],), tmp_path)


def test_dropout_is_off_in_the_exported_graph(tmp_path: Path) -> None:
    """However the network was left by training."""
    import onnxruntime

    model = Classifier(D, [64], dropout=0.9, lr=0.01, weight_decay=0.0).train()
    export(model, (X[:2],), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(["y"], {"x": X})[0]
    np.testing.assert_allclose(found, model.eval()(torch.from_numpy(X)).detach().numpy(), rtol=1e-4, atol=1e-5)
