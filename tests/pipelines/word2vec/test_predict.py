"""pipelines/word2vec/predict and evaluate: on hand-made vectors, whose neighbours are known."""

import re

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import spearmanr

from pipelines.word2vec.data import FIELDS
from pipelines.word2vec.evaluate import Evaluation
from pipelines.word2vec.evaluate.ppmi import factorise, ppmi
from pipelines.word2vec.evaluate.scoring import by_vectors, interval, spearman
from pipelines.word2vec.predict import Predictor, Response
from roadmap.bundle import Bundle
from tests.support.bundles.text import VECTORS, WORDS, word2vec


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("word2vec") / "bundle"
    word2vec(folder)
    return Predictor(Bundle(folder))


def answer(predictor: Predictor, **request: object) -> Response:
    (found,) = predictor.predict([predictor.Request.model_validate(request)])
    assert isinstance(found, Response)
    return found


def test_neighbours_come_nearest_first_and_without_the_word(predictor: Predictor) -> None:
    found = answer(predictor, task="neighbours", words=["queen"], top=2).nearest
    assert found is not None and [one["word"] for one in found] == ["king", "woman"]
    assert found[0]["similarity"] == pytest.approx(0.8, abs=1e-4) and (found[0]["x"], found[0]["y"]) == (0.3, 0.4)
    everything = answer(predictor, task="neighbours", words=["queen"], top=1000).nearest
    assert everything is not None and len(everything) == len(WORDS) - 1


def test_an_analogy_and_a_similarity(predictor: Predictor) -> None:
    found = answer(predictor, task="analogy", words=["man", "king", "woman"]).nearest
    assert found is not None and found[0]["word"] == "queen"
    assert answer(predictor, task="similarity", words=["巴黎", "法国"]).similarity == pytest.approx(0.990, abs=1e-3)


def test_the_map_is_of_the_most_frequent_words(predictor: Predictor) -> None:
    found = answer(predictor, task="map", top=5).nearest
    assert found is not None and [one["word"] for one in found] == WORDS[:3]
    assert all(one["similarity"] is None and one["x"] is not None for one in found)


def test_answers_in_one_batch_are_those_of_each_alone(predictor: Predictor) -> None:
    requests: list[dict[str, object]] = [
        {"task": "map", "top": 1},
        {"task": "neighbours", "words": ["king"]},
        {"task": "similarity", "words": ["man", "king"]},
    ]
    together = predictor.predict([predictor.Request.model_validate(one) for one in requests])
    assert together == [answer(predictor, **one) for one in requests]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"task": "neighbours", "words": ["quean"]},
            "found 'quean', which is none of the 6 words known; did you mean queen",
        ),
        ({"task": "neighbours", "words": ["xyzzyx"]}, "found 'xyzzyx', which is none of the 6 words known$"),
        ({"task": "analogy", "words": ["man", "king"]}, "words: found 2; expected 3 for analogy"),
        ({"task": "map", "words": ["man"]}, "words: found 1; expected 0 for map"),
        ({"task": "neighbours", "words": ["man"], "top": 0}, "greater than or equal to 1"),
        ({"task": "distance", "words": ["man"]}, "Input should be 'neighbours'"),
    ],
)
def test_what_it_refuses(predictor: Predictor, request_: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        predictor.Request.model_validate(request_)
    assert re.search(message, caught.value.errors()[0]["msg"])


def test_capitals_are_read_as_small_letters(predictor: Predictor) -> None:
    assert predictor.Request.model_validate({"task": "neighbours", "words": [" King "]}).words == ["king"]


def rows(*found: tuple[str, bool, str, float]) -> np.ndarray:
    return np.array([(*one, 1, 2) for one in found], FIELDS)


def test_the_headline_counts_analogies_alone() -> None:
    pairs = [("alike", True, "", float(n)) for n in range(20)]
    targets = rows(("family", False, "queen", 0), ("family", False, "king", 0), ("other", False, "man", 0), *pairs)
    near = [[{"word": word, "similarity": 0.5, "x": None, "y": None}] for word in ("queen", "man", "man")]
    outputs = [Response(task="analogy", similarity=None, nearest=one) for one in near]
    outputs += [Response(task="similarity", similarity=n / 20, nearest=None) for n in range(20)]
    score = Evaluation().score(targets, outputs)
    assert score.value == pytest.approx(2 / 3)
    slices = Evaluation().slices([], targets)
    assert {name: score.subset(mask).value for name, mask in slices.items()} == {"family": 0.5, "other": 1.0}
    assert score.metrics["spearman_alike"] == pytest.approx(1) and score.metrics["unknown_alike"] == 2


def test_spearman_is_scipys_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(0)
    people = rng.integers(0, 10, 200).astype(float)
    cosines = people / 10 + rng.normal(size=200)
    expected = spearmanr(people, cosines).statistic
    assert spearman(people, cosines) == pytest.approx(expected)
    low, high = interval(people, cosines)
    assert low < expected < high and 0.15 < high - low < 0.4, "about 4 / sqrt(200)"


def test_vectors_answer_as_the_predictor_does() -> None:
    found, cosines = by_vectors(VECTORS, np.array([[0, 2, 1], [4, 5, 0]]))
    assert WORDS[found[0]] == "queen" and cosines[1] == pytest.approx(0.990, abs=1e-3)


def test_ppmi_is_what_its_definition_says_and_its_factors_group_the_words() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(4, size=400)
    words = (groups[:, None] * 5 + rng.integers(5, size=(400, 6))).ravel()
    sentences = np.repeat(np.arange(400), 6)
    matrix = ppmi(words, sentences, 20, window=2)
    together = np.zeros((20, 20))
    for i in range(len(words)):
        for j in range(max(0, i - 2), min(len(words), i + 3)):
            together[words[i], words[j]] += i != j and sentences[i] == sentences[j]
    share = together / together.sum()
    with np.errstate(divide="ignore"):
        expected = np.maximum(0, np.log(share / np.outer(share.sum(axis=1), share.sum(axis=0))))
    np.testing.assert_allclose(matrix.toarray(), expected, atol=1e-12)
    vectors = factorise(matrix, 4)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = np.argsort(-(unit @ unit.T), axis=1)[:, 1:5]
    assert (nearest // 5 == np.arange(20)[:, None] // 5).all()
    assert vectors.tobytes() == factorise(matrix, 4).tobytes()
