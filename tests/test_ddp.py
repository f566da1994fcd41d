"""Two processes on gloo compute what one does."""

import csv
from collections.abc import Callable

import pytest
from conftest import Checkout

# Both see the same batches from the same weights. What remains is the order of float32 sums, and that Lightning
# rounds the mean number of rows per process down when it averages a metric (1 in 128 at most here).
TOLERANCE = 0.01


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(
    reproduced: Checkout, copy_of: Callable[[Checkout], Checkout]
) -> None:
    clone = copy_of(reproduced)
    epochs = "projects.mnist.train.epochs=6"
    curves = []
    for trainer in ("cpu", "ddp"):
        clone.stage("train", "project=mnist", f"trainer={trainer}", epochs, TRACKING="none")
        with clone.path("artifacts", "mnist", "history.csv").open() as file:
            curves.append([(float(row["train_loss"]), float(row["val_loss"])) for row in csv.DictReader(file)])
    one, two = curves
    assert len(one) == len(two) == 6
    for epoch, (a, b) in enumerate(zip(one, two, strict=True), 1):
        assert b == pytest.approx(a, rel=TOLERANCE), f"epoch {epoch}: train and val loss {a} and {b}"
