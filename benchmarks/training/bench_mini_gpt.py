"""mini_gpt's training against nanoGPT's published CPU setting: loss in the same time, speed at the same setting.

    DATA_MIRROR=<folder> python -m benchmarks.training.bench_mini_gpt [--steps 2000] [--speed-steps 300] [--rounds 3]

The reference is a plain version of nanoGPT's loop, with the options of its README for a CPU: 4 layers, 4 heads, width
128, block 64, batch 12, 2,000 iterations, no dropout. The loss is that of the whole last tenth of tiny-shakespeare, in
consecutive windows; nanoGPT estimates it from 240 random ones. `shipped` is params.yaml's full setting, for as many
seconds as the reference. Evaluation is not counted. Every run is a separate process.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch.nn import functional as F

from benchmarks import machine
from benchmarks.training.lightning import fit
from models.decoders.gpt import GPT
from models.decoders.language_model import LanguageModel
from pipelines.mini_gpt.data import corpus, tokens, windows
from pipelines.mini_gpt.settings import Data
from roadmap.config.check import for_profile
from roadmap.config.settings import TrainSettings
from roadmap.data.training_set import TrainingSet
from roadmap.training.batches import InMemoryDataModule
from roadmap.training.fitting import precision_for, quieten
from roadmap.training.memory import keep_freed_memory

SEED, CALIBRATION = 1337, 60
BLOCK, BATCH, WARMUP, PEAK, LEAST = 64, 12, 100, 1e-3, 1e-4  # nanoGPT's
NANOGPT: dict[str, Any] = {"layers": 4, "heads": 4, "width": 128, "positions": "learned", "bias": False, "dropout": 0.0}
NANOGPT |= {"lr": PEAK, "final_lr": LEAST / PEAK, "warmup": WARMUP, "weight_decay": 0.1, "beta2": 0.99}


def shakespeare() -> str:
    settings = Data(path=None, tokenizer="char", vocab=300, block=BLOCK, rows=1, split=(0.9, 0.05, 0.05))
    return corpus(settings, "full")[0]


def text() -> tuple[np.ndarray, np.ndarray, int]:
    """Tokens int [n] of the first nine tenths, of the last, and the size of the vocabulary."""
    content = shakespeare()
    tokenizer = tokens.characters(content)
    encoded = tokens.encode(tokenizer, content)
    cut = int(0.9 * len(encoded))
    return encoded[:cut], encoded[cut:], tokenizer.get_vocab_size()


@torch.no_grad()
def loss_of(model: LanguageModel, held_out: np.ndarray) -> float:
    """Nats per character of the whole text, tokens int [n], in consecutive windows of the model's own context."""
    model.eval()
    view = torch.tensor(windows(held_out, model.block)[:: model.block].astype(np.int64))
    total = 0.0
    for part in view.split(64):
        total += F.cross_entropy(model(part[:, :-1]).flatten(0, 1), part[:, 1:].flatten(), reduction="sum").item()
    return total / (len(view) * model.block)


def reference(steps: int) -> tuple[float, float]:
    """nanoGPT's train.py on a CPU with compile=False: float32, unfused AdamW, batches stacked from single windows."""
    train, held_out, vocab = text()
    data = train.astype(np.uint16)
    torch.manual_seed(SEED)
    model = GPT(vocab=vocab, block=BLOCK, **NANOGPT)
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99))

    def get_batch() -> tuple[torch.Tensor, torch.Tensor]:
        places = torch.randint(len(data) - BLOCK, (BATCH,))
        x = torch.stack([torch.from_numpy(data[i : i + BLOCK].astype(np.int64)) for i in places])
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + BLOCK].astype(np.int64)) for i in places])
        return x, y

    def get_lr(it: int) -> float:
        if it < WARMUP:
            return PEAK * (it + 1) / (WARMUP + 1)
        ratio = (it - WARMUP) / (steps - WARMUP) if steps > WARMUP else 1.0
        return LEAST + 0.5 * (1.0 + math.cos(math.pi * ratio)) * (PEAK - LEAST)

    started = time.perf_counter()
    x, y = get_batch()
    for it in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = get_lr(it)
        logits = model(x)
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), y.view(-1))
        x, y = get_batch()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - started, loss_of(model, held_out)


