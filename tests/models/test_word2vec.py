"""models/word2vec.py: the same bytes twice, slopes as autograd's, words that stand together lie together."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.word2vec import NONE, Word2Vec, analogy, contexts, factorise, keep_chances, nearest, ppmi, train

GROUPS, MEMBERS = 4, 5
VOCAB = GROUPS * MEMBERS


def corpus(sentences: int = 400, length: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Sentences whose words all belong to one of four groups."""
    rng = np.random.default_rng(0)
    groups = rng.integers(GROUPS, size=sentences)
    words = groups[:, None] * MEMBERS + rng.integers(MEMBERS, size=(sentences, length))
    return words.ravel(), np.repeat(np.arange(sentences), length)


def trained(cbow: bool, epochs: int = 6, width: int = 8) -> tuple[Word2Vec, list[float]]:
    words, sentences = corpus()
    counts = np.bincount(words, minlength=VOCAB)
    model = Word2Vec(counts, width, cbow, negatives=16, lr=0.1, seed=0)
    losses: list[float] = []
    for epoch in range(epochs):
        losses += train(model, words, sentences, np.ones(VOCAB), window=3, batch=200, seed=epoch)
    return model, losses


def grouped(vectors: np.ndarray) -> float:
    """The share of words whose four nearest are the others of their group."""
    right = [
        {near // MEMBERS for near in nearest(vectors, vectors[word], MEMBERS - 1, [word])} == {word // MEMBERS}
        for word in range(VOCAB)
    ]
    return sum(right) / VOCAB


@pytest.mark.parametrize("cbow", [False, True], ids=["skip-gram", "CBOW"])
def test_words_that_stand_together_lie_together(cbow: bool) -> None:
    model, losses = trained(cbow)
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    assert grouped(model.words.detach().numpy()) > 0.9


@pytest.mark.parametrize("cbow", [False, True], ids=["skip-gram", "CBOW"])
def test_two_runs_with_two_threads_give_the_same_bytes(cbow: bool) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        (first, _), (second, _) = trained(cbow, epochs=1, width=32), trained(cbow, epochs=1, width=32)
    finally:
        torch.set_num_threads(before)
    for name, value in first.state_dict().items():
        assert value.numpy().tobytes() == second.state_dict()[name].numpy().tobytes(), name


@pytest.mark.parametrize("cbow", [False, True], ids=["skip-gram", "CBOW"])
def test_a_step_goes_down_the_slope_that_autograd_finds(cbow: bool) -> None:
    torch.manual_seed(0)
    counts = np.arange(1, 11)
    model = Word2Vec(counts, 4, cbow, negatives=6, lr=0.1, seed=0)
    with torch.no_grad():
        model.outputs.normal_()
    words, around = torch.tensor([1, 2, 2]), torch.tensor([[3, 4], [NONE, 5], [3, NONE]])
    a, b = (table.detach().clone().requires_grad_() for table in (model.words, model.outputs))
    state = model.generator.get_state()
    drawn = torch.multinomial(model.get_buffer("chances"), 6, replacement=True, generator=model.generator)
    model.generator.set_state(state)
    loss = torch.zeros(())
    examples = 0
    for word, near in zip(words.tolist(), around.tolist(), strict=True):
        near = [one for one in near if one != NONE]
        pairs: Any = [(a[near].mean(dim=0), word)] if cbow else [(a[word], one) for one in near]
        for h, wanted in pairs:
            examples += 1
            loss = loss - F.logsigmoid(h @ b[wanted])
            for one in drawn.tolist():
                if one != wanted:
                    loss = loss - 5 / 6 * F.logsigmoid(-(h @ b[one]))
    loss.backward()
    assert model.step(words, around) == pytest.approx(loss.item() / examples, rel=1e-5)
    for table, old in ((model.words, a), (model.outputs, b)):
        slope = old.grad
        assert slope is not None
        length = (1e-6 + slope.square().mean(dim=1, keepdim=True)).sqrt()
        wanted = old.detach() - 0.1 * slope / length
        torch.testing.assert_close(table.detach(), wanted, atol=1e-5, rtol=1e-4)


def test_contexts_stay_in_the_sentence_and_within_reach() -> None:
    words, sentences = np.arange(200), np.repeat(np.arange(20), 10)
    found = contexts(words, sentences, 3, np.random.default_rng(0))
    assert found.shape == (200, 6)
    rows, columns = (found != NONE).nonzero()
    distance = np.abs(found[rows, columns] - words[rows])
    assert set(distance) == {1, 2, 3} and (sentences[found[rows, columns]] == sentences[rows]).all()
    counted = np.bincount(distance)
    assert counted[1] == 2 * 20 * 9, "the next word always counts"
    assert counted[1] > counted[2] > counted[3] > 0


def test_frequent_words_are_left_out_more_often() -> None:
    chances = keep_chances(np.array([90_000, 9_990, 10]), 1e-3)
    assert chances == pytest.approx([np.sqrt(1 / 900) + 1 / 900, np.sqrt(1 / 99.9) + 1 / 99.9, 1.0])


def test_ppmi_is_what_its_definition_says_and_its_factors_group_the_words() -> None:
    words, sentences = corpus()
    matrix = ppmi(words, sentences, VOCAB, window=2)
    together = np.zeros((VOCAB, VOCAB))
    for i in range(len(words)):
        for j in range(max(0, i - 2), min(len(words), i + 3)):
            together[words[i], words[j]] += i != j and sentences[i] == sentences[j]
    share = together / together.sum()
    with np.errstate(divide="ignore"):
        expected = np.maximum(0, np.log(share / np.outer(share.sum(axis=1), share.sum(axis=0))))
    np.testing.assert_allclose(matrix.toarray(), expected, atol=1e-12)
    vectors = factorise(matrix, 4)
    assert grouped(vectors) == 1
    assert vectors.tobytes() == factorise(matrix, 4).tobytes()


def test_analogies_follow_a_direction() -> None:
    """Vectors are a base plus, for every second word, the same direction."""
    rng = np.random.default_rng(0)
    base, direction = rng.normal(size=(10, 16)), rng.normal(size=16)
    vectors = np.stack([base, base + direction], axis=1).reshape(20, 16)
    assert [analogy(vectors, 0, 1, 2 * i) for i in range(1, 10)] == [2 * i + 1 for i in range(1, 10)]
