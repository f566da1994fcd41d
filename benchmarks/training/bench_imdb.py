"""Our training loop against the usual DataLoader script: the LSTM of imdb's `full` profile, same reviews, same batches.

    DATA_MIRROR=<folder> python -m benchmarks.training.bench_imdb [--path <aclImdb>] [--reviews 3000] [--rounds 3]

The contenders take turns, each in a separate process. `ours` puts reviews of similar length into a batch and cuts it to
the longest; the first script pads every review to 512 tokens, as tutorials do; the second pads to the longest of a
random batch and packs (nn.LSTM(bidirectional=True) and pack_padded_sequence). Without the official reviews: random
tokens with the same distribution of lengths (speed is the same).
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks import machine
from benchmarks.training.lightning import fit
from models.imdb import LSTM
from pipelines.imdb import data as imdb
from roadmap.config.settings import TrainSettings
from roadmap.data.download import fetch
from roadmap.data.texts import from_files
from roadmap.data.training_set import TrainingSet
from roadmap.io.errors import UsageError
from roadmap.training.batches import InMemoryDataModule
from roadmap.training.fitting import precision_for, quieten
from roadmap.training.memory import keep_freed_memory

BATCH, SEED, VOCABULARY, MOST = 64, 42, 24_000, 512
PRECISION: Any = precision_for("32-true", bf16=True)
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]  # tokens [n, MOST], lengths [n], labels [n]


class Packed(LSTM):
    """The same network with torch's own bidirectional layer on packed sequences."""

    def build(self, width: int, hidden: int) -> int:
        self.both = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        return 2 * hidden + width

    def encode(self, e: Tensor, lengths: Tensor) -> Tensor:
        """e: float [b, t, width], lengths: int [b] -> float [b, t, 2 * hidden + width]"""
        packed = nn.utils.rnn.pack_padded_sequence(e, lengths, batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.both(packed)[0], batch_first=True, total_length=e.shape[1])
        return torch.cat([states, e], dim=2)


def network(kind: type[LSTM] = LSTM) -> LSTM:
    torch.manual_seed(SEED)
    start = np.zeros((VOCABULARY, 1), np.float32)
    return kind(start, width=128, hidden=96, dropout=0.3, word_dropout=0.1, lr=2e-3, weight_decay=0.01)


def ours(rows: Rows) -> float:
    """What `pipelines.train` does: Lightning, in-memory batches by length, history and checkpoints, no validation."""
    keep_freed_memory()
    few = tuple(array[:256] for array in rows)
    data = InMemoryDataModule(
        TrainingSet(train=rows, val=few, model={}, assets={}, lengths=(rows[1], few[1])),
        TrainSettings(epochs=1, batch_size=BATCH, threads=None),
        SEED,
    )
    return fit(network(), data, SEED, max_epochs=1, precision=PRECISION, gradient_clip_val=1.0)


class Reviews(Dataset):
    def __init__(self, rows: Rows) -> None:
        self.tokens, self.lengths, self.labels = map(torch.from_numpy, rows)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.tokens[i], self.lengths[i], self.labels[i]


def script(rows: Rows, model: LSTM, whole: bool, bf16: bool) -> float:
    """The usual loop. `whole`: batches as wide as the longest possible review, else as their own longest."""
    loader = DataLoader(Reviews(rows), BATCH, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.01)
    started = time.perf_counter()
    for tokens, lengths, labels in loader:
        width = MOST if whole else int(lengths.max())
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(tokens[:, :width], lengths)
        loss = F.binary_cross_entropy_with_logits(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return time.perf_counter() - started


CONTENDERS: dict[str, Callable[[Rows], float]] = {
    "ours (by length, bfloat16)": ours,
    "DataLoader, padded to 512, bfloat16": lambda rows: script(rows, network(), True, PRECISION == "bf16-mixed"),
    "DataLoader, padded to 512": lambda rows: script(rows, network(), True, False),
    "DataLoader, packed": lambda rows: script(rows, network(Packed), False, False),
}


def training_rows(path: str | None, reviews: int) -> tuple[Rows, str]:
    try:
        files, _ = from_files(Path(path) if path else fetch("imdb", imdb.IMDB, imdb.IMDB_MD5))
        parts, _ = imdb.official(files, SEED)
        train = parts["train"].sample(reviews, random_state=SEED)
        tokenizer = imdb.train_tokenizer(parts["train"]["text"], VOCABULARY, MOST)
        tokens, lengths = imdb.padded(imdb.encode(tokenizer, train["text"]))
        labels, source = train["label"].to_numpy(np.float32), "IMDB"
    except UsageError:
        rng = np.random.default_rng(SEED)
        lengths = np.clip(rng.lognormal(5.4, 0.68, reviews), 20, MOST).astype(np.int64)
        tokens = rng.integers(2, VOCABULARY, (reviews, MOST), dtype=np.int32)
        tokens[np.arange(MOST) >= lengths[:, None]] = 0
        labels, source = rng.integers(0, 2, reviews).astype(np.float32), "random tokens"
    return (np.pad(tokens, ((0, 0), (0, MOST - tokens.shape[1]))), lengths, labels), source


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", help="reviews in the layout of aclImdb, where the whole archive is not at hand")
    parser.add_argument("--reviews", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs=2, metavar=("NAME", "ROWS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        quieten()
        with np.load(args.only[1]) as rows:
            print(CONTENDERS[args.only[0]]((rows["tokens"], rows["lengths"], rows["labels"])))
        return
    (tokens, lengths, labels), source = training_rows(args.path, args.reviews)
    folder = Path(tempfile.mkdtemp())
    np.savez(folder / "rows.npz", tokens=tokens, lengths=lengths, labels=labels)
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for round_ in range(args.rounds):
        for name in list(CONTENDERS)[:: 1 if round_ % 2 else -1]:
            command = [sys.executable, "-m", "benchmarks.training.bench_imdb", "--only", name, str(folder / "rows.npz")]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            times[name].append(float(done.stdout.splitlines()[-1]))
            print(f"round {round_ + 1}: {name:36s} {times[name][-1]:6.2f} s", flush=True)
    ours_ = times["ours (by length, bfloat16)"]
    print(
        f"\n{machine.line()}, {args.reviews:,} reviews of {source}, {lengths.sum():,} tokens, median of {args.rounds}"
    )
    print("| loop | reviews/s | tokens/s | of ours |\n| --- | --- | --- | --- |")
    for name, seconds in times.items():
        one = statistics.median(seconds)
        ratio = statistics.median(other / own for other, own in zip(seconds, ours_, strict=True))
        print(f"| {name} | {args.reviews / one:,.0f} | {lengths.sum() / one:,.0f} | {ratio:.2f}x the time |")


if __name__ == "__main__":
    main()
