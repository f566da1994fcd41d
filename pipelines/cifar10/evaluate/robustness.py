"""Robustness to corruptions, and occlusion maps of single predictions.

Both use only the served predictor: occlusion (Zeiler and Fergus, 2014) works for any model and runtime, whereas
gradient-based maps such as Grad-CAM would explain the PyTorch network instead of the served graph.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from roadmap.bundle import Predictor

Predict = Callable[[np.ndarray], np.ndarray]  # uint8 [n, h, w, 3] -> probabilities [n, classes]
BATCH = 256
PATCH, STRIDE = 8, 3


def through(predictor: Predictor) -> Predict:
    """Predictions of the project's own predictor, in batches."""

    def predict(pixels: np.ndarray) -> np.ndarray:
        outputs: list[Any] = []
        for start in range(0, len(pixels), BATCH):
            chunk = pixels[start : start + BATCH]
            outputs += predictor.predict([predictor.Request.model_construct(image=image) for image in chunk])
        return np.array([list(output.probabilities.values()) for output in outputs])

    return predict


def gaussian_noise(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """pixels: uint8 [n, h, w, 3], and so the result; sigma: of the noise, in grey levels"""
    noise = np.random.default_rng(0).normal(0, 1, pixels.shape)  # the same noise at every severity, scaled
    return _bytes(pixels + sigma * noise)


def blur(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """pixels: as of `gaussian_noise`; sigma: of the Gaussian kernel, in pixels"""
    reach = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-6)) ** 2)
    x = pixels.astype(np.float32)
    for axis in (1, 2):
        padded = np.pad(x, [(reach, reach) if a == axis else (0, 0) for a in range(4)], mode="reflect")
        x = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=axis) @ (kernel / kernel.sum())
    return _bytes(x)


def brightness(pixels: np.ndarray, factor: float) -> np.ndarray:
    """pixels: as of `gaussian_noise`; factor: what is added, as a share of each value"""
    return _bytes(pixels * (1 + factor))


def darkness(pixels: np.ndarray, share: float) -> np.ndarray:
    """pixels: as of `gaussian_noise`; share: what is taken from each value"""
    return _bytes(pixels * (1 - share))


def _bytes(x: np.ndarray) -> np.ndarray:
    return np.clip(np.round(x), 0, 255).astype(np.uint8)


CORRUPTIONS: dict[str, tuple[Callable[[np.ndarray, float], np.ndarray], tuple[float, ...]]] = {
    "gaussian noise": (gaussian_noise, (4, 8, 16, 28)),
    "blur": (blur, (0.5, 0.8, 1.2, 1.7)),
    "brighter": (brightness, (0.2, 0.5, 1.0, 1.8)),
    "darker": (darkness, (0.2, 0.45, 0.65, 0.8)),
}


def accuracies(predict: Predict, pixels: np.ndarray, targets: np.ndarray) -> dict[str, list[float]]:
    """Accuracy on clean images, then at each severity. pixels: uint8 [n, h, w, 3], targets: int [n]"""
    clean = float((predict(pixels).argmax(axis=1) == targets).mean())
    return {
        name: [clean, *(float((predict(damage(pixels, s)).argmax(axis=1) == targets).mean()) for s in strengths)]
        for name, (damage, strengths) in CORRUPTIONS.items()
    }


def occlusion(predict: Predict, image: np.ndarray, label: int) -> np.ndarray:
    """The drop of the probability of `label` when a grey square covers a pixel, averaged over all squares that cover
    it. image: uint8 [h, w, 3] -> [h, w]"""
    h, w = image.shape[:2]
    corners = [(y, x) for y in range(1 - PATCH // 2, h, STRIDE) for x in range(1 - PATCH // 2, w, STRIDE)]
    covered = np.zeros((len(corners), h, w), bool)
    for mask, (y, x) in zip(covered, corners, strict=True):
        mask[max(0, y) : y + PATCH, max(0, x) : x + PATCH] = True
    occluded = np.where(covered[..., None], np.uint8(128), image)
    fall = predict(image[None])[0, label] - predict(occluded)[:, label]
    return np.tensordot(fall, covered, 1) / np.maximum(covered.sum(axis=0), 1)
