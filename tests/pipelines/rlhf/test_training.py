"""Reference, reward model and policy in sequence, small; a killed training ends as one that was not."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from models.decoders.rlhf.dpo import DPO
from models.decoders.rlhf.grpo import GRPO
from models.decoders.rlhf.policy import Policy
from models.decoders.rlhf.ppo import PPO
from models.decoders.rlhf.reference import Reference
from models.decoders.rlhf.reward import RewardModel
from pipelines.rlhf import settings
from pipelines.rlhf.data import Data
from roadmap.config.settings import TrainSettings
from roadmap.data import splits
from roadmap.data.training_set import Fits, TrainingSet, TrainingStream
from roadmap.io.errors import UsageError
from roadmap.training.batches import InMemoryDataModule
from roadmap.training.callbacks import LocalFiles, MetricHistory, ResumeCheckpoint
from roadmap.training.fitting import quieten

SIZES: dict[str, Any] = {"layers": 1, "heads": 2, "width": 32, "positions": "rotary", "bias": False, "dropout": 0.0}
OPTIMIZER: dict[str, Any] = {"lr": 0.01, "final_lr": 0.0, "warmup": 5, "weight_decay": 0.0, "beta2": 0.99, "muon": 0.02}
TRAIN = TrainSettings(epochs=3, batch_size=32, threads=1, clip=1.0)


def fit(network: Any, module: Any, checkpoints: Path, epochs: int, stop: int | None = None) -> MetricHistory:
    """stop: the epoch after which the process is killed"""
    quieten()
    history, resumable = MetricHistory("rlhf", lambda row: None), ResumeCheckpoint(checkpoints, 0, seconds=0.0)

    class Kill(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
            if trainer.current_epoch == stop:
                raise KeyError("killed")

    quiet: dict[str, Any] = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary"), False)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=epochs, gradient_clip_val=TRAIN.clip, enable_progress_bar=False,
        num_sanity_val_steps=0, callbacks=[history, resumable, Kill()], plugins=[LocalFiles()], **quiet,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            trainer.fit(network, module, ckpt_path=resumable.checkpoint(network), weights_only=True)
        except KeyError:
            assert stop is not None
    return history


class Place:
    """Data, and the two networks that come before a policy."""

    def __init__(self, folder: Path) -> None:
        block = settings.Data(
            split=(0.8, 0.1, 0.1), corpus="reviews", path=None, rows=1500, vocabulary=600, prompt=4, new=16, judge=None,
            preferences=None, pairs=400, noise=0.05,
        )  # fmt: skip
        splits.write(folder / "rlhf", Data().prepare(block, "sample", 0), "sample")
        fits = Data().training(folder / "rlhf")
        assert isinstance(fits, dict)
        self.fits: Fits = fits
        self.networks: dict[str, Any] = {}
        self.histories: dict[str, MetricHistory] = {}
        for name, epochs in (("reference", 2), ("reward_model", 8)):
            data = fits[name](self.networks)
            assert isinstance(data, TrainingSet)
            torch.manual_seed(0)
            own = {**SIZES, **OPTIMIZER} if name == "reference" else {"lr": 0.004, "weight_decay": 0.1}
            network = (Reference if name == "reference" else RewardModel)(**data.model, **own)
            module = InMemoryDataModule(data, TRAIN, 0)
            self.histories[name] = fit(network, module, folder / name, epochs)
            self.networks[name] = network.eval()

    def stream(self) -> TrainingStream:
        found = self.fits["model"](self.networks)
        assert isinstance(found, TrainingStream)
        return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("rlhf"))


def test_the_reward_model_is_better_than_chance(place: Place) -> None:
    assert place.histories["reference"].rows[-1]["val_loss"] < 2
    rows = place.histories["reward_model"].rows
    assert rows[-1]["val_accuracy"] > 0.65 and rows[-1]["val_loss"] < rows[0]["val_loss"]


def test_rewards_of_the_reference_have_one_scale(place: Place) -> None:
    data = place.fits["reward_model"](place.networks)
    assert isinstance(data, TrainingSet)
    with torch.no_grad():
        scores = place.networks["reward_model"].scores(torch.cat([torch.from_numpy(part) for part in data.val]))
    assert scores.mean().item() == pytest.approx(0, abs=1e-3) and scores.std().item() == pytest.approx(1, abs=1e-3)


SHARED: dict[str, Any] = {"signal": "rule", "samples": 64, "rollouts": 3, "passes": 2, "lr": 0.004}
METHODS: dict[str, Any] = {
    "grpo": lambda **given: GRPO(**given, **SHARED, group=8, beta=0.05, clip=0.2),
    "ppo": lambda **given: PPO(**given, **SHARED, group=1, beta=0.02, clip=0.2, trace=0.95, value=0.1),
    "dpo": lambda **given: DPO(**given, **SHARED, group=2, beta=0.1),
}


def curve(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in ("time", "seconds")} for row in rows]


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_training_ends_with_the_same_weights(method: str, place: Place, tmp_path: Path) -> None:
    stream = place.stream()

    def fresh() -> Policy:
        torch.manual_seed(1)
        policy: Policy = METHODS[method](**stream.model)
        return policy

    whole = fresh()
    expected = fit(whole, stream.module(TRAIN, 7), tmp_path / "whole", epochs=3).rows
    fit(fresh(), stream.module(TRAIN, 7), tmp_path / "killed", epochs=3, stop=1)
    again = fresh()
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
    found = fit(again, stream.module(TRAIN, 7), tmp_path / "killed", epochs=3).rows
    assert curve(found) == curve(expected) and len(found) == 3
    for key, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    assert found[-1]["val_kl"] > 0.01
    if method != "dpo":  # which learns slowest
        assert found[-1]["val_reward"] > found[0]["val_reward"]


def test_the_signal_decides_what_is_learnt_from(place: Place) -> None:
    stream = place.stream()
    prompts = torch.ones(4, 4, dtype=torch.long)

    def rule(tokens: Tensor) -> Tensor:
        return torch.zeros(len(tokens))

    for signal in ("rule", "learned"):
        policy = GRPO(**stream.model, **{**SHARED, "signal": signal}, group=8, beta=0.05, clip=0.2)
        score = policy.rollouts_on(prompts, rule, 8, 0).score
        assert score(torch.ones(3, 20, dtype=torch.long)).any() == (signal == "learned")


def test_several_processes_are_refused(place: Place) -> None:
    module: Any = place.stream().module(TRAIN, 0)

    class Trainer:
        world_size, lightning_module = 2, None

    module.trainer = Trainer()
    with pytest.raises(UsageError, match="found 2 processes; expected one"):
        module.train_dataloader()
