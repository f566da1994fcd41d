"""Two processes on gloo compute what one does."""

import csv
from collections.abc import Callable

import pytest

from tests.support.checkouts import Checkout

# Both take the same steps from the same weights; what differs is the order in which float32 sums are added up.
# At the learning rate of params.yaml (0.05) training amplifies that to a percent or two within six epochs of the tiny
# sample; at 0.02 it stays below the fifth digit.
LR, TOLERANCE = 0.02, 1e-3


def test_two_processes_have_the_loss_curve_of_one(
    reproduced: Checkout, copy_of: Callable[[Checkout], Checkout]
) -> None:
    clone = copy_of(reproduced)
    overrides = ("projects.mnist.train.epochs=6", f"projects.mnist.model.lr={LR}")
    curves = []
    for trainer in ("cpu", "ddp"):
        clone.stage("train", "project=mnist", f"trainer={trainer}", *overrides, TRACKING="none")
        with clone.path("artifacts", "mnist", "history.csv").open() as file:
            curves.append([(float(row["train_loss"]), float(row["val_loss"])) for row in csv.DictReader(file)])
    one, two = curves
    assert len(one) == len(two) == 6
    for epoch, (a, b) in enumerate(zip(one, two, strict=True), 1):
        assert b == pytest.approx(a, rel=TOLERANCE), f"epoch {epoch}: train and val loss {a} and {b}"
