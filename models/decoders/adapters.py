"""Fine-tuning a few added weights: LoRA, and QLoRA, whose frozen weights take four bits.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021): the change of a weight matrix is the product of
two thin ones. Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs" (2023): the matrix itself may be coarse
meanwhile, because nothing is learnt in it.

Shapes: a linear layer maps `inputs` to `outputs` values; `r` is the rank of its change.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK = 64  # weights that share a scale (QLoRA, section 3)
SCALES = 256  # scales that share theirs
# The 16 levels of NF4: quantiles of a normal distribution, 0 among them (QLoRA, section 3 and appendix E).
LEVELS = torch.tensor([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
])  # fmt: skip


class NF4(nn.Module):
    """A matrix in four bits a weight, and its scales in eight ("double quantisation"): 4.127 bits a weight in all.

    Args:
        weight: [outputs, inputs]
    """

    codes: Tensor  # uint8 [weights / 2], two levels each
    scales: Tensor  # uint8 [blocks], the largest magnitude of each block, in steps of `steps` from `lowest`
    lowest: Tensor  # [groups of blocks]
    steps: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.shape = weight.shape
        blocks = padded(weight.detach().float().flatten(), BLOCK).view(-1, BLOCK)
        groups = padded(blocks.abs().amax(dim=1), SCALES).view(-1, SCALES)  # section 3
        lowest, highest = groups.aminmax(dim=1)
        steps = (highest - lowest) / 255
        scales = ((groups - lowest[:, None]) / steps.clamp(min=1e-12)[:, None]).round()
        self.register_buffer("scales", scales.flatten()[: len(blocks)].to(torch.uint8))
        self.register_buffer("lowest", lowest)
        self.register_buffer("steps", steps)
        nearest = torch.bucketize(blocks / self._scale()[:, None].clamp(min=1e-12), (LEVELS[1:] + LEVELS[:-1]) / 2)
        pairs = nearest.to(torch.uint8).view(-1, 2)
        self.register_buffer("codes", pairs[:, 0] << 4 | pairs[:, 1])

    def _scale(self) -> Tensor:
        """Of each block: [blocks]"""
        lowest, steps = (value.repeat_interleave(SCALES)[: len(self.scales)] for value in (self.lowest, self.steps))
        return lowest + self.scales * steps

    def dense(self) -> Tensor:
        """The matrix in full precision, [outputs, inputs]."""
        codes = torch.stack([self.codes >> 4, self.codes & 15], dim=1).view(-1, BLOCK)
        values = LEVELS.to(codes.device)[codes.int()] * self._scale()[:, None]
        return values.flatten()[: self.shape.numel()].view(self.shape)


def padded(values: Tensor, multiple: int) -> Tensor:
    """[n] -> [n up to the multiple]; the last value is repeated, which widens no range"""
    missing = -len(values) % multiple
    return torch.cat([values, values[-1:].expand(missing)])


class Coarse(torch.autograd.Function):
    """x W^T with W made dense when needed, and forgotten: backwards anew, instead of kept meanwhile."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: NF4) -> Tensor:
        """x: [..., inputs] -> [..., outputs]"""
        ctx.weight = weight
        return x @ weight.dense().type_as(x).T

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (slope,) = slopes
        return slope @ ctx.weight.dense().type_as(slope), None


class NF4Linear(nn.Module):
    """A frozen linear layer in four bits."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = NF4(linear.weight), linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]"""
        y: Tensor = Coarse.apply(x, self.weight)
        return y if self.bias is None else y + self.bias

    def dense(self) -> nn.Linear:
        linear = nn.Linear(self.in_features, self.out_features, self.bias is not None)
        linear.weight = nn.Parameter(self.weight.dense(), requires_grad=False)
        linear.bias = self.bias
        return linear


