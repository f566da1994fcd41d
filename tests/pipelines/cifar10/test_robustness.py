"""Corrupted images, explanations, and the features of the baseline."""

import numpy as np
import pytest

from pipelines.cifar10.evaluate import robustness
from pipelines.cifar10.evaluate.patches import Patches
from roadmap.data import scenes as shapes

SIZE = 32


@pytest.mark.parametrize("name", list(robustness.CORRUPTIONS))
def test_each_severity_distorts_more_than_the_last(name: str) -> None:
    pixels = shapes.classified(50, SIZE, 0)["image"]
    damage, strengths = robustness.CORRUPTIONS[name]
    away = [np.abs(damage(pixels, s).astype(int) - pixels).mean() for s in strengths]
    assert all(a < b for a, b in zip([0.0, *away], away, strict=False)), away
    assert damage(pixels, strengths[0]).dtype == np.uint8
    np.testing.assert_array_equal(damage(pixels, 1e-9), pixels)


def test_occlusion_finds_the_decisive_place() -> None:
    def predict(pixels: np.ndarray) -> np.ndarray:  # sure only where the pixel at (20, 9) is red
        sure = (pixels[:, 20, 9, 0] == 200).astype(float)
        return np.stack([sure, 1 - sure], axis=1)

    red = np.full((SIZE, SIZE, 3), (200, 10, 10), np.uint8)
    heat = robustness.occlusion(predict, red, label=0)
    assert heat.shape == (SIZE, SIZE)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(row - 20) <= 4 and abs(column - 9) <= 4
    assert heat[:8].max() == 0 and heat[:, 24:].max() == 0


def test_patch_features_tell_stripe_directions_apart() -> None:
    """Vertical or horizontal stripes of any colour and phase under noise: single pixels reveal nothing."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    across = np.arange(150) % 2
    wave = np.sin(np.arange(SIZE) * 1.5 + rng.uniform(0, 6, (150, 1)))  # [n, size]
    stripes = np.where(across[:, None, None], wave[:, None, :], wave[:, :, None])
    drawn = 128 + 50 * stripes[..., None] * rng.uniform(-1, 1, (150, 1, 1, 3)) + rng.normal(0, 8, (150, SIZE, SIZE, 3))
    found = np.clip(drawn, 0, 255).astype(np.uint8)
    x = Patches.fit(found[:100], seed=0).features(found)
    assert LogisticRegression(C=0.01).fit(x[:100], across[:100]).score(x[100:], across[100:]) > 0.9
