"""The networks that are compared: from GPT-2 to LLaMA one change at a time, then one change away from LLaMA."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from models.decoders import llama
from models.decoders.gpt import GPT, Block
from models.decoders.language_model import LanguageModel
from models.decoders.llama import LLaMA, Shape

WIDTH, LAYERS, HEADS, BLOCK = 96, 2, 4, 64
HIDDEN = 8 * WIDTH // 3  # three matrices of this width have the parameters of GPT-2's two of 4 x WIDTH
SHARED = WIDTH // 2  # added to HIDDEN: what one head of keys and values for all four saves
RECIPE: dict[str, Any] = {"lr": 0.004, "final_lr": 0.0, "warmup": 50, "weight_decay": 0.1, "beta2": 0.99, "muon": 0.02}
MISTRAL: dict[str, Any] = {"kv_heads": 1, "hidden": HIDDEN + SHARED, "window": 16}


def gpt(vocab: int, rms: bool = False, gated: bool = False, **changes: Any) -> GPT:
    """GPT-2, with RMSNorm in place of LayerNorm, and with SwiGLU in place of the MLP."""
    size = {"vocab": vocab, "block": BLOCK, "layers": LAYERS, "heads": HEADS, "width": WIDTH, "dropout": 0.0}
    model = GPT(**{**size, **RECIPE, "positions": "learned", "bias": True, **changes})
    for block in model.blocks:
        assert isinstance(block, Block)
        if rms:
            block.norm_1, block.norm_2 = (llama.RMSNorm(WIDTH, 1e-5) for _ in range(2))  # type: ignore[assignment]
        if gated:
            block.mlp = llama.MLP(Shape(vocab, WIDTH, LAYERS, HEADS, HEADS, HIDDEN, BLOCK))  # type: ignore[assignment]
            for name, matrix in block.mlp.named_parameters():  # as LLaMA's begin
                nn.init.normal_(matrix, std=0.02 / (2 * LAYERS) ** 0.5 if name.startswith("down") else 0.02)
    if rms:
        model.norm = llama.RMSNorm(WIDTH, 1e-5)
    return model


def of_llama(vocab: int, **changes: Any) -> LLaMA:
    """A LLaMA whose embedding is its output matrix, as GPT-2's."""
    size = {"vocab": vocab, "block": BLOCK, "layers": LAYERS, "heads": HEADS, "kv_heads": HEADS, "width": WIDTH}
    return LLaMA(**{**size, **RECIPE, "hidden": HIDDEN, "tied": True, **changes})


@dataclass(frozen=True)
class Row:
    """
    against     the row that it changes in one point
    model       of a paper, not a step between two of them
    timed       whether it also trains for as long as GPT-2 does
    """

    name: str
    make: Callable[[int], LanguageModel]
    against: str | None = None
    model: bool = False
    timed: bool = False


def _gpt(**changes: Any) -> Callable[[int], LanguageModel]:
    return lambda vocab: gpt(vocab, **changes)


def _llama(**changes: Any) -> Callable[[int], LanguageModel]:
    return lambda vocab: of_llama(vocab, **changes)


PLAIN: dict[str, Any] = {"bias": False}
ROTARY = {**PLAIN, "positions": "rotary"}
ROWS = (
    Row("GPT-2", _gpt(), model=True),
    Row("no biases", _gpt(**PLAIN), "GPT-2"),
    Row("rotary positions", _gpt(**ROTARY), "no biases"),
    Row("RMSNorm", _gpt(**ROTARY, rms=True), "rotary positions"),
    Row("SwiGLU", _gpt(**ROTARY, rms=True, gated=True), "RMSNorm"),
    Row("LLaMA", _llama(), "SwiGLU", model=True, timed=True),
    Row("GEGLU", _llama(gelu=True), "LLaMA"),
    Row("normalised queries and keys", _llama(qk_norm=True), "LLaMA"),
    Row("grouped queries", _llama(kv_heads=1, hidden=HIDDEN + SHARED), "LLaMA"),
    Row("window of 16", _llama(window=16), "LLaMA"),
    Row("Mistral", _llama(**MISTRAL), "LLaMA", model=True, timed=True),
    Row("Mixtral, equal parameters", _llama(**MISTRAL | {"hidden": 75, "experts": 4, "active": 2}), "Mistral", True),
    Row(
        "Mixtral, equal per token",
        _llama(**MISTRAL | {"hidden": 151, "experts": 4, "active": 2}),
        "Mistral",
        True,
        True,
    ),
    Row("AdamW alone", _llama(muon=None), "LLaMA"),
)


def parameters(model: LanguageModel) -> tuple[int, int]:
    """All of them, and those that process a token."""
    total = active = sum(parameter.numel() for parameter in model.parameters())
    for part in model.modules():
        if isinstance(part, llama.Experts):
            each = sum(parameter.numel() for parameter in part.experts[0].parameters())
            active -= (len(part.experts) - part.active) * each
    return total, active
