"""GRPO, PPO and DPO at equal samples over seeds: true reward, learned reward and divergence on one picture.

    python -m benchmarks.training.bench_rlhf [--seeds 5] [--epochs 6] [--figure pipelines/rlhf/overoptimisation.svg]

Each seed makes its own data, reference and reward model, by the project's settings; every method begins with the same
three and sees as many texts. After each epoch 256 validation prompts are continued. In the end the test prompts are:
`true` is the judge's reward, `win` how often it is higher than that of the reference's text (a tie is half a win),
`perplexity` that of the text under the reference. `best of n` draws n texts of the reference and keeps the one of the
highest learned reward; its divergence is at most log n - (n - 1) / n. Intervals of 95% are bootstrapped over seeds.
One thread; CPU-seconds, with the validations.
"""

import argparse
import math
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import yaml
from torch import Tensor

from benchmarks import machine
from models.decoders.rlhf.dpo import DPO
from models.decoders.rlhf.grpo import GRPO
from models.decoders.rlhf.policy import Policy
from models.decoders.rlhf.ppo import PPO
from models.decoders.rlhf.reference import Reference
from models.decoders.rlhf.reward import RewardModel
from models.decoders.rlhf.texts import logprobs, mean_over, predictions
from pipelines.rlhf.data import Data
from pipelines.rlhf.data.judges import rule
from pipelines.rlhf.data.tokens import texts_of, tokenizer_of
from roadmap.config.check import check
from roadmap.config.schema import SHIPPED, Run
from roadmap.config.settings import TrainSettings
from roadmap.data import splits
from roadmap.data.training_set import TrainingSet, TrainingStream
from roadmap.training.batches import InMemoryDataModule
from roadmap.training.callbacks import MetricHistory
from roadmap.training.fitting import quieten

QUIET: dict[str, Any] = {
    **dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"), False),
    "accelerator": "cpu",
    "num_sanity_val_steps": 0,
    "gradient_clip_val": 1.0,
}
METHODS: dict[str, tuple[type[Policy], dict[str, Any], int]] = {  # class, settings, size of a minibatch
    "GRPO": (GRPO, {"beta": 0.2, "group": 8, "clip": 0.2, "lr": 1.5e-3}, 128),
    "GRPO, beta 0": (GRPO, {"beta": 0.0, "group": 8, "clip": 0.2, "lr": 1.5e-3}, 128),
    "PPO": (PPO, {"beta": 0.05, "group": 1, "clip": 0.2, "trace": 0.95, "value": 0.1, "lr": 2e-3}, 128),
    "DPO": (DPO, {"beta": 0.1, "group": 2, "lr": 1e-3}, 32),
}
SAMPLES: dict[str, Any] = {"signal": "learned", "samples": 128, "rollouts": 8, "passes": 2}
BEST_OF = (1, 2, 4, 8, 16)
Row = dict[str, float]


