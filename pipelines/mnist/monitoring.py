"""MNIST: ink, contrast and position of the digit; single pixels are not informative."""

from collections.abc import Sequence

import numpy as np

from pipelines.mnist.predict import Input, Response
from roadmap import project
from roadmap.monitoring.reference.columns import Columns


class Monitoring(project.Monitoring[Response]):
    def inputs(self, requests: Sequence[Input]) -> Columns:
        pixels = np.array([request.image for request in requests], float) / 255  # [n, size, size]
        mass = pixels.sum(axis=(1, 2)) + 1e-9
        places = np.linspace(0, 1, pixels.shape[-1])
        return {
            "ink": pixels.mean(axis=(1, 2)).tolist(),
            "contrast": pixels.std(axis=(1, 2)).tolist(),
            "strokes": (pixels > 0.5).mean(axis=(1, 2)).tolist(),
            "left to right": ((pixels.sum(axis=1) @ places) / mass).tolist(),
            "top to bottom": ((pixels.sum(axis=2) @ places) / mass).tolist(),
        }

    def answers(self, found: Sequence[Response]) -> Columns:
        return {
            "digit": [str(answer.digit) for answer in found],
            "confidence": [max(answer.probabilities) for answer in found],
        }
