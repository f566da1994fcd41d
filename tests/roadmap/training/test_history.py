"""The history of a training: a loss that is no number ends it."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from roadmap.io.errors import UsageError
from roadmap.training.callbacks import LocalFiles, MetricHistory, ResumeCheckpoint
from roadmap.training.history import read_history, write_history


class Steep(pl.LightningModule):
    """Minimises w^4 from 1: far too large a step overshoots more each time."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.lr, self.w = lr, torch.nn.Parameter(torch.ones(()))

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        return (self.w**4 * batch[0]).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), self.lr)


def fit(lr: float, folder: Path) -> MetricHistory:
    history = MetricHistory("steep", lambda row: None)
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", callbacks=[history, ResumeCheckpoint(folder, 0, seconds=0)],
        plugins=[LocalFiles()], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Steep(lr), DataLoader(TensorDataset(torch.ones(16)), batch_size=2))
    return history


@pytest.mark.filterwarnings("ignore")
def test_a_diverging_training_ends_with_what_to_change_and_leaves_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"steep: epoch 1: found a training loss of (nan|inf).* lower the learning rate"
    ):
        fit(3.0, tmp_path)
    assert not list(tmp_path.iterdir())
    assert [row["epoch"] for row in fit(0.01, tmp_path).rows] == [1, 2]


def test_an_earlier_network_may_have_more_epochs_than_the_model(tmp_path: Path) -> None:
    histories = {
        "reward_model": [{"epoch": n, "train_loss": 1.0 / n} for n in (1.0, 2.0, 3.0)],
        "shipped": [{"epoch": 1.0, "train_loss": 5.0}],
    }
    write_history(tmp_path, histories)
    found = read_history(tmp_path)
    assert [row for variant, row in found if variant == "shipped"] == histories["shipped"]
    assert [row for variant, row in found if variant == "reward_model"] == histories["reward_model"]