class Seed:
    """Data, reference and reward model of one seed."""

    def __init__(self, run: Run, seed: int) -> None:
        self.run, self.seed = run, seed
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "rlhf"
            splits.write(folder, Data().prepare(run.settings.data, run.profile, seed), run.profile)
            card = splits.read_card(folder)
            self.fits, self.networks = Data().training(folder), dict[str, Any]()
            assert isinstance(self.fits, Mapping)
            self.schema, self.tokenizer = card["schema"], tokenizer_of(card)
            test = self.tokenizer.encode_batch([request["prompt"] for request in Data().test_rows(folder)[0]])
        model = run.models[SHIPPED]
        for name, cls in (("reference", Reference), ("reward_model", RewardModel)):
            block, data = getattr(model, name), self.fits[name](self.networks)
            assert isinstance(data, TrainingSet)
            torch.manual_seed(seed)
            network: Any = cls(**data.model, **block.kwargs())
            rows, _ = fit(network, InMemoryDataModule(data, block.train, seed), block.train.epochs)
            self.networks[name] = network.eval()
        self.accuracy = rows[-1]["val_accuracy"]
        self.prompts = torch.tensor([one.ids for one in test if len(one.ids) == self.schema["prompt"]])
        self.end = self.networks["reward_model"].end
        tokens, mask = self.write(self.networks["reference"], 1)
        self.before, self.base = self.true(tokens), self.measured(self.networks["reference"], tokens, mask)

    def write(self, network: Any, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        found: tuple[Tensor, Tensor] = network.write(self.prompts, self.schema["new"], self.end, generator)
        return found

    def true(self, tokens: Tensor) -> np.ndarray:
        return rule(texts_of(self.tokenizer, tokens[:, self.schema["prompt"] :].numpy(), self.end))

    @torch.no_grad()
    def measured(self, model: Any, tokens: Tensor, mask: Tensor) -> Row:
        """model: a language model, which wrote them"""
        new, reference = self.schema["new"], self.networks["reference"]
        now, before = predictions(model, tokens, new), predictions(reference, tokens, new)
        return {
            "true": float(self.true(tokens).mean()),
            "learned": float(self.networks["reward_model"].scores(tokens).mean()),
            "kl": float(((now.exp() * (now - before)).sum(dim=-1) * mask).sum(dim=1).mean()),
            "perplexity": float((-mean_over(logprobs(reference, tokens, new), mask)).mean().exp()),
        }

    def trained(self, method: str, epochs: int) -> tuple[list[Row], Row]:
        """-> a row of each epoch, and of the test prompts"""
        assert isinstance(self.fits, Mapping)
        cls, options, batch = METHODS[method]
        stream = self.fits["model"](self.networks)
        assert isinstance(stream, TrainingStream)
        torch.manual_seed(self.seed)
        policy: Any = cls(**stream.model, **SAMPLES, **options)
        train = TrainSettings(epochs=epochs, batch_size=batch, threads=1)
        rows, spent = fit(policy, stream.module(train, self.seed), epochs)
        tokens, mask = self.write(policy.eval(), 2)
        after = self.true(tokens)
        wins = (after > self.before) + (after == self.before) / 2
        return rows, {**self.measured(policy.model, tokens, mask), "win": float(wins.mean()), "seconds": spent}

    def best_of(self, most: int) -> dict[int, Row]:
        """By n: of n texts of the reference on each prompt, the one of the highest learned reward."""
        drawn = [self.write(self.networks["reference"], 10 + number)[0] for number in range(most)]
        with torch.no_grad():
            learned = np.stack([self.networks["reward_model"].scores(tokens).numpy() for tokens in drawn])
        true = np.stack([self.true(tokens) for tokens in drawn])
        found = {}
        for n in BEST_OF:
            best, rows = learned[:n].argmax(axis=0), np.arange(true.shape[1])
            wins = (true[best, rows] > self.before) + (true[best, rows] == self.before) / 2
            found[n] = {
                "true": float(true[best, rows].mean()), "learned": float(learned[best, rows].mean()),
                "kl": math.log(n) - (n - 1) / n, "win": float(wins.mean()),
            }  # fmt: skip
        return found


def fit(network: Any, module: Any, epochs: int) -> tuple[list[Row], float]:
    """-> a row of each epoch, CPU-seconds"""
    history, started = MetricHistory("", lambda row: None), time.process_time()
    history._say = lambda *_: None  # type: ignore[method-assign]
    trainer = pl.Trainer(max_epochs=epochs, callbacks=[history], **QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(network, module)
    return history.rows, time.process_time() - started


def interval(values: Sequence[float]) -> str:
    """Mean and 95% interval over seeds."""
    rng, found = np.random.default_rng(0), np.array(values)
    low, high = np.percentile(found[rng.integers(0, len(found), (2_000, len(found)))].mean(axis=1), [2.5, 97.5])
    return f"{found.mean():.2f} ({low:.2f} to {high:.2f})"


def draw(curves: dict[str, np.ndarray], best: np.ndarray, path: Path) -> None:
    """curves: of each method [seeds, epochs + 1, (kl, true, learned)]; best: [len(BEST_OF), (kl, true, learned)]"""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(curves), figsize=(3.4 * len(curves), 3.6), sharey=True)
    for ax, (name, found) in zip(panels, curves.items(), strict=True):
        for column, label, colour in ((2, "learned reward", "tab:orange"), (1, "true reward", "tab:blue")):
            for seed in found:
                ax.plot(seed[:, 0], seed[:, column], color=colour, alpha=0.25, lw=1)
            mean = found.mean(axis=0)
            ax.plot(mean[:, 0], mean[:, column], "o-", color=colour, ms=4, label=label)
            ax.plot(best[:, 0], best[:, column], "x:", color=colour, ms=5, lw=1, label=f"{label}, best of n")
        ax.set(title=name, xlabel="KL from the reference, nats a text")
    panels[0].set_ylabel("mean reward")
    panels[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    quieten()
    torch.set_num_threads(1)
    raw = yaml.safe_load(Path("params.yaml").read_text())
    trainer = yaml.safe_load(Path("roadmap/config/conf/trainer/cpu.yaml").read_text())
    run = check({**raw, "project": "rlhf", "profile": "sample", "trainer": trainer, "tracking": {}})
    curves: dict[str, list[Any]] = {name: [] for name in METHODS}
    ends: dict[str, list[Row]] = {name: [] for name in METHODS}
    seeds: list[Seed] = []
    bests: list[dict[int, Row]] = []
    for number in range(options.seeds):
        seeds.append(seed := Seed(run, number))
        bests.append(seed.best_of(max(BEST_OF)))
        print(f"seed {number}: accuracy of the reward model {seed.accuracy:.3f}", flush=True)
        for name in METHODS:
            rows, end = seed.trained(name, options.epochs)
            start = (0.0, seed.base["true"], seed.base["learned"])
            curves[name].append([start, *((row["val_kl"], row["val_reward"], row["val_learned"]) for row in rows)])
            ends[name].append(end)
            print(f"  {name:14s}" + "".join(f"  {key} {value:.2f}" for key, value in end.items()), flush=True)
    print(f"\n{machine.line()}; {options.seeds} seeds, {options.epochs * 1024:,} texts of each method")
    print(f"accuracy of the reward model {interval([seed.accuracy for seed in seeds])}\n")
    keys = ("true", "learned", "kl", "win", "perplexity", "seconds")
    print("| | " + " | ".join(keys) + " |\n|" + " --- |" * (len(keys) + 1))
    print(f"| reference | {' | '.join(interval([seed.base[key] for seed in seeds]) for key in keys[:2])} | 0 | 0.5 | "
          f"{interval([seed.base['perplexity'] for seed in seeds])} | |")  # fmt: skip
    for n in BEST_OF[1:]:
        print(f"| best of {n} | {' | '.join(interval([best[n][key] for best in bests]) for key in keys[:4])} | | |")
    for name, found in ends.items():
        print(f"| {name} | {' | '.join(interval([end[key] for end in found]) for key in keys)} |")
    for name, lines in curves.items():
        mean = np.array(lines).mean(axis=0)
        print(f"\n{name}, validation after each epoch: KL {np.round(mean[:, 0], 1).tolist()}, true "
              f"{np.round(mean[:, 1], 2).tolist()}, learned {np.round(mean[:, 2], 2).tolist()}")  # fmt: skip
    if options.figure:
        best = np.array(
            [[np.mean([one[n][key] for one in bests]) for key in ("kl", "true", "learned")] for n in BEST_OF]
        )
        draw({name: np.array(found) for name, found in curves.items()}, best, options.figure)


if __name__ == "__main__":
    main()
