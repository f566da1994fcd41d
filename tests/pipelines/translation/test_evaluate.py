"""BLEU is sacreBLEU's, the aligner finds a planted dictionary, and what is longer than in training counts apart."""

import numpy as np
import pytest
from sacrebleu import corpus_bleu

from pipelines.translation.data import FIELDS
from pipelines.translation.evaluate import bleu, remembered, score
from pipelines.translation.evaluate.ibm1 import Model1

WANTED = ["A man is riding a red bicycle.", "Two dogs run through the snow.", "A girl sings!", "He sleeps on a bench."]
FOUND = ["a man rides a red bicycle .", "Two dogs are running through snow", "", "He sleeps on the bench."]


def targets(wanted: list[str], kinds: list[str]) -> np.ndarray:
    found = np.zeros(len(wanted), FIELDS)
    found["target"], found["kind"] = wanted, kinds
    return found


@pytest.mark.parametrize("lowercase", [True, False])
def test_the_mean_of_counts_gives_sacrebleus_score(lowercase: bool) -> None:
    counts = bleu.counts(FOUND * 3, WANTED * 3, lowercase)
    expected = corpus_bleu(FOUND * 3, [WANTED * 3], lowercase=lowercase).score
    assert bleu.bleu(counts.mean(axis=0)) == pytest.approx(expected, abs=1e-9)
    assert bleu.bleu(bleu.counts(WANTED, WANTED, lowercase).sum(axis=0)) == pytest.approx(100)


def test_nothing_in_common_scores_zero() -> None:
    assert bleu.bleu(bleu.counts(["x y z"], ["a b c d e"], True).sum(axis=0)) == 0
    assert bleu.bleu(bleu.counts([""], ["a b"], True).sum(axis=0)) == 0


def test_the_signature_says_how_it_was_scored() -> None:
    assert bleu.signature(lowercase=True).startswith("nrefs:1|case:lc|eff:") and "tok:13a" in bleu.signature(True)


def test_bleu_has_an_interval_around_it() -> None:
    found = score(targets(WANTED * 10, [""] * 40), FOUND * 10)
    low, high = found.interval(seed=0)
    assert found.headline == "bleu" and low < found.value < high
    assert found.value == pytest.approx(corpus_bleu(FOUND * 10, [WANTED * 10], lowercase=True).score)
    assert found.metrics["bleu_cased"] < found.value


def test_longer_numbers_are_reported_and_not_counted() -> None:
    kinds = ["number", "number", "longer", "date"]
    found = score(targets(["a", "b", "c", "d"], kinds), ["a", "x", "y", "d"])
    assert found.value == pytest.approx(2 / 3)
    assert found.metrics["exact_match_longer"] == 0 and found.metrics["exact_match_date"] == 1
    assert found.subset(np.array(kinds) == "number").value == 0.5


def test_the_aligner_finds_a_planted_dictionary() -> None:
    """Word w of the source is w + 50 of the target, in any order, with a target word of no origin in every pair."""
    rng = np.random.default_rng(0)
    sources = [rng.choice(np.arange(10, 40), size=rng.integers(2, 7), replace=False) for _ in range(600)]
    written = [[*(rng.permutation(source) + 50).tolist(), 5] for source in sources]
    model = Model1([source.tolist() for source in sources], written, vocab=100)
    assert model.translate(range(10, 40)) == list(range(60, 90))
    assert model.translate([7]) == [], "a word never met"
    sums = np.bincount(model.origin, model.chances)
    np.testing.assert_allclose(sums[sums > 0], 1)
    nothing = model.target[model.origin == 0][model.chances[model.origin == 0].argmax()]
    assert nothing == 5, "the word of no origin"


def test_the_memory_answers_with_the_nearest_sentence() -> None:
    known = ["ein Hund läuft", "eine Katze schläft", "zwei Männer reden"]
    assert remembered(known, ["dog", "cat", "men"], ["die Katze schläft gut", "Männer"]) == ["cat", "men"]
