"""What all translators share: the loss and the schedule of "Attention Is All You Need" (Vaswani et al., 2017), and
token-by-token generation.

Shapes: n pairs of s source tokens and t target tokens; `width` values per token.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, TypedDict

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F

from models.graph import Graph

PAD, BEGIN, END = 0, 1, 2
State = tuple[Tensor, ...]


def inside(tokens: Tensor, lengths: Tensor) -> Tensor:
    """False in the padding. tokens: [n, s], lengths: [n] -> bool [n, s]"""
    return torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]


def cut(source: Tensor, lengths: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A batch without columns that are all padding. Shapes: of a batch, see Translator"""
    return source[:, : int(lengths.max())], lengths, target[:, : int((target != PAD).sum(dim=1).max())]


class Training(TypedDict, total=False):
    """How a translator is trained; see Translator for meanings and defaults."""

    smoothing: float
    warmup: int
    factor: float
    average: float
    linear: bool


class Translator(pl.LightningModule, ABC):
    """Encoder-decoder networks: source and target prefix -> next-token logits.

    Source and target share one vocabulary, and both embeddings and the output one matrix (section 3.4).

    Args:
        vocab: number of tokens; PAD, BEGIN and END are the first.
        width: of a token's embedding.
        dropout: where, says each network.
        smoothing: label smoothing (section 5.4).
        warmup: steps.
        factor: of the learning rate; 1 is the paper's.
        average: decay per step of the average of the weights, which is what is kept; 0 for none. The paper averages
            its last checkpoints (section 6.1).
        linear: whether the learning rate falls to 0 in a straight line, which suits a short training, not as in the
            paper.
        batch: a batch of training is (source [n, s], lengths [n], target [n, t]): padded with PAD; a target begins
            with BEGIN and ends with END.
    """

    memory_axes: ClassVar[dict[int, str]] = {}  # dynamic dimensions of the encoder's output, besides the batch
    state_axes: ClassVar[dict[int, str]] = {}  # and of the state

    def __init__(
        self,
        vocab: int,
        width: int,
        dropout: float,
        smoothing: float = 0.1,
        warmup: int = 4000,
        factor: float = 1.0,
        average: float = 0.0,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.width, self.smoothing, self.warmup, self.factor = width, smoothing, warmup, factor
        self.average, self.linear = average, linear
        self.dropout = nn.Dropout(dropout)
        self.tokens = nn.Embedding(vocab, width)
        nn.init.normal_(self.tokens.weight, std=width**-0.5)

    @abstractmethod
    def encode(self, source: Tensor, lengths: Tensor) -> tuple[State, State]:
        """source: int [n, s], lengths: int [n]
        -> memory: what the decoder needs of the source, `lengths` first if it attends to it; the decoder's initial
        state. All have n as first dimension."""

    @abstractmethod
    def step(self, tokens: Tensor, memory: State, state: State) -> tuple[Tensor, Tensor | None, State]:
        """tokens: int [n, t], the next of each target -> logits [n, t, vocab], attention to the source [n, t, s] if
        there is one, and the next state"""

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """source: int [n, s], lengths: int [n], target: int [n, t] -> logits [n, t, vocab]"""
        return self.step(target, *self.encode(source, lengths))[0]

    def logits(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., vocab]"""
        return F.linear(x, self.tokens.weight)

    def loss(self, source: Tensor, lengths: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy in nats of the tokens that are no padding. Shapes as in `forward`."""
        logits = self(source, lengths, target[:, :-1])
        wanted = target[:, 1:].flatten().long()
        return F.cross_entropy(logits.flatten(0, 1), wanted, ignore_index=PAD, label_smoothing=smoothing)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        """batch: source, lengths and target, as of `forward`"""
        return self.loss(*cut(*batch), smoothing=self.smoothing)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        """batch: as of `training_step`"""
        self.log("val_loss", self.loss(*cut(*batch)), sync_dist=True, batch_size=len(batch[0]))

    def pace(self, step: int) -> float:
        """Learning rate of each step, counted from 0 (section 5.3, equation 3)."""
        step += 1
        fall = step**-0.5
        if self.linear:
            steps = int(self.trainer.estimated_stepping_batches)
            fall = self.warmup**-0.5 * max(0.0, 1 - step / (steps + 1))
        return self.factor * self.width**-0.5 * min(fall, step * self.warmup**-1.5)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = torch.optim.Adam(self.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.pace)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_callbacks(self) -> list[pl.Callback]:
        return [EMAWeightAveraging(decay=self.average)] if self.average else []

    @torch.no_grad()
    def greedy(self, source: Tensor, lengths: Tensor, most: int) -> list[list[int]]:
        """Greedy decoding without a cache, up to END or `most` tokens: the reference for the exported graphs.

        source: int [n, s], lengths: int [n]
        """
        target = torch.full((len(source), 1), BEGIN)
        for _ in range(most):
            target = torch.cat([target, self(source, lengths, target)[:, -1:].argmax(dim=-1)], dim=1)
        rows = target[:, 1:].tolist()
        return [row[: row.index(END)] if END in row else row for row in rows]

    @torch.no_grad()
    def graphs(self, example: tuple[Tensor, ...]) -> dict[str, Graph]:
        """encoder.onnx: source, lengths -> memory_<i>, state_<i>; decoder.onnx: see DecoderGraph."""
        source, lengths = example[0].long(), example[1].long()
        memory, state = self.encode(source, lengths)
        _, attention, state = self.step(torch.full((len(source), 3), BEGIN), memory, state)
        names = ([f"memory_{i}" for i in range(len(memory))], [f"state_{i}" for i in range(len(state))])
        batch = {0: "batch"}
        axes = {
            name: batch | {axis: size for axis, size in longer.items() if axis < one.ndim}
            for of, tensors, longer in zip(names, (memory, state), (self.memory_axes, self.state_axes), strict=True)
            for name, one in zip(of, tensors, strict=True)
        }
        inputs = {"tokens": torch.full((len(source),), BEGIN), "parents": torch.arange(len(source))}
        inputs |= dict(zip((*names[0], *names[1]), (*memory, *state), strict=True))
        later = {
            f"next_{name}": {a: "after" if size == "before" else size for a, size in axes[name].items()}
            for name in names[1]
        }
        outputs = {
            "log_probabilities": batch,
            **({} if attention is None else {"attention": {**batch, 1: "source"}}),
            **later,
        }
        free = {"tokens": batch, "parents": batch, **axes, **outputs}
        return {
            "encoder.onnx": Graph(
                EncoderGraph(self), {"source": source, "lengths": lengths}, (*names[0], *names[1]),
                {"source": {0: "batch", 1: "source"}, "lengths": batch, **axes}, dynamo=False,
            ),
            "decoder.onnx": Graph(DecoderGraph(self, len(memory)), inputs, tuple(outputs), free, dynamo=False),
        }  # fmt: skip


class EncoderGraph(nn.Module):
    """The encoder's graph. The newer exporter fixes the batch and the length of a recurrent layer's states."""

    def __init__(self, translator: Translator) -> None:
        super().__init__()
        self.translator = translator

    def forward(self, source: Tensor, lengths: Tensor) -> State:
        """source: int [n, s], lengths: int [n] -> memory, state"""
        memory, state = self.translator.encode(source, lengths)
        return (*memory, *state)


class DecoderGraph(nn.Module):
    """The decoder's graph: one token further.

    In beam search row i goes on from the state of row `parents[i]`, of the same source.
    """

    def __init__(self, translator: Translator, memories: int) -> None:
        super().__init__()
        self.translator, self.memories = translator, memories

    def forward(self, tokens: Tensor, parents: Tensor, *rest: Tensor) -> State:
        """tokens, parents: int [n]; rest: memory, state
        -> log-probabilities of the next token [n, vocab], attention [n, s] if there is one, state"""
        memory, state = rest[: self.memories], tuple(one.index_select(0, parents) for one in rest[self.memories :])
        logits, attention, state = self.translator.step(tokens[:, None], memory, state)
        seen = () if attention is None else (attention[:, -1],)
        return (logits[:, -1].log_softmax(dim=-1), *seen, *state)
