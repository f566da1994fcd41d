"""CIFAR-10 itself."""

import json
import os
from pathlib import Path

import pytest

from tests.support.checkouts import Checkout


@pytest.mark.slow
@pytest.mark.mirror
@pytest.mark.skipif(
    not (Path(os.environ.get("DATA_MIRROR") or "none") / "cifar10").is_dir(), reason="DATA_MIRROR holds no CIFAR-10"
)
def test_a_narrow_network_learns_photographs_in_one_epoch(clone: Checkout) -> None:
    """A third of the width, one epoch of twelve; the full training takes minutes and is reported in the README."""
    settings = (
        "project=cifar10", "profile=full", f"projects.cifar10.data.path={os.environ['DATA_MIRROR']}/cifar10",
        "projects.cifar10.train.epochs=1", "projects.cifar10.model.width=16", "tracking=none",
    )  # fmt: skip
    for stage in ("prepare", "train"):
        clone.stage(stage, *settings, timeout=600)
    card = json.loads(clone.path("data", "cifar10", "card.json").read_text())
    assert card["rows"] == {"train": 45_000, "val": 5_000, "test": 10_000}
    rows = clone.path("artifacts", "cifar10", "history.csv").read_text().splitlines()
    last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    assert float(last["val_accuracy"]) >= 0.55  # guessing has 0.1
