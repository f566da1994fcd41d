"""The strongest simple baseline for small images: responses of whitened random patches, pooled over quadrants.

Coates, Ng and Lee, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning" (2011), with random
patches of the training images as the dictionary.
"""

from dataclasses import dataclass

import numpy as np

PATCH, WORDS, CHUNK = 6, 200, 50


@dataclass(frozen=True)
class Patches:
    mean: np.ndarray  # [108]
    whitening: np.ndarray  # [108, 108]
    words: np.ndarray  # [108, WORDS], unit length
    scale: np.ndarray  # [4 * WORDS]
    shift: np.ndarray  # [4 * WORDS]

    @classmethod
    def fit(cls, images: np.ndarray, seed: int) -> "Patches":
        """images: uint8 [n, h, w, 3]"""
        rng = np.random.default_rng(seed)
        windows = _windows(images[:500])
        found = _contrast(windows[rng.integers(0, len(windows), 20_000)])
        mean = found.mean(axis=0)
        variance, axes = np.linalg.eigh(np.cov(found - mean, rowvar=False))
        whitening = axes @ np.diag(1 / np.sqrt(variance + 0.1)) @ axes.T
        words = ((found[:WORDS] - mean) @ whitening).T
        words = words / np.linalg.norm(words, axis=0)
        one = np.ones(4 * WORDS, np.float32)
        raw = cls(mean, whitening.astype(np.float32), words.astype(np.float32), one, 0 * one)
        pooled = raw.features(images[:1_000])
        return cls(mean, raw.whitening, raw.words, 1 / (pooled.std(axis=0) + 1e-3), pooled.mean(axis=0))

    def features(self, images: np.ndarray) -> np.ndarray:
        """-> float32 [n, 4 * WORDS]: response of each word in each quadrant, standardised"""
        parts = [self._pooled(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)]
        return (np.concatenate(parts) - self.shift) * self.scale

    def _pooled(self, images: np.ndarray) -> np.ndarray:
        n, side = len(images), images.shape[1] - PATCH + 1
        answers = (_contrast(_windows(images)) - self.mean) @ (self.whitening @ self.words)
        answers = np.maximum(answers - 0.5, 0).reshape(n, side, side, WORDS)
        half = side // 2
        quarters = [
            answers[:, a, b].mean(axis=(1, 2))
            for a in (slice(half), slice(half, None))
            for b in (slice(half), slice(half, None))
        ]
        return np.concatenate(quarters, axis=1)


def _windows(images: np.ndarray) -> np.ndarray:
    """-> float32 [n * positions, 108]"""
    view = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))
    return view.reshape(-1, 3 * PATCH * PATCH).astype(np.float32)


def _contrast(patches: np.ndarray) -> np.ndarray:
    """Each patch with mean 0 and about unit variance."""
    centred = patches - patches.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 10)
