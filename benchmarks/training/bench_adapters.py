"""What LoRA's rank and four-bit weights cost and keep, beside full fine-tuning, on a small chat model.

    python -m benchmarks.training.bench_adapters [--steps 120] [--base-steps 450]

A model knows a shop of seven goods. The shop takes three more, and only conversations about these are tuned on.
Exactness: of answers about the new goods. Forgetting: what is lost on the old ones. KB: of the weights as they are
stored, of the gradients, and of AdamW's two averages.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import machine
from benchmarks.training.lightning import fit
from models.decoders.adapters import NF4Linear
from models.decoders.chat import Chat
from pipelines.chatbot.data import TURNS, shop, tokens
from roadmap.config.settings import TrainSettings
from roadmap.data.conversations import Conversation
from roadmap.data.training_set import TrainingSet
from roadmap.inference.language.templates import Template
from roadmap.training.batches import InMemoryDataModule
from roadmap.training.fitting import quieten

OLD, NEW = tuple(shop.GOODS)[:7], tuple(shop.GOODS)[7:]
ROWS, TESTED, BLOCK, BATCH = 1600, 60, 192, 8  # conversations, tokens, rows
SIZES: dict[str, Any] = {
    "layers": 2,
    "heads": 2,
    "kv_heads": 2,
    "width": 64,
    "hidden": 128,
    "base": 100_000.0,
    "block": BLOCK,
}
RECIPE: dict[str, Any] = {"final_lr": 0.0, "warmup": 30, "weight_decay": 0.1, "beta2": 0.99}
# Name, method, rank, learning rate: an adapter bears a larger one (Schulman, "LoRA Without Regret", 2025).
WAYS = [
    *((f"LoRA, r = {r}", "lora", r, 0.01) for r in (1, 4, 16, 64)),
    ("QLoRA, r = 16", "qlora", 16, 0.01),
    ("full", "full", 1, 0.001),
]


def conversations(names: Sequence[str], rows: int, seed: int, whole: bool = False) -> list[Conversation]:
    """About shops that have these goods alone."""
    rng = np.random.default_rng(seed)
    found = [shop.draw_turns(rng, TURNS, whole, names) for _ in range(rows)]
    return [shop.conversation(*one) for one in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=120, help=f"of {BATCH} rows")
    parser.add_argument("--base-steps", type=int, default=450)
    args = parser.parse_args()
    quieten()
    torch.set_num_threads(1)
    parts = {"old": conversations(OLD, ROWS, 0), "new": conversations(NEW, ROWS // 2, 1)}
    tests = {"old": conversations(OLD, TESTED, 2, whole=True), "new": conversations(NEW, TESTED, 3, whole=True)}
    everything = [*parts["old"], *parts["new"]]
    tokenizer = tokens.train_tokenizer((m.content for one in everything for m in one.messages), 700)
    template = Template(tokens.TEMPLATE)
    encoded = {name: [tokens.encode(one, template, tokenizer) for one in part] for name, part in parts.items()}
    asked = {name: [tokens.encode(one, template, tokenizer) for one in part] for name, part in tests.items()}
    torch.manual_seed(0)
    base = Chat(vocab=tokenizer.get_vocab_size(), lr=0.006, muon=0.02, copying=True, **SIZES, **RECIPE)
    train(base, encoded["old"], args.base_steps)
    before = {name: exactness(base, rows) for name, rows in asked.items()}
    print(f"{machine.line()}\nbefore: {before['old']:.3f} of the old answers, {before['new']:.3f} of the new\n")
    print("| method | share trained | CPU-s | KB | exactness, new | forgetting, old |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, method, r, lr in WAYS:
        torch.manual_seed(0)
        model = Chat(
            vocab=tokenizer.get_vocab_size(), lr=lr, copying=True, method=method, r=r, alpha=2.0 * r, start=base,
            **SIZES, **RECIPE,
        )  # fmt: skip
        trained, size = share(model), stored(model)
        seconds = train(model, encoded["new"], args.steps)
        after = {part: exactness(model, rows) for part, rows in asked.items()}
        lost = before["old"] - after["old"]
        print(
            f"| {name} | {trained:.1%} | {seconds:.1f} | {size / 1000:,.0f} | {after['new']:.3f} | {lost:.3f} |",
            flush=True,
        )


def train(model: Chat, rows: list[tokens.Encoded], steps: int) -> float:
    """CPU seconds of so many steps."""
    packed = tokens.pack(rows, BLOCK)
    data = TrainingSet(packed, tuple(part[:2] for part in packed), {}, {}, rows=steps * BATCH)
    settings = TrainSettings(epochs=1, batch_size=BATCH, threads=1)
    started = time.process_time()
    fit(model, InMemoryDataModule(data, settings, 0), 0, max_epochs=1, gradient_clip_val=1.0)
    return time.process_time() - started


@torch.no_grad()
def exactness(model: Chat, rows: list[tokens.Encoded]) -> float:
    """Share of the answers whose tokens are all the most likely ones, as decoding at temperature 0 would find."""
    model.eval()
    right = list[bool]()
    for one in rows:
        read = torch.from_numpy(one.tokens.astype(np.int64))[None]
        hit: Tensor = model(read[:, :-1]).argmax(dim=-1)[0] == read[0, 1:]
        said = one.answered[1:]
        ends = np.flatnonzero(np.diff(np.concatenate([[False], said, [False]]).astype(int)))
        right += [bool(hit[start:end].all()) for start, end in ends.reshape(-1, 2)]
    return sum(right) / len(right)


def share(model: nn.Module) -> float:
    """Trained parameters, of all that the network has without its adapters."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    base = sum(p.numel() for name, p in model.named_parameters() if not name.endswith((".a", ".b")))
    coarse = sum(m.weight.shape.numel() for m in model.modules() if isinstance(m, NF4Linear))
    return trained / (base + coarse)


def stored(model: nn.Module) -> int:
    """Bytes of weights, gradients and AdamW's averages."""
    weights = sum(p.nbytes for p in [*model.parameters(), *model.buffers()])
    return weights + 3 * sum(p.nbytes for p in model.parameters() if p.requires_grad)


if __name__ == "__main__":
    main()