def lightning(model: GPT, train: np.ndarray, settings: TrainSettings, steps: int) -> float:
    """What `pipelines.train` does in one epoch of so many steps, without validation; seconds. train: tokens int [n]."""
    view = windows(train, model.block)
    arrays = (view[:, :-1], view[:, 1:])
    data = TrainingSet(arrays, tuple(array[:2] for array in arrays), {}, {}, rows=steps * settings.batch_size)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    precision: Any = precision_for("32-true", settings.bf16)
    return fit(
        model,
        InMemoryDataModule(data, settings, SEED),
        SEED,
        max_epochs=1,
        precision=precision,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip,
    )


def ours(steps: int) -> tuple[float, float]:
    """The reference's setting, trained by this repository."""
    keep_freed_memory()
    train, held_out, vocab = text()
    torch.manual_seed(SEED)
    model = GPT(vocab=vocab, block=BLOCK, **NANOGPT)
    seconds = lightning(model, train, TrainSettings(epochs=1, batch_size=BATCH, clip=1.0, threads=None), steps)
    return seconds, loss_of(model, held_out)


def shipped(seconds: float) -> tuple[float, float]:
    """params.yaml's full setting for so many seconds: a few steps determine how many fit."""
    keep_freed_memory()
    block = for_profile(yaml.safe_load(Path("params.yaml").read_text())["projects"]["mini_gpt"], "full")
    settings = TrainSettings.model_validate(block["train"])
    train, held_out, vocab = text()
    sizes = {name: value for name, value in block["model"].items() if name != "_target_"}

    def network() -> GPT:
        torch.manual_seed(SEED)
        return GPT(vocab=vocab, block=block["data"]["block"], **sizes)

    lightning(network(), train, settings, CALIBRATION // 4)  # the first steps are slow
    each = lightning(network(), train, settings, CALIBRATION) / CALIBRATION
    model = network()
    spent = lightning(model, train, settings, max(1, int(0.95 * seconds / each)))
    return spent, loss_of(model, held_out)


def run(name: str, amount: float) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.training.bench_mini_gpt", "--only", name, "--amount", str(amount)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds, loss = json.loads(done.stdout.splitlines()[-1])
    return seconds, loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000, help="of the reference")
    parser.add_argument("--speed-steps", type=int, default=300, help="of each round of the comparison of speed")
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison of speed")
    parser.add_argument("--only", choices=("reference", "ours", "shipped"))
    parser.add_argument("--amount", type=float, help="steps, or seconds for `shipped`")
    args = parser.parse_args()
    if args.only:
        quieten()
        found = shipped(args.amount) if args.only == "shipped" else globals()[args.only](int(args.amount))
        print(json.dumps(found))
        return
    print(machine.line(), flush=True)
    rates: dict[str, list[float]] = {"reference": [], "ours": []}
    for _ in range(args.rounds):
        for name, found in rates.items():
            found.append(args.speed_steps * BATCH * BLOCK / run(name, args.speed_steps)[0])
    ratio = statistics.median(b / a for a, b in zip(rates["reference"], rates["ours"], strict=True))
    for name, found in rates.items():
        print(f"same setting, {name:9s} {statistics.median(found):9,.0f} tokens per second", flush=True)
    print(f"ours is {ratio:.2f}x the reference, median of {args.rounds} rounds", flush=True)
    seconds, loss = run("reference", args.steps)
    print(f"reference, {args.steps} steps: {seconds:6.1f} s, validation loss {loss:.4f}", flush=True)
    seconds, loss = run("shipped", seconds)
    print(f"shipped setting, as long:  {seconds:6.1f} s, validation loss {loss:.4f}", flush=True)


if __name__ == "__main__":
    main()
