"""word2vec against gensim and a plain PyTorch loop: scores and words per second at equal width, epochs and corpus.

    DATA_MIRROR=<folder> python -m benchmarks.training.bench_word2vec [--epochs 5] [--only ours gensim]

Text: the six English novels, skip-gram and CBOW, width 100, window 5, five negatives, sub-sampling at 1e-3, words that
occur five times; the same sentences and vocabulary for all. gensim is no dependency: without it (`pip install gensim`
into a folder of its own, named in PYTHONPATH) it is left out, with a note. One thread each; speed is in words of the
text per CPU-second, so that other work on the machine changes it little. The plain loop is timed on the first words
only: autograd and SGD on batches of pairs, as tutorials write it.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import chain

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import machine
from models.word2vec import Word2Vec, keep_chances
from pipelines.word2vec.data import as_arrays, as_questions, questions
from pipelines.word2vec.data.blocks import Blocks, Text
from pipelines.word2vec.data.sample import Sentences
from pipelines.word2vec.data.texts import official
from pipelines.word2vec.evaluate.scoring import by_vectors, interval, spearman
from roadmap.training.memory import keep_freed_memory

WIDTH, WINDOW, NEGATIVES, SUBSAMPLE, MIN_COUNT, SEED = 100, 5, 5, 1e-3, 5, 42
BLOCK, BATCH, LR, MOST = 16, 64, 0.05, 40.0  # params.yaml's, of the full profile
PAIRS = 1024  # of a batch of the plain loop

Vectors = np.ndarray
Trained = tuple[Vectors, float]  # [vocab, width], CPU-seconds


def ours(found: Sentences, vocabulary: list[str], counts: np.ndarray, epochs: int, cbow: bool = False) -> Trained:
    """The training step of models/word2vec.py on the pipeline's blocks, without Lightning."""
    keep_freed_memory()
    torch.manual_seed(SEED)
    arrays = as_arrays(found, {word: place for place, word in enumerate(vocabulary)})
    text = Text(*(arrays[name].astype(np.int64) for name in ("words", "sentences", "languages")))
    model = Word2Vec(counts, SUBSAMPLE, WINDOW, WIDTH, cbow, LR, MOST)
    blocks = Blocks(text, keep_chances(counts, SUBSAMPLE), WINDOW, BLOCK, BATCH, SEED)
    started = time.process_time()
    for epoch in range(epochs):
        blocks.set_epoch(epoch)
        for index, (words, sentences) in enumerate(blocks):
            reach = torch.randint(1, WINDOW + 1, (len(words) - 1, BLOCK, 1))
            _, updates = model.slopes(words, model.band(sentences, reach))
            for update in updates:
                model.descend(*update, LR * (1 - (epoch + index / len(blocks)) / epochs))
    return model.words.numpy(), time.process_time() - started


def gensim(found: Sentences, vocabulary: list[str], counts: np.ndarray, epochs: int, cbow: bool = False) -> Trained:
    """gensim's defaults.

    Raises:
        ImportError: it is not installed.
    """
    from gensim.models import Word2Vec as Theirs

    sentences = [words for _, words in found]
    options = {"vector_size": WIDTH, "window": WINDOW, "negative": NEGATIVES, "sample": SUBSAMPLE}
    model = Theirs(**options, min_count=MIN_COUNT, sg=int(not cbow), workers=1, seed=SEED, epochs=epochs)
    model.build_vocab(sentences)
    started = time.process_time()
    model.train(sentences, total_examples=model.corpus_count, epochs=epochs)
    return model.wv[vocabulary], time.process_time() - started


