"""What lies far from every class, along directions in which the classes don't spread, is out of scope."""

import json

import numpy as np

from roadmap.inference.text.scope import FLAGGED, Scope

SPREAD = np.array([1.0, 1.0, 0.05, 0.05])


def texts(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Three classes that spread in two of four directions: vectors [n, 4], labels [n]"""
    labels = rng.integers(3, size=n)
    return labels[:, None] * np.array([4.0, 0, 0, 0]) + rng.normal(size=(n, 4)) * SPREAD, labels


def test_the_narrow_directions_count_more() -> None:
    rng = np.random.default_rng(0)
    vectors, labels = texts(rng, 600)
    scope = Scope.fit(vectors, labels, texts(rng, 400)[0])
    wide, narrow = np.array([[4.0, 1, 0, 0]]), np.array([[4.0, 0, 1, 0]])
    assert scope.scores(wide)[0] < 0 < scope.scores(narrow)[0]
    flagged = (scope.scores(texts(rng, 4000)[0]) > 0).mean()
    assert abs(flagged - FLAGGED) < 0.04


def test_classes_need_no_consecutive_numbers() -> None:
    vectors, labels = texts(np.random.default_rng(1), 300)
    one, other = (Scope.fit(vectors, numbers, vectors) for numbers in (labels, labels * 5 + 2))
    np.testing.assert_allclose(one.scores(vectors), other.scores(vectors))


def test_it_survives_json() -> None:
    vectors, labels = texts(np.random.default_rng(2), 300)
    scope = Scope.fit(vectors, labels, vectors)
    again = Scope.of_json(json.loads(json.dumps(scope.json)))
    np.testing.assert_allclose(again.scores(vectors), scope.scores(vectors), atol=1e-3)


def test_directions_in_which_nothing_differs_do_no_harm() -> None:
    vectors, labels = texts(np.random.default_rng(3), 50)
    flat = np.concatenate([vectors, np.zeros((50, 60))], axis=1)  # more directions than texts
    assert np.isfinite(Scope.fit(flat, labels, flat).scores(flat)).all()
