"""Whether a text belongs to none of the classes: its Mahalanobis distance to the nearest class, among sentence vectors
(Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples", 2018; Podolskiy et al.,
"Revisiting Mahalanobis Distance for Transformer-Based Out-of-Domain Detection", 2021).

Only texts with a class are needed to fit it.
"""

from dataclasses import dataclass

import numpy as np

from roadmap.io.json import JsonObject

FLAGGED = 0.05  # share of validation texts beyond the threshold, though all of them have a class
SHRUNK = 1e-3  # towards a sphere, for directions in which few texts differ
DIGITS = 6  # of the numbers in JSON


@dataclass(frozen=True)
class Scope:
    """
    means      of each class [classes, width]
    whitening  lower triangular [width, width]: with it, squared differences add up to the distance
    threshold  of the distance
    """

    means: np.ndarray
    whitening: np.ndarray
    threshold: float

    @classmethod
    def fit(cls, vectors: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> "Scope":
        """vectors: [n, width], labels: int [n]; held_out: vectors of other texts with a class [m, width]"""
        means = np.stack([vectors[labels == label].mean(axis=0) for label in np.unique(labels)])
        centred = vectors - means[np.unique(labels, return_inverse=True)[1]]
        covariance = centred.T @ centred / len(vectors)
        width = len(covariance)
        covariance += SHRUNK * np.trace(covariance) / width * np.eye(width)
        whitening = np.linalg.cholesky(np.linalg.inv(covariance))
        found = cls(means, whitening, 0.0)
        return cls(means, whitening, float(np.quantile(found.scores(held_out), 1 - FLAGGED)))

    @classmethod
    def of_json(cls, content: JsonObject) -> "Scope":
        return cls(np.array(content["means"]), np.array(content["whitening"]), float(content["threshold"]))

    @property
    def json(self) -> JsonObject:
        means, whitening = (
            [[float(f"{value:.{DIGITS}g}") for value in row] for row in rows] for rows in (self.means, self.whitening)
        )
        return {"means": means, "whitening": whitening, "threshold": round(self.threshold, DIGITS)}

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """Distance above the threshold; out of scope if positive. vectors: [n, width] -> [n]"""
        apart = (vectors.astype(np.float64)[:, None] - self.means) @ self.whitening
        return np.sqrt((apart**2).sum(axis=2).min(axis=1)) - self.threshold