def plain(found: Sentences, vocabulary: list[str], counts: np.ndarray, epochs: int) -> Trained:
    """Two embeddings, pairs in batches, autograd, SGD with sparse gradients."""
    torch.manual_seed(SEED)
    rng, keep = np.random.default_rng(SEED), keep_chances(counts, SUBSAMPLE)
    number = {word: place for place, word in enumerate(vocabulary)}
    first, second = (nn.Embedding(len(counts), WIDTH, sparse=True) for _ in range(2))
    nn.init.zeros_(second.weight)
    optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.025)
    chances = torch.tensor(counts**0.75, dtype=torch.float32)
    started = time.process_time()
    for _ in range(epochs):
        pairs: list[tuple[int, int]] = []
        for _, words in found:
            kept = [number[word] for word in words if word in number]
            kept = [word for word in kept if rng.random() < keep[word]]
            for place, word in enumerate(kept):
                reach = int(rng.integers(1, WINDOW + 1))
                pairs += [(word, near) for near in kept[max(0, place - reach) : place]]
                pairs += [(word, near) for near in kept[place + 1 : place + 1 + reach]]
        for start in range(0, len(pairs), PAIRS):
            a, b = torch.tensor(pairs[start : start + PAIRS]).T
            drawn = torch.multinomial(chances, len(a) * NEGATIVES, replacement=True).view(-1, NEGATIVES)
            h = first(a)
            right, wrong = (h * second(b)).sum(dim=1), (second(drawn) @ h[:, :, None]).squeeze(2)
            loss = -F.logsigmoid(right).sum() - F.logsigmoid(-wrong).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return first.weight.detach().numpy(), time.process_time() - started


CONTENDERS: dict[str, Callable[[Sentences, list[str], np.ndarray, int], Trained]] = {
    "ours": ours,
    "gensim": gensim,
    "plain": plain,
    "ours, CBOW": partial(ours, cbow=True),
    "gensim, CBOW": partial(gensim, cbow=True),
}


def scores(vectors: Vectors, vocabulary: list[str]) -> str:
    """Analogies answered, and Spearman's correlations with their intervals and the pairs known."""
    number = {word: place for place, word in enumerate(vocabulary)}
    test = as_questions(questions.official(), number)
    rows = test["rows"]
    asked = np.array([[number.get(word, 0) for word in words[:3]] for words in test["words"].tolist()])
    found, cosines = by_vectors(vectors, asked)
    answers = np.array([number.get(row["answer"], -1) for row in rows])
    said = [f"analogies {(found == answers)[~rows['pair']].mean():.3f} of {int((~rows['pair']).sum()):,}"]
    for name in ("wordsim_353", "simlex_999"):
        chosen = rows["set"] == name
        people, own = rows["score"][chosen], cosines[chosen]
        low, high = interval(people, own)
        said.append(f"{name} {spearman(people, own):.3f} ({low:.3f} to {high:.3f}, {len(people)} pairs)")
    return ", ".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--plain-words", type=int, default=100_000, help="of the plain loop, one epoch")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME")
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = [(language, words) for language, words in official() if language == "en"]
    counted = Counter(chain.from_iterable(words for _, words in found))
    vocabulary = [word for word, count in counted.most_common() if count >= MIN_COUNT]
    counts = np.array([counted[word] for word in vocabulary])
    print(f"{machine.line()}; {sum(counted.values()):,} words, {len(vocabulary):,} distinct", flush=True)
    ends = np.cumsum([len(words) for _, words in found])
    few = found[: int(np.searchsorted(ends, args.plain_words)) + 1]
    rates: dict[str, float] = {}
    for name, train in CONTENDERS.items():
        if name not in args.only:
            continue
        some, epochs = (few, 1) if name == "plain" else (found, args.epochs)
        try:
            vectors, seconds = train(some, vocabulary, counts, epochs)
        except ImportError as error:
            print(f"{name}: left out, {error}")
            continue
        rates[name] = sum(len(words) for _, words in some) * epochs / seconds
        told = scores(vectors, vocabulary) if name != "plain" else "too few words for scores"
        print(f"{name:12s} {rates[name]:9,.0f} words per CPU-second, {seconds:.1f} CPU-seconds; {told}", flush=True)
    for one, other in (("ours", "gensim"), ("ours", "plain"), ("ours, CBOW", "gensim, CBOW")):
        if one in rates and other in rates:
            print(f"{one} is {rates[one] / rates[other]:.2f}x {other}")


if __name__ == "__main__":
    main()