class LoRA(nn.Module):
    """base(x) + alpha / r B A x (LoRA, section 4.1). B is zero at first, so training begins at the base.

    Args:
        alpha: how much the change counts; kept when r varies, so that lr need not be tuned again.
        dropout: on what the change reads.
    """

    def __init__(self, base: nn.Linear | NF4Linear, r: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.base, self.scale, self.dropout = base, alpha / r, nn.Dropout(dropout)
        self.a = nn.Parameter(torch.empty(r, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, r))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))  # as nn.Linear's; the authors' code does the same

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]"""
        return self.base(x) + F.linear(F.linear(self.dropout(x), self.a), self.b) * self.scale

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """One linear layer with the same outputs."""
        linear = self.base.dense() if isinstance(self.base, NF4Linear) else self.base
        linear.weight += self.scale * self.b @ self.a
        return linear


def adapt(model: nn.Module, pattern: str, r: int, alpha: float, dropout: float = 0.0, nf4: bool = False) -> list[str]:
    """Freezes the model and adds LoRA to the linear layers whose full name has `pattern`; with `nf4` these layers are
    quantised. Returns their names.

    Args:
        pattern: a regular expression: `attention.(q|v)$` as in the paper, `.` for every layer (QLoRA, figure 2).

    Raises:
        ValueError: no linear layer has such a name.
    """
    linears = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    found = [name for name in linears if re.search(pattern, name)]
    if not found:
        raise ValueError(f"adapters: no linear layer matches {pattern!r}; expected some of {', '.join(linears)}")
    model.requires_grad_(False)
    for name in found:
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        model.set_submodule(name, LoRA(NF4Linear(linear) if nf4 else linear, r, alpha, dropout))
    return found


def merge(model: nn.Module) -> None:
    """Replaces every LoRA by one linear layer: the network it was, with other weights."""
    for name, part in list(adapted(model)):
        model.set_submodule(name, part.merged())


def adapted(model: nn.Module) -> Iterator[tuple[str, LoRA]]:
    return ((name, part) for name, part in model.named_modules() if isinstance(part, LoRA))


def to_peft(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The adapter as the `peft` library stores it: tensors of adapter_model.safetensors, and adapter_config.json.

    Layers have our names: rename them for a model of another library.
    """
    parts = dict(adapted(model))
    tensors = {}
    for name, part in parts.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = part.a.detach()
        tensors[f"base_model.model.{name}.lora_B.weight"] = part.b.detach()
    first = next(iter(parts.values()))
    r = first.a.shape[0]
    config = {
        "peft_type": "LORA",
        "r": r,
        "lora_alpha": first.scale * r,
        "lora_dropout": first.dropout.p,
        "target_modules": sorted(parts),
        "bias": "none",
        "task_type": None,
        "inference_mode": True,
    }
    return tensors, config


@torch.no_grad()
def from_peft(model: nn.Module, tensors: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Adds an adapter that `peft` stored, whose layers have our names.

    Raises:
        ValueError: it is none of LoRA, or of another network.
    """
    plain = config.get("peft_type") == "LORA" and not config.get("use_dora") and not config.get("use_rslora")
    if not plain or config.get("bias", "none") != "none":
        raise ValueError(f"adapter: found {config.get('peft_type')} with options; expected plain LoRA without biases")
    ranks = {name.removeprefix("base_model.model.").removesuffix(".lora_A.weight"): value.shape[0]
             for name, value in tensors.items() if name.endswith(".lora_A.weight")}  # fmt: skip
    if not ranks or set(ranks.values()) != {config["r"]}:
        raise ValueError(f"adapter: found ranks {sorted(set(ranks.values()))}; expected {config['r']} in every layer")
    linears = dict(model.named_modules())
    for name in ranks:
        a, b = (tensors.get(f"base_model.model.{name}.lora_{part}.weight") for part in "AB")
        linear = linears.get(name)
        if a is None or b is None or not isinstance(linear, nn.Linear):
            raise ValueError(f"adapter: found weights for {name}; expected those of a linear layer of this network")
        if a.shape[1] != linear.in_features or b.shape[0] != linear.out_features:
            found, expected = f"{b.shape[0]} x {a.shape[1]}", f"{linear.out_features} x {linear.in_features}"
            raise ValueError(f"adapter: {name}: found a change of {found}; expected {expected}: another base model")
    model.requires_grad_(False)
    for name in ranks:
        part = LoRA(model.get_submodule(name), config["r"], config["lora_alpha"], config.get("lora_dropout", 0.0))  # type: ignore[arg-type]
        part.a.copy_(tensors[f"base_model.model.{name}.lora_A.weight"])
        part.b.copy_(tensors[f"base_model.model.{name}.lora_B.weight"])
        model.set_submodule(name, part)
