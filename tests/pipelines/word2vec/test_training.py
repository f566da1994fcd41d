"""word2vec in the trainer: the same bytes twice, with two threads, and after an interruption."""

from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from models.word2vec import Word2Vec
from pipelines.word2vec.data.batches import Batches
from pipelines.word2vec.data.blocks import Corpus, Text
from roadmap.config.settings import TrainSettings
from roadmap.training.callbacks import LocalFiles, ResumeCheckpoint

SEED, EPOCHS = 3, 4


class Interrupted(Exception):
    """Stands for a kill."""


class StopAfter(pl.Callback):
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epochs:
            raise Interrupted


def fit(folder: Path, stop: int = EPOCHS) -> Word2Vec:
    rng = np.random.default_rng(0)
    train, val = (Text(rng.integers(0, 50, n), np.arange(n) // 9, np.zeros(n, int)) for n in (3000, 200))
    torch.manual_seed(SEED)
    network = Word2Vec(np.bincount(train.words, minlength=50), 1e-2, 3, 40, False, lr=0.05, most=10)
    settings = TrainSettings(epochs=EPOCHS, batch_size=16, threads=2)
    resumable = ResumeCheckpoint(folder, SEED, seconds=0)
    trainer = pl.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", callbacks=[resumable, StopAfter(stop)], plugins=[LocalFiles()],
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(network, Batches(Corpus(train, val, 3, 8), settings, SEED), ckpt_path=resumable.checkpoint(network))
    return network


@pytest.mark.filterwarnings("ignore")
def test_two_threads_and_an_interruption_change_no_byte(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        whole, again = fit(tmp_path / "whole"), fit(tmp_path / "again")
        with pytest.raises(Interrupted):
            fit(tmp_path / "halves", stop=2)
        resumed = fit(tmp_path / "halves")
    finally:
        torch.set_num_threads(before)
    assert whole.words.abs().max() > 0.1, "it has learnt"
    for other in (again, resumed):
        assert other.words.numpy().tobytes() == whole.words.numpy().tobytes()
        assert other.outputs.numpy().tobytes() == whole.outputs.numpy().tobytes()
