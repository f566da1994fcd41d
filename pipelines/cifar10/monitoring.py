"""CIFAR-10: brightness, contrast, colour and sharpness of an image; single pixels are not informative."""

from collections.abc import Sequence

import numpy as np

from pipelines.cifar10.predict import Input, Response
from roadmap import project
from roadmap.monitoring.reference.columns import Columns


class Monitoring(project.Monitoring[Response]):
    def inputs(self, requests: Sequence[Input]) -> Columns:
        pixels = np.stack([request.image for request in requests]).astype(np.float32) / 255  # [n, size, size, 3]
        grey = pixels.mean(axis=3)
        red, green, blue = pixels.mean(axis=(1, 2)).T
        return {
            "brightness": grey.mean(axis=(1, 2)).tolist(),
            "contrast": grey.std(axis=(1, 2)).tolist(),
            "saturation": (pixels.max(axis=3) - pixels.min(axis=3)).mean(axis=(1, 2)).tolist(),
            "red or blue": (red - blue).tolist(),
            "green": (green - (red + blue) / 2).tolist(),
            "sharpness": np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2)).tolist(),
        }

    def answers(self, found: Sequence[Response]) -> Columns:
        return {
            "label": [answer.label for answer in found],
            "confidence": [max(answer.probabilities.values()) for answer in found],
        }
