"""models/word2vec.py: the same bytes twice, slopes as autograd's, words that stand together lie together."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.word2vec import NEGATIVES, Word2Vec, keep_chances
from pipelines.word2vec.data.blocks import Blocks, Text

GROUPS, MEMBERS = 4, 5
VOCAB = GROUPS * MEMBERS
BOTH = pytest.mark.parametrize("cbow", [False, True], ids=["skip-gram", "CBOW"])


def corpus(sentences: int = 400, length: int = 6) -> Text:
    """Sentences whose words all belong to one of four groups."""
    rng = np.random.default_rng(0)
    groups = rng.integers(GROUPS, size=sentences)
    words = groups[:, None] * MEMBERS + rng.integers(MEMBERS, size=(sentences, length))
    return Text(words.ravel(), np.repeat(np.arange(sentences), length), np.zeros(words.size, int))


def trained(cbow: bool, epochs: int, width: int = 8) -> tuple[Word2Vec, list[float]]:
    text, keep = corpus(), np.ones(VOCAB)
    torch.manual_seed(0)
    model = Word2Vec(np.bincount(text.words), 1.0, 3, width, cbow, lr=0.1, most=10)
    blocks, losses = Blocks(text, keep, 3, 8, 8, seed=0), []
    for epoch in range(epochs):
        blocks.set_epoch(epoch)
        for words, sentences in blocks:
            reach = torch.randint(1, 4, (len(words) - 1, 8, 1))
            loss, updates = model.slopes(words, model.band(sentences, reach))
            for update in updates:
                model.descend(*update, 0.1)
            losses.append(loss.item())
    return model, losses


@BOTH
def test_words_that_stand_together_lie_together(cbow: bool) -> None:
    model, losses = trained(cbow, epochs=12)
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    cosines, _ = model(torch.arange(VOCAB)[:, None], torch.ones(VOCAB, 1))
    nearest = cosines.argsort(dim=1, descending=True)[:, 1:MEMBERS]
    assert (nearest // MEMBERS == torch.arange(VOCAB)[:, None] // MEMBERS).float().mean() > 0.9


@BOTH
def test_two_runs_with_two_threads_give_the_same_bytes(cbow: bool) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        (first, _), (second, _) = trained(cbow, epochs=1, width=64), trained(cbow, epochs=1, width=64)
    finally:
        torch.set_num_threads(before)
    for name, value in first.state_dict().items():
        assert value.numpy().tobytes() == second.state_dict()[name].numpy().tobytes(), name


@BOTH
def test_a_step_goes_down_the_slope_that_autograd_finds(cbow: bool) -> None:
    """The loss is written out pair by pair; no row has more than `most` pairs."""
    torch.manual_seed(0)
    counts, window, m = np.arange(1, 31), 2, 4
    model = Word2Vec(counts, 0.01, window, 5, cbow, lr=0.1, most=1e6)
    model.outputs.normal_()
    words, sentences = torch.randint(0, 30, (3, m + 2 * window)), torch.tensor([[0] * 5 + [1] * 3] * 3)
    a, b = (table.clone().requires_grad_() for table in (model.words, model.outputs))
    keep = keep_chances(counts, 0.01)
    chance = counts * keep / (counts * keep).sum()
    weight = torch.tensor(counts**0.75 / chance / (counts**0.75).sum())
    loss, pairs = torch.zeros(()), 0
    for block in range(2):
        row, place, wrong = words[block], sentences[block], words[block + 1]
        wrong = wrong[window:-window] if cbow else wrong
        for i in range(window, window + m):
            near = [j for j in range(i - window, i + window + 1) if j != i and place[j] == place[i]]
            mean = [(a[row[near]].mean(dim=0), row[i])] if near else []
            for h, wanted in mean if cbow else [(a[row[i]], row[j]) for j in near]:
                pairs += 1
                random = (weight[wrong] * F.logsigmoid(-(b[wrong] @ h))).mean()
                loss = loss - F.logsigmoid(h @ b[wanted]) - NEGATIVES * random
    loss.backward()
    found, updates = model.slopes(words, model.band(sentences, torch.tensor(window)))
    assert found.item() == pytest.approx(loss.item() / pairs, rel=1e-5)
    for update in updates:
        model.descend(*update, 0.1)
    for table, old in ((model.words, a), (model.outputs, b)):
        assert old.grad is not None
        torch.testing.assert_close(table.data, old.detach() - 0.1 * old.grad, atol=1e-5, rtol=1e-4)


def test_a_word_of_many_pairs_moves_no_farther_than_most_of_them() -> None:
    model = Word2Vec(np.ones(3), 1.0, 1, 2, False, lr=1.0, most=10)
    model.words.zero_()
    rows, slopes = torch.tensor([[0] * 40 + [1] * 4]), torch.ones(1, 44, 2)
    model.descend(model.words, rows, slopes, torch.ones(1, 44), 0.1)
    assert model.words[:, 0].tolist() == pytest.approx([-1.0, -0.4, 0.0])


def test_context_is_within_reach_in_the_same_sentence_and_never_the_word_itself() -> None:
    model = Word2Vec(np.ones(9), 1.0, 2, 4, False, 0.1, 40)
    sentences = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]] * 2)
    band = model.band(sentences, torch.tensor([[[1], [2], [2], [1]]]))[0]
    assert [row.nonzero().flatten().tolist() for row in band] == [[1, 3], [1, 2], [5, 6], [4, 6]]


def test_blocks_hold_the_text_in_one_language_and_the_same_twice() -> None:
    words = np.arange(1000)
    text = Text(words, words // 7, (words >= 500).astype(int))
    seen, mixed = [], 0
    for batch, sentences in (blocks := Blocks(text, np.ones(1000), 2, 10, 9, seed=3)):
        middle = batch[:-1, 2:-2]
        mixed += len({int(word) >= 500 for word in middle[:, 0]}) > 1
        assert (sentences[:-1, 2:-2] == middle // 7).all()
        assert (batch[-1] == batch[0]).all(), "its random words are those of the first block"
        seen.append(middle.flatten())
    assert mixed <= 1, "where one language ends and the other begins"
    assert torch.cat(seen).sort().values.tolist() == words.tolist()
    again = list(blocks)
    blocks.set_epoch(1)
    other = list(blocks)
    assert [one.tolist() for one in seen] == [batch[:-1, 2:-2].flatten().tolist() for batch, _ in again]
    assert again[0][0].tolist() != other[0][0].tolist()


def test_frequent_words_are_left_out_more_often() -> None:
    chances = keep_chances(np.array([90_000, 9_990, 10]), 1e-3)
    assert chances == pytest.approx([np.sqrt(1 / 900) + 1 / 900, np.sqrt(1 / 99.9) + 1 / 99.9, 1.0])


def test_analogies_follow_a_direction() -> None:
    """Vectors are a base plus, for every second word, the same direction."""
    rng = np.random.default_rng(0)
    base, direction = rng.normal(size=(10, 16)), rng.normal(size=16)
    model = Word2Vec(np.ones(20), 1.0, 2, 16, False, 0.1, 40)
    model.words.copy_(torch.tensor(np.stack([base, base + direction], axis=1).reshape(20, 16)))
    asked = torch.tensor([[0, 1, 2 * i] for i in range(1, 10)])
    cosines, _ = model(asked, torch.tensor([[-1.0, 1.0, 1.0]] * 9))
    cosines.scatter_(1, asked, -1)
    assert cosines.argmax(dim=1).tolist() == [2 * i + 1 for i in range(1, 10)]
