"""The corpus as batches of blocks, for Lightning."""

import pytorch_lightning as pl  # noqa: TID251 (it is imported by now; prepare depends on no roadmap/training)

from pipelines.word2vec.data.blocks import Blocks, Corpus, Text
from roadmap.config.settings import TrainSettings
from roadmap.io.errors import UsageError


class Batches(pl.LightningDataModule):
    """The corpus as batches of `batch_size` blocks."""

    def __init__(self, corpus: Corpus, settings: TrainSettings, seed: int) -> None:
        super().__init__()
        self.corpus, self.settings, self.seed = corpus, settings, seed

    def train_dataloader(self) -> Blocks:
        """
        Raises:
            UsageError: several processes: each would change vectors of its own.
        """
        assert self.trainer is not None
        if self.trainer.world_size > 1:
            found = f"found {self.trainer.world_size} processes; expected one"
            raise UsageError(f"word2vec: {found}, which changes the vectors in place; use trainer=cpu or trainer=gpu")
        return self._blocks(self.corpus.train, self.seed)

    def val_dataloader(self) -> Blocks:
        return self._blocks(self.corpus.val, None)

    def _blocks(self, text: Text, seed: int | None) -> Blocks:
        assert self.trainer is not None
        corpus, keep = self.corpus, self.trainer.lightning_module.get_buffer("keep").numpy(force=True)
        return Blocks(text, keep, corpus.window, corpus.block, self.settings.batch_size, seed)
