"""What each idea between GPT-2 and today's decoders is worth: bits per byte of tiny-shakespeare's last tenth.

    DATA_MIRROR=<folder> python -m benchmarks.training.bench_decoders [--steps 350] [--seeds 3] [--write]

Every network sees the same batches in the same order (a seed is an order and a start), has about as many parameters
(`rows.py`), and the recipe of params.yaml. Those that are marked also train for as long as GPT-2: their steps follow
from the CPU time of a step, measured in turns with GPT-2's. Finished runs are kept in artifacts/decoders/runs.jsonl, so
an interrupted command goes on where it was. `--write` puts tables and picture into docs/.
"""

import argparse
import json
import lzma
import statistics
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks import machine
from benchmarks.training.bench_mini_gpt import loss_of, shakespeare, text
from benchmarks.training.decoders import report
from benchmarks.training.decoders.rows import BLOCK, ROWS, Row, parameters
from benchmarks.training.lightning import fit
from models.decoders.language_model import LanguageModel
from pipelines.mini_gpt.data import windows
from pipelines.mini_gpt.evaluate import ngrams
from roadmap.config.settings import TrainSettings
from roadmap.data.training_set import TrainingSet
from roadmap.training.batches import InMemoryDataModule
from roadmap.training.fitting import quieten
from roadmap.training.memory import keep_freed_memory

RUNS = Path("artifacts/decoders/runs.jsonl")
BATCH, ROUNDS, PACE_STEPS = 16, 3, 30


@dataclass(frozen=True)
class Corpus:
    """Tokens, int [n] each: a character is a token, and here a byte."""

    train: np.ndarray
    held_out: np.ndarray
    vocab: int


def network(row: Row, corpus: Corpus, seed: int) -> LanguageModel:
    torch.manual_seed(seed)
    return row.make(corpus.vocab)


def train(model: LanguageModel, corpus: Corpus, steps: int, seed: int) -> float:
    """CPU seconds of so many steps."""
    view = windows(corpus.train, BLOCK)
    arrays = (view[:, :-1], view[:, 1:])
    data = TrainingSet(arrays, tuple(array[:2] for array in arrays), {}, {}, rows=steps * BATCH)
    settings = TrainSettings(epochs=1, batch_size=BATCH, threads=1)
    started = time.process_time()
    fit(model, InMemoryDataModule(data, settings, seed), seed, max_epochs=1, gradient_clip_val=1.0)
    return time.process_time() - started


def pace(row: Row, corpus: Corpus) -> float:
    """CPU time of GPT-2's step over that of this row's: the median of ROUNDS turns."""
    ratios = []
    for _ in range(ROUNDS):
        one, other = (train(network(each, corpus, 0), corpus, PACE_STEPS, 0) for each in (ROWS[0], row))
        ratios.append(one / other)
    return statistics.median(ratios)


def run(row: Row, corpus: Corpus, steps: int, seed: int) -> report.Run:
    model = network(row, corpus, seed)
    total, active = parameters(model)
    seconds = train(model, corpus, steps, seed)
    bits = loss_of(model, corpus.held_out) / np.log(2)
    return {"bits": bits, "seconds": seconds, "steps": steps, "parameters": total, "active": active}


def baselines(corpus: Corpus) -> dict[str, float]:
    """Bits per byte of the held-out text, after the training text. Deflate looks back 32,768 bytes, xz at all."""
    found = {}
    for order in (1, 3, 5):
        name = "unigram" if order == 1 else "trigram, Kneser-Ney" if order == 3 else "5-gram, Kneser-Ney"
        chances = ngrams.probabilities(corpus.train, corpus.held_out, corpus.vocab, order)
        found[name] = float(-np.log2(chances).mean())
    content = shakespeare().encode()
    train, held_out = content[: len(corpus.train)], content[len(corpus.train) :]
    for name, compress in (("zlib", lambda data: zlib.compress(data, 9)), ("xz", lzma.compress)):
        found[name] = 8 * (len(compress(content)) - len(compress(train))) / len(held_out)
    return found


def finished() -> dict[str, report.Run]:
    lines = RUNS.read_text().splitlines() if RUNS.exists() else []
    return {one["key"]: one for one in map(json.loads, lines)}


def keep(key: str, values: report.Run) -> None:
    RUNS.parent.mkdir(parents=True, exist_ok=True)
    with RUNS.open("a") as file:
        file.write(json.dumps({"key": key, **values}) + "\n")


def plan(seeds: int, steps: int) -> list[tuple[str, Row, bool, int]]:
    """Key, row, whether for equal time, and seed of every run; the small steps between the models come last."""
    models, between = ([row for row in ROWS if row.model is wanted] for wanted in (True, False))
    equal_data = [(row, False, seed) for seed in range(1, seeds + 1) for row in models]
    equal_time = [(row, True, seed) for seed in range(1, seeds + 1) for row in models if row.timed]
    rest = [(row, False, seed) for seed in range(1, seeds + 1) for row in between]
    runs = equal_data + equal_time + rest
    return [(report.key(row, steps, seed, timed), row, timed, seed) for row, timed, seed in runs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=350, help=f"of {BATCH} x {BLOCK} bytes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only-report", action="store_true", help="of the runs that are done")
    parser.add_argument("--write", action="store_true", help="tables and picture into docs/")
    args = parser.parse_args()
    quieten()
    keep_freed_memory()
    torch.set_num_threads(1)
    corpus = Corpus(*text())
    runs, done = plan(args.seeds, args.steps), finished()
    print(f"{machine.line()}\n{len(runs)} runs, {sum(key in done for key, *_ in runs)} of them done", flush=True)
    for place, (key, row, timed, seed) in enumerate(runs, 1):
        if key in done or args.only_report:
            continue
        steps = args.steps
        if timed:
            pacing = f"pace of {row.name}"
            if pacing not in done:
                keep(pacing, {"ratio": pace(row, corpus)})
            done = finished()
            steps = round(args.steps * float(done[pacing]["ratio"]))
        keep(key, run(row, corpus, steps, seed))
        done = finished()
        one = done[key]
        print(f"{place}/{len(runs)} {key}: {one['bits']:.4f} bits, {one['seconds']:.1f} CPU-s", flush=True)
    tables = report.Tables(done, args.steps, args.seeds, baselines(corpus))
    print(*tables.markdown("en").values(), sep="\n\n")
    if args.write:
        tables.write(Path("docs"))


if __name__ == "__main__":
    main()
