"""Tensor parallelism: every process keeps a part of each matrix, and computes a part of each layer.

Shoeybi et al., "Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism" (2019), section
3. An attention or an MLP multiplies twice. The first matrix is cut by columns, so that each process has some of the
heads or hidden units, which need nothing of the others; the second by rows, so that their parts add up. A block so
costs two sums over the processes forward, and two backward.

Shapes: n sequences of t tokens, `width` values per token; p processes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn import functional as F


@dataclass(frozen=True)
class Shard:
    """How a weight is cut: along `dim`, each of its equal `parts` (queries, keys and values of one matrix) apart."""

    dim: int
    parts: int = 1

    def cut(self, whole: Tensor, rank: int, processes: int) -> Tensor:
        pieces = [part.tensor_split(processes, self.dim)[rank] for part in whole.chunk(self.parts, self.dim)]
        return torch.cat(pieces, self.dim)

    def join(self, pieces: Sequence[Tensor]) -> Tensor:
        """The whole, from the pieces of all processes in order."""
        split = [piece.chunk(self.parts, self.dim) for piece in pieces]
        return torch.cat([piece[part] for part in range(self.parts) for piece in split], self.dim)


class _Copy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=ctx.group)
        return total, None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: ProcessGroup) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def copied(x: Tensor, group: ProcessGroup) -> Tensor:
    """f of figure 3: into the parallel part. Forward the same; backward the sum over the processes."""
    return _Copy.apply(x, group)


def summed(x: Tensor, group: ProcessGroup) -> Tensor:
    """g of figure 3: out of the parallel part. Forward the sum over the processes; backward the same."""
    return _Sum.apply(x, group)


class ColumnLinear(nn.Module):
    """Some of a layer's outputs: Y = [X A_1, ..., X A_p] (equation 3). Weights are stored as [out, in].

    Args:
        whole: the layer that is divided.
        parts: matrices that `whole` holds one below the other, each of which is divided.
    """

    def __init__(self, whole: nn.Linear, group: ProcessGroup, parts: int = 1) -> None:
        super().__init__()
        self.shards = {"weight": Shard(0, parts), "bias": Shard(0, parts)}
        rank, p = group.rank(), group.size()
        self.weight = nn.Parameter(self.shards["weight"].cut(whole.weight.detach(), rank, p))
        bias = whole.bias
        self.bias = None if bias is None else nn.Parameter(self.shards["bias"].cut(bias.detach(), rank, p))

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., in] -> [..., out / p]"""
        return F.linear(x, self.weight, self.bias)


class RowLinear(nn.Module):
    """A layer for some of its inputs: Y = X_1 A_1 + ... + X_p A_p. The bias is added once, to the sum."""

    def __init__(self, whole: nn.Linear, group: ProcessGroup) -> None:
        super().__init__()
        self.group, self.shards = group, {"weight": Shard(1)}
        self.weight = nn.Parameter(self.shards["weight"].cut(whole.weight.detach(), group.rank(), group.size()))
        self.bias = whole.bias

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., in / p] -> [..., out], of all processes"""
        y = summed(F.linear(x, self.weight), self.group)
        return y if self.bias is None else y + self.bias


class VocabularyEmbedding(nn.Module):
    """The embeddings of some tokens; those of others are zero here, and come with the sum (section 3)."""

    def __init__(self, whole: nn.Embedding, group: ProcessGroup) -> None:
        super().__init__()
        self.group, self.shards = group, {"weight": Shard(0)}
        self.first = first_of(len(whole.weight), group)
        self.weight = nn.Parameter(self.shards["weight"].cut(whole.weight.detach(), group.rank(), group.size()))

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: int [n, t] -> [n, t, width]"""
        row = tokens - self.first
        elsewhere = (row < 0) | (row >= len(self.weight))
        x = F.embedding(row.masked_fill(elsewhere, 0), self.weight)
        return summed(x.masked_fill(elsewhere[..., None], 0), self.group)


def first_of(rows: int, group: ProcessGroup) -> int:
    """The first of so many rows that this process has."""
    return int(torch.arange(rows).tensor_split(group.size())[group.rank()][0])


def cross_entropy(logits: Tensor, targets: Tensor, *, group: ProcessGroup, first: int) -> Tensor:
    """Mean cross-entropy of logits that are divided by token: a token costs three values, not `vocab` (section 3).

    logits: [n t, vocab / p], of tokens from `first`; targets: int [n t]
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    peak = logits.detach().amax(dim=-1)
    dist.all_reduce(peak, dist.ReduceOp.MAX, group)
    logits = logits - peak[:, None]
    row = targets - first
    here = (row >= 0) & (row < logits.shape[-1])
    target = logits.gather(-1, row.clamp(0, logits.shape[-1] - 1)[:, None]).squeeze(-1) * here
    total, target = summed(torch.stack([logits.exp().sum(dim=-1), target]), group).unbind()
    return (total.log() - target).mean()


def norm_of_heads(norm: nn.Module, group: ProcessGroup) -> nn.Module:
    """A norm that all heads share sees only those of this process: its gradient is a part of a sum."""
    if hasattr(norm, "scale"):
        scaled: Any = norm
        whole: Callable[[], Tensor] = scaled.scale
        scaled.scale = lambda: copied(whole(), group)
    return norm


# What becomes of a layer, by the last part of its name. Norms, positions and routers stay whole in every process.
TABLE: dict[str, Callable[[Any, ProcessGroup], nn.Module]] = {
    "tokens": VocabularyEmbedding,
    "qkv": partial(ColumnLinear, parts=3),
    **dict.fromkeys(("q", "k", "v", "expand", "gate", "up", "head"), ColumnLinear),
    **dict.fromkeys(("project", "down"), RowLinear),
    **dict.fromkeys(("q_norm", "k_norm"), norm_of_heads),
}


def parallelise(network: nn.Module, group: ProcessGroup) -> dict[str, Shard]:
    """Divides a decoder in place by the table; returns its divided weights by name.

    Raises:
        ValueError: the heads can't be divided by the number of processes.
    """
    decoder: Any = network
    vocab, tied = len(decoder.tokens.weight), decoder.head.weight is decoder.tokens.weight
    for name, module in list(network.named_modules()):
        for heads in ("heads", "kv_heads"):
            if (found := getattr(module, heads, None)) is not None:
                if found % group.size():
                    raise ValueError(f"{heads}: found {found}; expected a multiple of {group.size()} processes")
                setattr(module, heads, found // group.size())
        above, _, leaf = name.rpartition(".")
        if leaf in TABLE:
            setattr(network.get_submodule(above), leaf, TABLE[leaf](module, group))
    if tied:
        decoder.head.weight = decoder.tokens.weight
    for module in list(network.modules()):
        divided = any(isinstance(child, ColumnLinear) for child in module.children())
        if module is decoder.head or (divided and module is not network):
            module.register_forward_pre_hook(lambda _, args: (copied(args[0], group), *args[1:]))
    decoder.criterion = partial(cross_entropy, group=group, first=first_of(vocab, group))
    return {
        f"{name}.{weight}": shard
        for name, module in network.named_modules()
        for weight, shard in getattr(module, "shards", {}).items()
        if getattr(module, weight) is not None
    }
