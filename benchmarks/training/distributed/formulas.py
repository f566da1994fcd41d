"""What a process should keep and send, from the sizes alone: docs/en/distributed.md derives it.

`Sizes` are those of benchmarks/training/distributed/training.py: R rows of T tokens in a batch, width w, L layers.
"""

from dataclasses import dataclass

from benchmarks.training.distributed.training import BLOCK, ROWS, SHAPES, VOCAB, Training
from roadmap.config.settings import TrainerSettings

WIDTH = {"64-true": 8, "32-true": 4}  # bytes of a value


@dataclass(frozen=True)
class Sizes:
    """Values of a network: of a block that tensor parallelism divides, and not; of what stands before and after."""

    divided: int
    whole: int
    positions: int
    norm: int
    tied: bool
    heads: int  # of norms that all heads share, per block


def sizes(shape: str) -> Sizes:
    s = SHAPES[shape]
    w = s["width"]
    if shape == "gpt2":  # 12 w^2 + 13 w: four matrices, the biases of two by column, the rest whole
        return Sizes(12 * w * w + 7 * w, 6 * w, BLOCK * w, 2 * w, tied=True, heads=0)
    d = w // s["heads"]
    attention = 2 * w * w + 2 * w * d * s["kv_heads"]
    return Sizes(attention + 3 * w * s["hidden"], 2 * w + 2 * d, 0, w, tied=False, heads=2 * d)


@dataclass(frozen=True)
class Share:
    """What rank `rank` of a training has."""

    training: Training
    rank: int

    @property
    def trainer(self) -> TrainerSettings:
        return TrainerSettings(precision=self.training.precision, **self.training.trainer)

    def _place(self) -> tuple[int, int, int]:
        """Along pipeline, data and tensor."""
        t = self.trainer
        return self.rank // (t.data * t.tensor), self.rank // t.tensor % t.data, self.rank % t.tensor

    def _values(self, padded: bool) -> tuple[int, int]:
        """In blocks and outside, of all its data ranks. padded: rows of the vocabulary as FSDP sends them"""
        t, s, w = self.trainer, sizes(self.training.shape), SHAPES[self.training.shape]["width"]
        stage, _, part = self._place()
        rows = VOCAB // t.tensor + (part < VOCAB % t.tensor)
        each = -(-rows // t.data)
        if padded:
            rows = each * t.data
        first, last = stage == 0, stage == t.pipeline - 1
        tables = 1 if s.tied and (first or last) else first + last
        blocks = SHAPES[self.training.shape]["layers"] // t.pipeline * (s.divided // t.tensor + s.whole)
        return blocks, tables * rows * w + first * s.positions + last * s.norm

    def kept(self) -> int:
        """Weights; AdamW keeps twice as many averages."""
        t, s, w = self.trainer, sizes(self.training.shape), SHAPES[self.training.shape]["width"]
        blocks, outside = self._values(padded=False)
        if not self._sharded():
            return blocks + outside
        _, data, part = self._place()
        rows = VOCAB // t.tensor + (part < VOCAB % t.tensor)
        each = -(-rows // t.data)
        mine, tables = max(0, min(each, rows - data * each)), 1 if s.tied else 2
        return (blocks + outside - tables * rows * w) // t.data + tables * mine * w

    def _sharded(self) -> bool:
        return self.trainer.strategy != "ddp" and self.trainer.pipeline == 1 and self.trainer.data > 1

    def sent(self) -> int:
        """Bytes in a step of the optimizer."""
        t, s = self.trainer, sizes(self.training.shape)
        shape, train = SHAPES[self.training.shape], self.training.train
        w, layers, batches = shape["width"], shape["layers"], train.get("accumulate", 1)
        stage, *_ = self._place()
        first, last = stage == 0, stage == t.pipeline - 1
        tokens = ROWS // t.data * BLOCK
        blocks, outside = self._values(padded=False)
        sent = 0.0  # values
        if t.strategy == "ddp":
            return round(ring(t.data) * (blocks + outside)) * WIDTH[self.training.precision]
        if self._sharded():
            blocks, outside = self._values(padded=True)
            gathered = blocks * (2 if t.zero == 3 else 1) + 2 * outside
            sent += batches * (gathered + blocks + outside) * (t.data - 1) / t.data
        elif t.data > 1:
            sent += batches * ring(t.data) * (blocks + outside)
        if t.tensor > 1:
            each = tokens * w * (4 * layers // t.pipeline + first + last) + 3 * tokens * last
            microbatches = t.microbatches if t.pipeline > 1 else 1  # each of which sums the gradients of these norms
            sent += batches * ring(t.tensor) * (each + microbatches * s.heads * layers // t.pipeline)
        if t.pipeline > 1:
            sent += batches * tokens * w * ((not last) + (not first))
            sent += batches * (t.pipeline - 1) / t.pipeline  # the loss
            if s.tied and (first or last):
                sent += batches * (VOCAB // t.tensor + (self._place()[2] < VOCAB % t.tensor)) * w
        if "clip" in train:  # a sum of squares along each axis that divides the gradients
            sent += sum(ring(p) for p in (t.tensor, t.pipeline, t.data if self._sharded() else 1))
        return round(sent * WIDTH[self.training.precision])


def ring(processes: int) -> float:
    """What a process sends of each value in an all-reduce: once to add up, once to tell."""
    return 2 * (processes - 1) / processes
