"""Lightning configured like `pipelines.train`, without validation."""

import tempfile
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from roadmap.training.batches import InMemoryDataModule
from roadmap.training.callbacks import MetricHistory, ResumeCheckpoint


def fit(model: pl.LightningModule, data: InMemoryDataModule, seed: int, **options: Any) -> float:
    """Seconds of the training; options of pl.Trainer: max_epochs, precision, ..."""
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        callbacks=[MetricHistory("bench", lambda row: None), ResumeCheckpoint(Path(tempfile.mkdtemp()), seed)],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        **options,
    )
    started = time.perf_counter()
    trainer.fit(model, data)
    return time.perf_counter() - started
