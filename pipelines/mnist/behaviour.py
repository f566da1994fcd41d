"""MNIST: behavioural checks on fainter, noisy, shifted and occluded digits, and on drawn ones."""

from collections.abc import Iterator

import numpy as np

from pipelines.mnist.predict import Predictor, Response
from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.evaluation.behavioural import BehaviouralCheck, sample_cases
from roadmap.project import Request

WIDE = 20  # pixels; in a smaller image a digit fills the square, and a shift would cut it


class Behaviour(project.Behaviour[Predictor]):
    def expectations(self, predictor: Predictor, requests: list[Request]) -> Iterator[BehaviouralCheck]:
        images = np.array([request["image"] for request in sample_cases(requests)])  # [n, size, size]
        now = digits(predictor, images)
        yield BehaviouralCheck("ink a tenth fainter", "invariance", digits(predictor, 0.9 * images) == now, 0.98)
        noise = np.random.default_rng(0).normal(0, 5, images.shape)
        yield BehaviouralCheck("a little noise", "invariance", digits(predictor, images + noise) == now, 0.98)
        if images.shape[-1] >= WIDE:
            for direction, axis, by in (("up", 1, -1), ("down", 1, 1), ("left", 2, -1), ("right", 2, 1)):
                moved = np.roll(images, by, axis=axis)
                yield BehaviouralCheck(
                    f"a pixel to the {direction}", "invariance", digits(predictor, moved) == now, 0.97
                )
        half = images.copy()
        half[:, : images.shape[1] // 2] = 0
        sure, less = (confidence(predictor, which, now) for which in (images, half))
        yield BehaviouralCheck("the upper half wiped out: less sure", "directional", less < sure, 0.9)
        drawn = np.stack([ring(images.shape[-1]), bar(images.shape[-1])])
        yield BehaviouralCheck("a ring and a bar", "minimum", digits(predictor, drawn) == [0, 1], 1.0)


def digits(predictor: Predictor, images: np.ndarray) -> np.ndarray:
    """images: [n, size, size], in grey levels -> int [n]"""
    return np.array([output.digit for output in predict(predictor, images)])


def confidence(predictor: Predictor, images: np.ndarray, digits: np.ndarray) -> np.ndarray:
    """Probability of these digits: [n]"""
    return np.array([output.probabilities[d] for output, d in zip(predict(predictor, images), digits, strict=True)])


def predict(predictor: Predictor, images: np.ndarray) -> list[Response]:
    """images: [n, size, size], in grey levels; rounded, and clipped to 0 to 255"""
    grey = np.clip(np.round(images), 0, 255).astype(int)
    return predict_in_batches(predictor, [{"image": one.tolist()} for one in grey])


def ring(size: int) -> np.ndarray:
    """An upright oval line: a zero. -> [size, size], in grey levels"""
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    radius = np.hypot(x / 0.26, y / 0.36)
    return 255 * np.clip(1.6 - 4 * np.abs(radius - 1), 0, 1)


def bar(size: int) -> np.ndarray:
    """An upright stroke: a one. -> [size, size], in grey levels"""
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    return 255.0 * ((np.abs(x) < max(0.06, 1 / size)) & (np.abs(y) < 0.38))
